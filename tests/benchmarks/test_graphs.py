"""The benchmark of the exported graphs: what a ratio is, and that a small run gives all of them."""

import json
import sys
from pathlib import Path

import pytest

from benchmarks import figures, graphs
from benchmarks.graphs import TORCH, WAYS, whole_clip
from schemas.export_profiles import Profile
from schemas.modalities import Modality


def test_the_whole_clip_is_the_sum_of_its_streams() -> None:
    first = {TORCH: 6.0, Profile.EXACT: 3.0, Profile.FAST: 2.0, Profile.INT8: 1.0}
    second = {TORCH: 4.0, Profile.EXACT: 7.0, Profile.FAST: 3.0, Profile.INT8: 1.0}
    ratios = whole_clip({Modality.SKELETAL: first, Modality.SCENIC: second})
    assert ratios == {TORCH: 1.0, Profile.EXACT: 1.0, Profile.FAST: 2.0, Profile.INT8: 5.0}


@pytest.mark.slow
def test_a_small_run_writes_a_figure_for_each_profile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(figures, "OUT", tmp_path)
    monkeypatch.setattr(graphs, "MODALITIES", (Modality.SKELETAL, Modality.SCENIC))
    options = ["--width", "0.02", "--seconds", "1", "--clips", "2", "--rounds", "1"]
    monkeypatch.setattr(sys, "argv", ["graphs", *options])
    graphs.main()
    written = json.loads((tmp_path / "graphs.json").read_text())["figures"]
    assert len(written) == len(WAYS) - 1
    assert all(figure["value"] > 0 for figure in written)
    assert {figure["bar"] for figure in written} == {None, 2.0, 4.0}
