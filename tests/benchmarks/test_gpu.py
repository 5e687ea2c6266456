"""The benchmark for a GPU: what it carries along comes back whole, limits are the nearer ones, and it runs in small."""

import json
import sys
from pathlib import Path

import pytest

from benchmarks import figures, gpu
from benchmarks.gpu import Machine, limit_of
from benchmarks.workloads.gpu_pieces import join, split


@pytest.mark.parametrize("size", [1, 4, 9, 10])
def test_pieces_join_to_the_file_that_was_split(tmp_path: Path, size: int) -> None:
    path = tmp_path / "x.whl"
    path.write_bytes(b"0123456789")
    split(path, size)
    assert path.exists() == (size == 10)
    if size < 10:
        pieces = sorted(tmp_path.iterdir())
        assert all(piece.stat().st_size <= size for piece in pieces)
        assert join(pieces[0]) == path
    assert path.read_bytes() == b"0123456789"


def test_the_nearer_limit_counts_and_features_that_stay_are_not_copied() -> None:
    machine = Machine(float32=100.0, float16=1_000.0, copies=40.0)
    assert limit_of(machine, 10.0, 1.0, half=False, copied=True) == (10.0, "operations")
    assert limit_of(machine, 10.0, 1.0, half=True, copied=True) == (20.0, "copies")
    assert limit_of(machine, 10.0, 1.0, half=True, copied=False) == (100.0, "operations")


@pytest.mark.slow
def test_a_small_run_on_the_cpu_gives_every_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(figures, "OUT", tmp_path)
    monkeypatch.setattr(sys, "argv", ["gpu", "--quick"])
    gpu.main()
    written = json.loads((tmp_path / "gpu.json").read_text())
    names = {figure["name"] for figure in written["figures"]}
    for row in (
        "torch eager, whole clip, float32",
        "graphs, skeletal, float32",
        "graphs, scenic, float32",
        "graphs, whole clip, float32",
        "streamer without Kafka, clips of 5 to 15 s",
        "streamer with Kafka, clips of 5 to 15 s",
    ):
        assert row in names
    assert all(figure["value"] > 0 for figure in written["figures"])
