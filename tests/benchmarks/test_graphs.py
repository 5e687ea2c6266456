"""The benchmark of the exported graphs: what a ratio is, and that a small run gives all of them."""

import json
import sys
from pathlib import Path

import pytest
import torch

from benchmarks import figures, graphs
from benchmarks.graphs import OV_BF16, OV_FLOAT32, OV_INT8, TORCH, WHOLE, flops_with_padding, whole_clip
from schemas.export_profiles import Profile
from schemas.modalities import Modality
from tests import exported


def test_the_whole_clip_is_the_sum_of_its_streams() -> None:
    ways = (TORCH, Profile.EXACT, Profile.FAST, Profile.INT8, OV_FLOAT32, OV_BF16, OV_INT8)
    first = dict(zip(ways, (6.0, 3.0, 2.0, 9.0, 4.0, 1.5, 9.0), strict=True))
    second = dict(zip(ways, (4.0, 7.0, 3.0, 1.0, 1.0, 0.5, 0.1), strict=True))
    ratios = whole_clip({Modality.SKELETAL: first, Modality.SCENIC: second})
    assert ratios == pytest.approx(
        {
            "exact": 1.0,
            "fast": 2.0,
            "int8": 10 / 3,
            "fast in OpenVINO": 2.0,
            "bf16": 5.0,
            "bf16 as admitted": 10 / 4.5,
            "int8 in OpenVINO": 10 / 1.6,
            "int8 in OpenVINO as admitted": 10 / 4.5,
        }
    )


def test_operations_on_padding_are_those_of_taps_that_leave_the_clip() -> None:
    convolution = torch.nn.Conv1d(3, 5, 7, padding=12, dilation=4)
    inside = sum(0 <= step + 4 * (tap - 3) < 10 for step in range(10) for tap in range(7))
    assert flops_with_padding(convolution, 2, 10) == 2 * 2 * 3 * 5 * (7 * 10 - inside)


@pytest.mark.slow
@pytest.mark.exported
def test_a_small_run_writes_a_figure_for_each_profile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(figures, "OUT", tmp_path)
    monkeypatch.setattr(graphs, "MODALITIES", (Modality.SKELETAL, Modality.SCENIC))
    # Of these streams, but of another width: tracing them again would take most of the time.
    monkeypatch.setattr(graphs, "stream_graph", lambda model, modality, profile: exported.stream(modality, profile))
    options = ["--width", "0.02", "--seconds", "1", "--clips", "2", "--rounds", "1"]
    monkeypatch.setattr(sys, "argv", ["graphs", *options])
    graphs.main()
    written = json.loads((tmp_path / "graphs.json").read_text())["figures"]
    assert sum(figure["name"].startswith("whole clip") for figure in written) == len(WHOLE)
    assert all(figure["value"] > 0 for figure in written)
    assert {figure["bar"] for figure in written} == {None, 2.0, 4.0}
