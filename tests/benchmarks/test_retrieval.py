"""The benchmark of retrieval: its vectors, its measures, and that a small run gives every figure."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks import figures, retrieval
from benchmarks.retrieval import least_effort
from benchmarks.workloads.vectors import HardVectors, intrinsic_dimension, recall, unit_rows
from schemas.modalities import Modality

WIDTHS = {Modality.SKELETAL: 8, Modality.SCENIC: 16}


def test_the_intrinsic_dimension_is_that_of_the_set_not_of_the_space() -> None:
    rng = np.random.default_rng(0)
    for dimension in (3, 8):
        directions = unit_rows(rng.standard_normal((4000, dimension + 1)) @ rng.standard_normal((dimension + 1, 200)))
        assert intrinsic_dimension(directions) == pytest.approx(dimension, rel=0.15)


def test_recall_is_the_share_of_true_neighbours() -> None:
    assert recall([[1, 2, 3], [4, 5, 6]], [[3, 2, 1], [6, 7, 8]]) == 4 / 6


def test_hard_vectors_are_the_same_however_many_are_made() -> None:
    vectors = HardVectors(WIDTHS)
    few, many = [[*vectors.blocks(count)] for count in (5000, 9000)]
    for modality, width in WIDTHS.items():
        held = np.concatenate([block[modality] for block in few])
        assert held.shape == (5000, width)
        np.testing.assert_array_equal(held, np.concatenate([block[modality] for block in many])[:5000])
        np.testing.assert_allclose(np.linalg.norm(held, axis=1), 1, rtol=1e-5)


def test_a_rival_runs_at_the_least_effort_that_reaches_the_recall_or_else_at_its_best() -> None:
    queries, truth = np.zeros((1, 4), np.float32), [[1, 2, 3, 4]]
    searches = {effort: lambda _query, _k, effort=effort: [1, 2, 3, 4][:effort] for effort in (1, 2, 3)}
    assert least_effort(searches, queries, truth, 0.5) == 2  # type: ignore[arg-type]
    assert least_effort(searches, queries, truth, 1.0) == 3  # type: ignore[arg-type]


def test_a_set_with_fewer_vectors_than_queries_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["retrieval", "--embedded", "100", "--queries", "100"])
    with pytest.raises(SystemExit):
        retrieval.parse()


@pytest.mark.slow
def test_a_small_run_finds_what_streams_in_and_nothing_that_was_deleted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(figures, "OUT", tmp_path)
    monkeypatch.setattr(retrieval, "PAPER_WIDTHS", {Modality.SKELETAL: 8, Modality.HOLISTIC: 16})
    monkeypatch.setattr(retrieval, "RIVALS", ())
    options = {"--clips": 500, "--race": 300, "--embedded": 40, "--queries": 5, "--seconds": 1, "--folder": tmp_path}
    monkeypatch.setattr(sys, "argv", ["retrieval", *(str(part) for option in options.items() for part in option)])
    retrieval.main()
    written = {
        each["name"].split(",")[0]: each for each in json.loads((tmp_path / "retrieval.json").read_text())["figures"]
    }
    assert written["weighted recall@10"]["value"] == 1
    assert written["hits deleted or twice"]["value"] == 0
    assert written["upsert until it can be found"]["value"] > 0
