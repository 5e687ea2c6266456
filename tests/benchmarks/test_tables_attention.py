"""What was planted beside what came out, on data sets whose answer is known by hand."""

import csv
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final

import pytest

from benchmarks import tables
from benchmarks.paper_tables import running as tables_running
from benchmarks.paper_tables.attention import ceiling, read_planted
from benchmarks.paper_tables.cells import Cell, planned, write_cell
from dancerank.fitting.learning import open_clips
from dancerank.fitting.recipe import Recipe
from dancerank.synthetic.data_set import IMPORTANCE_TABLE, PLANTED
from networks.methods import METHODS
from schemas.modalities import FUSED_MODALITIES, Modality
from tests.clips import random_features
from vdv.annotations import Annotation
from vdv.errors import DataSetError
from vdv.folder import Clip, DataSet, write_data_set
from vdv.splits import track_folds

FACIAL, SCENIC, HOLISTIC = Modality.FACIAL, Modality.SCENIC, Modality.HOLISTIC
READ: Final = (HOLISTIC, FACIAL, SCENIC)
LEARNED: Final = 4
"""The first clips of each challenge; the others are held out."""


def written(
    folder: Path,
    scores: Sequence[float],
    quality: Mapping[str, Sequence[dict[Modality, float]]],
    importance: dict[str, dict[Modality, float]],
    faceless: Iterable[str] = (),
) -> DataSet:
    """A data set with clips ``x-0``, ``x-1``… of each challenge, of equal scores in all, and what was planted in it."""
    clips = []
    for challenge in quality:
        for number, score in enumerate(scores):
            clip_id = f"{challenge}-{number}"
            seen = [m for m in READ if m is not FACIAL or clip_id not in faceless]
            annotation = Annotation(
                clip_id=clip_id,
                dancer_id=f"dancer-{clip_id}",
                challenge_id=challenge,
                duration_s=3.0,
                score=score,
                split="train" if number < LEARNED else "test",
            )
            clips.append(Clip(annotation, random_features(3.0, modalities=seen)))
    data = write_data_set(folder, clips)
    rows = [
        [f"{challenge}-{number}", *(each.get(m, 0.0) for m in FUSED_MODALITIES), 0.0]
        for challenge, clips_of in quality.items()
        for number, each in enumerate(clips_of)
    ]
    table(folder / PLANTED, [["clip_id", *FUSED_MODALITIES, "virality"], *rows])
    weights = [[c, m, row.get(m, 0.0)] for c, row in importance.items() for m in FUSED_MODALITIES]
    table(folder / IMPORTANCE_TABLE, [["challenge_id", "modality", "weight"], *weights])
    return data


def table(path: Path, rows: Sequence[Sequence[object]]) -> None:
    with path.open("w", newline="") as file:
        csv.writer(file).writerows(rows)


def opposed(folder: Path, faceless: Iterable[str] = ()) -> DataSet:
    """In x only the face matters and in y only the scene; the other of the two is planted against it.

    Qualities of y are spread eight times as wide, so a line that fits x does not fit y.
    """
    scores = [0.0, 0.2, 0.8, 1.0, 0.1, 0.5, 0.9]
    quality = {
        "x": [{FACIAL: score, SCENIC: -score} for score in scores],
        "y": [{FACIAL: -8 * score, SCENIC: 8 * score} for score in scores],
    }
    return written(folder, scores, quality, {"x": {FACIAL: 1.0}, "y": {SCENIC: 1.0}}, faceless)


def reached(data: DataSet) -> tuple[float, float]:
    planted = read_planted(data)
    assert planted is not None
    return ceiling(open_clips(data, lambda what, done, total: None), track_folds(data), planted)


def test_who_reads_the_qualities_weighted_as_planted_has_the_order_and_weighted_equally_has_none(
    tmp_path: Path,
) -> None:
    assert reached(opposed(tmp_path / "data")) == pytest.approx((1.0, 0.0))


def test_the_quality_of_what_a_clip_lacks_is_not_read(tmp_path: Path) -> None:
    """Without a face a clip of x is read as 0. That is where its worst held-out clip stands anyway, and far from where
    its best one does."""
    assert reached(opposed(tmp_path / "worst", ["x-4"]))[0] == pytest.approx(1.0, abs=0.03)
    assert reached(opposed(tmp_path / "best", ["x-6"]))[0] < 0.6


def test_the_command_says_how_attention_compares_with_importance(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Importance orders holistic, facial, scenic in both challenges. Attention does so in x, with either seed; in y it
    changes the last two with seed 0 (ρ = 0.5) and the first two with seed 1 (ρ = 0.5). Who reads the qualities sees no
    face in y-5, and takes it for less than x-5, its equal: ranks (1.5, 1.5, 4, 3) for (1.5, 1.5, 3.5, 3.5).
    """
    importance = {HOLISTIC: 0.5, FACIAL: 0.3, SCENIC: 0.2}
    scores = [0.0, 0.2, 0.8, 1.0, 0.1, 0.9]
    planted = [{HOLISTIC: score, FACIAL: score, SCENIC: score} for score in scores]
    data = written(
        tmp_path / "dances", scores, {"x": planted, "y": planted}, {"x": importance, "y": importance}, ["y-5"]
    )
    in_order = {"holistic": (0.6, 0.4), "facial": (0.3, 0.35), "scenic": (0.1, 0.25)}
    in_y = [
        {"holistic": (0.5, 0.7), "facial": (0.2, None), "scenic": (0.3, 0.3)},
        {"holistic": (0.3, 0.8), "facial": (0.6, None), "scenic": (0.1, 0.2)},
    ]
    methods, out = ["integrated", "no-fusion"], tmp_path / "out"
    clips = open_clips(data, lambda what, done, total: None)
    plan = planned(clips, [METHODS[name] for name in methods], ["all"], [0, 1], Recipe({}, {}))
    (out / "cells").mkdir(parents=True)
    for job in plan.distinct():
        assert job.settings is not None
        attention: dict[str, tuple[float | None, ...]] = {
            modality: (*in_order[modality], *in_y[job.settings.seed][modality]) for modality in in_order
        }
        names, truth = clips.names(job.held_out), tuple(clips.targets[job.held_out].tolist())
        cell = Cell(
            made_with=job.made_with, method=job.method, track="all", fold=job.fold, seconds=1.0, clips_learned_from=8,
            clip_ids=tuple(names), truth=truth, predicted=truth, attention=attention,
        )  # fmt: skip
        write_cell(out / "cells", job, cell)
    monkeypatch.setattr(tables_running, "ProcessPoolExecutor", None)
    arguments = [data.folder, "--table", 5, "--methods", ",".join(methods), "--seeds", "0,1", "--out", out]
    assert tables.main([str(argument) for argument in arguments]) == 0
    text = (out / "table5.md").read_text()
    assert "| Integrated | 0 | 2 of 2 | 1 of 2 | 0.75 |" in text
    assert "| Integrated | 1 | 1 of 2 | 1 of 2 | 0.75 |" in text
    assert text.count(" of 2 | ") == 4, "equal weights are no attention"
    assert "| weighted as planted | 0.943 |" in text  # 4 / √18
    assert "Mean attention and planted importance, dances" in capsys.readouterr().out


def test_a_data_set_that_nothing_was_planted_in_is_left_alone(tmp_path: Path) -> None:
    data = opposed(tmp_path / "data")
    (data.folder / PLANTED).unlink()
    assert read_planted(data) is None


@pytest.mark.parametrize(
    ("name", "old", "new", "complaint"),
    [
        (PLANTED, "x-1,0.0,0.0,0.2", "x-1,0.0,0.0,much", f"{PLANTED}, line 3: facial is not a number"),
        (PLANTED, "x-1,", "z-1,", "no row of clip x-1"),
        (IMPORTANCE_TABLE, "x,facial,1.0", "x,facial,nan", "line 4: weight is not a number"),
        (IMPORTANCE_TABLE, "y,scenic", "y,scenery", "not one row for each modality of y"),
    ],
)
def test_what_cannot_be_read_of_the_planted_is_named(
    name: str, old: str, new: str, complaint: str, tmp_path: Path
) -> None:
    data = opposed(tmp_path / "data")
    path = data.folder / name
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))
    with pytest.raises(DataSetError, match="write the data set again") as caught:
        read_planted(data)
    assert complaint in caught.value.message
