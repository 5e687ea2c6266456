"""The paper's tables, on small data sets on disk."""

import csv
from collections.abc import Sequence
from pathlib import Path

import msgspec
import numpy as np
import pytest
from scipy.stats import spearmanr

from benchmarks import tables
from benchmarks.paper_tables import running as tables_running
from benchmarks.paper_tables.cells import Cell, Job, planned, read_cell, write_cell
from benchmarks.paper_tables.figures import Figure, SeedFigure, attention_of, figure_of
from benchmarks.paper_tables.rendering import Results, as_markdown, draw, grids, write_csv
from dancerank.fitting.learning import Clips, open_clips
from dancerank.fitting.recipe import Recipe
from networks.methods import METHODS, TABLES
from networks.model_config import ViralityModelConfig
from networks.training import TrainingSettings
from schemas.errors import ConfigurationError
from schemas.features import ClipFeatures
from schemas.modalities import Modality
from tests.clips import trembling
from vdv.annotations import Annotation
from vdv.folder import Clip, DataSet, open_data_set, rewrite_annotations, write_data_set
from vdv.splits import draw_folds, draw_split

SETTINGS = """
[network]
graph_width = 0.03
temporal_width = 0.02
fusion_width = 0.1

[training]
epochs = 1
learning_rate = 1e-3
"""
RECIPE = Recipe({"graph_width": 0.03}, {"epochs": 1})


def clips_of(count: int, layout: str = "mpii-16", joints: int = 16) -> list[Clip]:
    """Two challenges, eight dancers; every fourth clip has no skeleton."""
    generator = np.random.default_rng(0)
    clips = []
    for number in range(count):
        score = generator.random()
        frames = {Modality.SCENIC: generator.normal(0.3 + score, 0.3, (5, 512)).astype(np.float32)}
        if number % 4:
            frames[Modality.SKELETAL] = np.float32(score) * trembling(generator, joints)
        annotation = Annotation(
            clip_id=f"clip-{number}",
            dancer_id=f"dancer-{number % 8}",
            challenge_id="ab"[number // 8 % 2],
            duration_s=3.0,
            score=float(score),
        )
        clips.append(Clip(annotation, ClipFeatures(frames, layout if Modality.SKELETAL in frames else None)))
    return clips


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> DataSet:
    written = write_data_set(tmp_path_factory.mktemp("data") / "dances", clips_of(32))
    return rewrite_annotations(written, draw_split(written.annotations, test_share=0.25))


@pytest.fixture(scope="module")
def clips(data: DataSet) -> Clips:
    return open_clips(data, lambda what, done, total: None)


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("recipe") / "recipe.toml"
    path.write_text(SETTINGS)
    return path


@pytest.fixture(scope="module")
def command(data: DataSet, settings: Path, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    out = tmp_path_factory.mktemp("out") / "tables"
    given = {"--table": "streams", "--seeds": "0", "--workers": "1", "--settings": settings, "--out": out}
    return [str(data.folder), *(str(part) for pair in given.items() for part in pair)]


@pytest.fixture(scope="module")
def out(command: list[str]) -> Path:
    """The folder of a table that was made, with one process."""
    assert tables.main(command) == 0
    return Path(command[-1])


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def cell(job: Job, predicted: Sequence[float], truth: Sequence[float], names: Sequence[str]) -> Cell:
    return Cell(
        made_with=job.made_with,
        method=job.method,
        track=job.track,
        fold=job.fold,
        seconds=2.0,
        clips_learned_from=4,
        clip_ids=tuple(names),
        truth=tuple(truth),
        predicted=tuple(predicted),
        attention={},
    )


def job(fold: str, seed: int | None) -> Job:
    return Job(
        folder=Path("nowhere"),
        method="psgcn",
        track="all",
        fold=fold,
        learned=[0],
        held_out=[1],
        network=ViralityModelConfig(modalities=(Modality.SKELETAL,)),
        settings=None if seed is None else TrainingSettings(seed=seed),
        made_with={"fold": fold, "seed": seed},
    )


def test_a_table_has_a_row_for_every_method_and_says_what_is_missing(out: Path) -> None:
    rows = {row["method"]: row for row in rows_of(out / "streams.csv")}
    assert list(rows) == ["PSGCN", "RTCN (holistic)", "RTCN (facial)", "RTCN (scenic)", "Integrated"]
    assert rows["Integrated"]["modalities"] == "skeletal+scenic"
    assert rows["RTCN (facial)"]["src_fold_mean"] == ""
    assert rows["RTCN (facial)"]["note"] == "there are no facial features"
    text = (out / "streams.md").read_text()
    assert "– RTCN (holistic) (all): there are no holistic features" in text
    assert "Integrated (all): of skeletal+scenic only" in text
    assert (out / "streams.png").read_bytes().startswith(b"\x89PNG")


def test_the_figures_are_those_of_the_stored_predictions(out: Path, clips: Clips) -> None:
    rows = {row["method"]: row for row in rows_of(out / "streams.csv")}
    stored = [msgspec.json.decode(path.read_bytes(), type=Cell) for path in (out / "cells").iterdir()]
    assert len(stored) == 3
    truth = dict(zip(clips.names(range(32)), clips.targets, strict=True))
    for found in stored:
        row = rows[METHODS[found.method].label]
        assert [truth[name] for name in found.clip_ids] == list(found.truth)
        assert float(row["src_fold_mean"]) == pytest.approx(spearmanr(found.predicted, found.truth)[0], abs=1e-6)
        assert row["clips"] == str(len(found.truth))


def test_attention_is_written_by_challenge_and_sums_to_one_where_all_is_there(out: Path) -> None:
    rows = rows_of(out / "streams-attention.csv")
    assert {(row["challenge"], row["modality"]) for row in rows} == {
        (c, m) for c in "ab" for m in ("skeletal", "scenic")
    }
    assert all(0 < float(row["mean_attention"]) < 1 for row in rows)


def test_what_is_done_is_not_done_again(out: Path, command: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    before = {path: path.stat().st_mtime_ns for path in (out / "cells").iterdir()}
    figures = (out / "streams.csv").read_bytes()
    monkeypatch.setattr(tables_running, "ProcessPoolExecutor", None)
    assert tables.main(command) == 0
    assert {path: path.stat().st_mtime_ns for path in (out / "cells").iterdir()} == before
    assert (out / "streams.csv").read_bytes() == figures


def test_a_cell_that_fails_leaves_the_others(
    tmp_path: Path, settings: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "coco"
    written = write_data_set(folder, clips_of(16, "coco-17", 17))
    rewrite_annotations(written, draw_folds(written.annotations, 2))
    out = tmp_path / "out"
    command = [folder, "--table", 3, "--methods", "pose-dct,dmgnn", "--seeds", 0, "--workers", 2]
    assert tables.main([*map(str, command), "--settings", str(settings), "--out", str(out)]) == 1
    printed = capsys.readouterr()
    assert "failed: DMGNN, all, fold 0, seed 0: " in printed.err
    assert "coco-17" in printed.err
    assert "failed DMGNN (all): 2 of 2 cells failed" in printed.out
    rows = {row["method"]: row for row in rows_of(out / "table3.csv")}
    assert rows["DMGNN"]["src_fold_mean"] == ""
    assert rows["Pose+DCT"]["seed"] == ""
    assert -1 <= float(rows["Pose+DCT"]["src_fold_mean"]) <= 1


def test_another_recipe_seed_or_data_set_is_another_cell(clips: Clips) -> None:
    def names(seeds: Sequence[int] = (0,), recipe: Recipe = RECIPE, used: Clips = clips) -> set[str]:
        return {job.name for job in planned(used, [METHODS["psgcn"]], ["all"], seeds, recipe).distinct()}

    assert names() == names()
    assert len(names(seeds=(0, 1)) - names()) == 1
    assert not names() & names(recipe=Recipe({"graph_width": 0.03}, {"epochs": 2}))
    assert not names() & names(recipe=Recipe({"graph_width": 0.06}, {"epochs": 1}))
    assert not names() & names(used=clips._replace(digests=("other", *clips.digests[1:])[::-1]))
    assert names() == names(recipe=Recipe({"graph_width": 0.03}, {"epochs": 1, "loader_workers": 1}))


def test_tables_share_the_cells_that_are_the_same(clips: Clips) -> None:
    third, ablation = (planned(clips, [METHODS[name]], ["all"], [0], RECIPE) for name in ("psgcn", "psgcn-bounded"))
    assert [job.name for job in third.distinct()] == [job.name for job in ablation.distinct()]
    together = planned(clips, [METHODS["psgcn"], METHODS["psgcn-bounded"]], ["all"], [0], RECIPE)
    assert len(together.distinct()) == 1


def test_a_method_is_given_the_clips_that_it_can_read(clips: Clips) -> None:
    plan = planned(clips, [METHODS["psgcn"], METHODS["rtcn-scenic"]], ["a"], [0], RECIPE)
    (skeletal,), (scenic,) = plan.jobs["psgcn", "a"], plan.jobs["rtcn-scenic", "a"]
    for ours, every in ((skeletal.learned, scenic.learned), (skeletal.held_out, scenic.held_out)):
        assert ours == [row for row in every if Modality.SKELETAL in clips.modalities[row]]
        assert {clips.data.annotations[row].challenge_id for row in every} == {"a"}
    assert len(scenic.learned) + len(scenic.held_out) == 16


def test_a_regressor_has_one_cell_for_all_seeds(clips: Clips) -> None:
    plan = planned(clips, [METHODS["pose-dct"]], ["all"], [0, 1, 2], RECIPE)
    assert [job.settings for job in plan.distinct()] == [None]


def test_a_cell_reads_back_and_a_broken_one_is_named(tmp_path: Path) -> None:
    ours = job("split", 0)
    assert read_cell(tmp_path, ours) is None
    written = cell(ours, [0.1, 0.2], [0.0, 1.0], ["a", "b"])
    write_cell(tmp_path, ours, written)
    assert read_cell(tmp_path, ours) == written
    (tmp_path / f"{ours.name}.json").write_text("{")
    with pytest.raises(ConfigurationError, match=ours.name):
        read_cell(tmp_path, ours)


def test_a_figure_is_the_mean_over_seeds_of_the_mean_over_folds() -> None:
    generator = np.random.default_rng(0)
    jobs = [job(fold, seed) for seed in (0, 1) for fold in ("fold 0", "fold 1", "fold 2")]
    cells = {}
    for index, each in enumerate(jobs):
        size = 1 if each.fold == "fold 2" else 6
        names = [f"{each.fold}-{row}" for row in range(size)]
        cells[each.name] = cell(
            each, (generator.random(size) + index % 3).tolist(), generator.random(size).tolist(), names
        )
    figure = figure_of(jobs, cells, None, resamples=50)
    means, pooled = [], []
    for seed in (0, 1):
        parts = [cells[each.name] for each in jobs if each.settings is not None and each.settings.seed == seed]
        means.append(np.mean([spearmanr(part.predicted, part.truth)[0] for part in parts[:2]]))
        everything = [sum((getattr(part, side) for part in parts), ()) for side in ("predicted", "truth")]
        pooled.append(spearmanr(*everything)[0])
    assert [seed.clips for seed in figure.seeds] == [13, 13]
    assert figure.mean == pytest.approx(np.mean(means))
    assert figure.deviation == pytest.approx(np.std(means, ddof=1))
    assert figure.pooled == pytest.approx(np.mean(pooled))
    low, high = figure.interval
    assert low < figure.mean < high


def test_the_interval_draws_whole_dancers() -> None:
    ours = job("split", 0)
    names = [f"clip-{number}" for number in range(12)]
    cells = {ours.name: cell(ours, [float(n % 5) for n in range(12)], [float(n) for n in range(12)], names)}
    alone = figure_of([ours], cells, {name: name for name in names}, resamples=50)
    grouped = figure_of([ours], cells, dict.fromkeys(names, "one dancer"), resamples=50)
    assert alone.interval[0] < alone.mean < alone.interval[1]
    assert grouped.interval == pytest.approx((grouped.mean, grouped.mean))


def test_mean_attention_leaves_out_clips_without_the_modality() -> None:
    first, second = job("split", 0), job("split", 1)
    cells = {
        each.name: msgspec.structs.replace(
            cell(each, [0.0, 0.0, 0.0], [0.0, 0.5, 1.0], ["a", "b", "c"]),
            attention={"skeletal": (0.5 + shift, None, 0.5), "scenic": (0.5 - shift, 1.0, 0.5)},
        )
        for each, shift in ((first, 0.1), (second, 0.3))
    }
    found = attention_of([first, second], cells, {"a": "x", "b": "x", "c": "y"})
    assert [(row.challenge, row.modality, row.clips) for row in found] == [
        ("x", "skeletal", 1), ("x", "scenic", 2), ("y", "skeletal", 1), ("y", "scenic", 1),
    ]  # fmt: skip
    assert [row.mean for row in found] == pytest.approx([0.7, (0.4 + 1 + 0.2 + 1) / 4, 0.5, 0.5])


@pytest.mark.parametrize("tracks", [("all",), ("a", "b", "c", "all")])
def test_the_best_of_each_track_is_bold(tracks: tuple[str, ...], tmp_path: Path) -> None:
    figures = {}
    for place, method in enumerate(("psgcn-bounded", "psgcn-printed")):
        for track in tracks:
            value = 0.5 if track == "all" else 0.1 * (place + 1)
            seeds = tuple(SeedFigure(seed, 9, value, value, value - 0.2, value + 0.2) for seed in (0, 1))
            figures[method, track] = Figure(method, track, (Modality.SKELETAL,), seeds)
    figures["psgcn-printed", "all"] = Figure("psgcn-printed", "all", mark="failed", missing="no reason")
    results = Results(TABLES["eq6"], "dances", tracks, figures)
    assert [results.best(track) for track in tracks] == [{"psgcn-printed"}] * (len(tracks) - 1) + [{"psgcn-bounded"}]
    text = "\n".join(map(as_markdown, grids(results)))
    assert "**0.500 ± 0.000**" in text
    assert text.count("**0.200 ± 0.000**") == len(tracks) - 1
    assert "| failed |" in text
    draw(results, tmp_path / "table.png")
    write_csv(results, tmp_path / "table.csv")
    assert (tmp_path / "table.png").read_bytes().startswith(b"\x89PNG")
    assert len(rows_of(tmp_path / "table.csv")) == 4 * len(tracks) - 1


def test_tracks_are_in_the_order_of_the_papers_columns() -> None:
    assert tables.chosen_tracks("all,single", ["a", "b"]) == ("a", "b", "all")
    assert tables.chosen_tracks("all,b", ["a", "b"]) == ("b", "all")


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--methods", "psgcn,nothing"], "'nothing' is not a method of table streams; they are psgcn, rtcn"),
        (["--seeds", "a"], "'a' is not a list"),
        (["--tracks", "waltz"], "no challenge is called 'waltz'"),
        (["--tracks", ","], "names none"),
        (["--methods", ","], "--methods names none; they are psgcn, rtcn"),
        (["--out", "/dev/null/out"], "cannot be made"),
        (["--workers", "0"], "at least 1"),
    ],
)
def test_what_cannot_be_asked_is_refused_with_what_can(
    arguments: list[str], complaint: str, data: DataSet, capsys: pytest.CaptureFixture[str]
) -> None:
    assert tables.main([str(data.folder), "--table", "streams", *arguments]) == 2
    assert complaint in capsys.readouterr().err


def test_a_recipe_cannot_set_what_the_rows_differ_in(
    data: DataSet, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "recipe.toml"
    path.write_text('[training]\nterms = ["error"]\n')
    assert tables.main([str(data.folder), "--table", "5", "--settings", str(path)]) == 2
    assert "[training] sets terms" in capsys.readouterr().err


def test_a_recipe_for_other_poses_is_refused(data: DataSet, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "recipe.toml"
    path.write_text('[network]\njoint_layout = "coco-17"\n')
    assert tables.main([str(data.folder), "--table", "streams", "--settings", str(path)]) == 2
    assert "the settings ask for coco-17" in capsys.readouterr().err


def test_data_without_a_partition_is_refused_with_the_remedy(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_data_set(tmp_path / "data", clips_of(4))
    assert tables.main([str(tmp_path / "data"), "--table", "3"]) == 2
    assert "dancerank data split" in capsys.readouterr().err


def test_data_that_changed_meanwhile_are_refused(clips: Clips) -> None:
    (ours,) = planned(clips, [METHODS["pose-dct"]], ["all"], [0], RECIPE).distinct()
    changed = clips._replace(digests=clips.digests[::-1])
    with pytest.raises(tables.DancerankError, match="has changed"):
        tables_running.made(ours, changed)


def test_the_time_left_follows_from_the_cells_done() -> None:
    pace = tables_running.Pace([])
    waiting = [msgspec.structs.replace(job("split", 0), learned=list(range(10)))]
    assert pace.left_s(waiting, [], 1) is None
    pace.saw("psgcn", 2.0, 4)
    assert pace.left_s(waiting * 4, [], 2) == pytest.approx(10.0)
    assert pace.left_s([msgspec.structs.replace(waiting[0], method="dmgnn")], [], 1) == pytest.approx(5.0)


def test_a_data_set_is_opened_once_per_process(data: DataSet) -> None:
    first = tables_running._opened(data.folder)
    assert tables_running._opened(data.folder) is first
    assert len(open_data_set(data.folder)) == len(first.data)
