"""A modality that a package adds, and nothing else: no file of dancerank knows it."""

import json
from pathlib import Path

import pytest

from schemas.modalities import MODALITIES, PAPER_MODALITIES, Dimension, Modality
from tests.modalities.packages import install, python


def test_an_added_modality_is_scored_indexed_ranked_and_answered(tmp_path: Path) -> None:
    install(tmp_path, "audio", '{"channels": 64, "rate_hz": 100.0}')
    ran = python(tmp_path, "-m", "tests.modalities.added_system", "audio")
    assert ran.returncode == 0, ran.stderr
    answers = json.loads(ran.stdout.splitlines()[-1])
    assert answers["dead"] == []
    assert {hit["clip_id"] for hit in answers["similar"]["hits"]} == {"clip-1", "clip-2", "clip-3"}
    assert all(set(hit["similarities"]) >= {"audio"} for hit in answers["similar"]["hits"])
    assert {entry["clip_id"] for entry in answers["ranking"]["entries"]} == {f"clip-{n}" for n in range(4)}
    assert answers["attention"]["present"] == {"scenic": 5, "audio": 4}
    assert set(answers["clip"]["scores"]) == {"scenic", "audio", "fused"}
    assert sum(answers["clip"]["attention"].values()) == pytest.approx(1, abs=1e-3)
    assert answers["silent"]["missing"] == ["audio"]


def test_added_rows_follow_the_papers_sorted_by_name(tmp_path: Path) -> None:
    install(tmp_path, "zither", '{"channels": 2, "rate_hz": 10.0}')
    install(tmp_path, "audio", '{"channels": 64, "rate_hz": 100.0, "step_cost": 0.5}')
    shown = (
        "import json; from schemas.modalities import *; print(json.dumps(["
        "[m, m.channels, m.rate_hz, m.step_cost, m.in_paper, m.is_fused] "
        "for m in MODALITIES[4:]] + [list(DIMENSIONS)]))"
    )
    routine, audio, zither, dimensions = json.loads(python(tmp_path, "-c", shown).stdout)
    assert routine == ["routine", 3072, 1.0, 25.0, False, False]
    assert audio == ["audio", 64, 100.0, 0.5, False, True]
    assert zither == ["zither", 2, 10.0, 2.5, False, True]
    assert dimensions == ["skeletal", "holistic", "facial", "scenic", "routine", "audio", "zither", "fused"]


@pytest.mark.parametrize(
    ("name", "columns", "problem"),
    [
        ("skeletal", '{"channels": 64, "rate_hz": 100.0}', "is taken"),
        ("fused", '{"channels": 64, "rate_hz": 100.0}', "is taken"),
        ("Audio", '{"channels": 64, "rate_hz": 100.0}', "must match"),
        ("audio", '{"channels": 0, "rate_hz": 100.0}', "channels"),
        ("audio", '{"channels": 64}', "rate_hz"),
        ("audio", '{"channels": 64, "rate_hz": 100.0, "colour": 1}', "colour"),
        ("audio", "None", "give a mapping such as"),
    ],
)
def test_a_row_that_cannot_work_is_named_with_its_entry_point(
    tmp_path: Path, name: str, columns: str, problem: str
) -> None:
    install(tmp_path, name, columns)
    ran = python(tmp_path, "-c", "import schemas.modalities")
    last = ran.stderr.splitlines()[-1]
    assert "ConfigurationError" in last
    assert problem in last
    assert name in last


def test_names_that_do_not_fit_the_table_of_clips_together_are_refused(tmp_path: Path) -> None:
    for name in ("a" * 20, "b" * 20):
        install(tmp_path, name, '{"channels": 64, "rate_hz": 100.0}')
    ran = python(tmp_path, "-c", "import schemas.modalities")
    assert "choose shorter names" in ran.stderr.splitlines()[-1]


def test_the_paper_has_four_modalities_in_the_order_of_its_fusion() -> None:
    assert MODALITIES[:4] == PAPER_MODALITIES
    assert list(PAPER_MODALITIES) == ["skeletal", "holistic", "facial", "scenic"]
    assert [m.channels for m in PAPER_MODALITIES] == [None, 2048, 2048, 512]
    assert [m.rate_hz for m in PAPER_MODALITIES] == [25.0, 25.0, 3.0, 4.0]
    assert [m for m in Modality if m.has_joints] == [Modality.SKELETAL]
    assert list(Dimension) == [*MODALITIES, "fused"]
