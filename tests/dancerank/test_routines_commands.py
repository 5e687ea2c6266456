"""``dancerank routines``: from judged routines to a bundle that scores them, and what it says of data it cannot use."""

import dataclasses
import re
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from typer.testing import CliRunner

from dancerank.cli import app
from dancerank.fitting.routine_data import Published, featured_routines, published_routines
from schemas.bundle import read_bundle
from schemas.clock import ManualClock
from schemas.events import ClipScored, ClipUploaded, ClipUploadedV3
from schemas.features import ClipFeatures, decode_features
from schemas.modalities import Modality
from schemas.routine_network import ScoreRange, read_routine_network
from schemas.routines import unpacked
from streamer.runtimes.selection import open_runtime
from streamer.scoring import Scorer
from tests.routines import Change, data_set
from tests.small_bundle import write_small_bundle
from vdv.annotations import Annotation
from vdv.errors import DataSetError
from vdv.folder import open_data_set, rewrite_annotations
from vdv.uploads import check_uploads, read_uploads

POINTS = ScoreRange(0.0, 25.0)
HEADER = "Video_Name Difficulty_Score Execution_Score Total_Score Penalty Video_length\n"


def routine(frames: np.ndarray) -> ClipFeatures:
    return ClipFeatures({Modality.ROUTINE: frames.astype(np.float16)}, None, {})


def published(folder: Path, segments: int = 26, frames: int = 83, scores: str = "9 7.5 16.5 0 90") -> Path:
    """Rhythmic Gymnastics in its published layout: two routines to learn from, one to test on."""
    generator = np.random.default_rng(0)
    for kind, shape in (("dynamic_feat", (segments, 1024)), ("static_feat", (frames, 2048))):
        (folder / kind).mkdir(parents=True)
        for number in (1, 2, 3):
            length = shape[0] if number == 2 else {1024: 26, 2048: 83}[shape[1]]
            np.save(folder / kind / f"Ball_00{number}.npy", generator.exponential(0.5, (length, shape[1])))
    (folder / "train.txt").write_text(f"{HEADER}Ball_001 9 8 17 0 90\nBall_002 {scores}\n")
    (folder / "test.txt").write_text(f"{HEADER}Ball_003 8 8 16 0 90\n")
    return folder


def run(*arguments: Any) -> Any:
    return CliRunner().invoke(app, ["routines", *map(str, arguments)], env={"COLUMNS": "200"})


def test_a_bundle_learns_to_score_the_routines_of_a_data_set(tmp_path: Path) -> None:
    data = data_set(tmp_path / "data", routines=15)
    bundle = write_small_bundle(tmp_path / "bundle")
    options = ("--data", "features", "--lowest", 0, "--highest", 25, "--small", "--epochs", 1)
    trained = run("train", tmp_path / "data", "--out", tmp_path / "network", *options)
    assert trained.exit_code == 0, trained.output
    assert "0 is 0 points, 1 is 25 points" in trained.output
    assert "Fewer than 50 routines: their distribution is not stated" in trained.output
    network = read_routine_network(tmp_path / "network").described
    assert network.training_data == "data: 12 routines"
    assert -1 <= network.metrics["spearman_routine"] <= 1
    attached = run("attach", bundle, tmp_path / "network", "--out", tmp_path / "new")
    assert attached.exit_code == 0, attached.output
    shown = CliRunner().invoke(app, ["inspect", str(tmp_path / "new")], env={"COLUMNS": "200"})
    assert "temporal_attention (N, 2, T) float32" in shown.output
    assert "routine.trained_on" in shown.output

    upload = next(read_uploads(data, now_ms=1))
    features = data.features(data.annotations[0])
    with closing(open_runtime("onnxruntime", read_bundle(tmp_path / "new"))) as runtime:
        (result,) = Scorer(runtime, clock=ManualClock(start_ms=1)).score([(upload, features)])
    assert isinstance(result, ClipScored)
    assert 0 < result.fused_score < 1
    detached = run("detach", tmp_path / "new")
    assert "has no stream routine any more" in detached.output
    again = run("train", tmp_path / "data", "--out", tmp_path / "network", *options)
    assert (again.exit_code, "exists already" in again.output) == (1, True)


def test_published_features_become_clips_that_can_be_sent_and_learned_from(tmp_path: Path) -> None:
    source = published(tmp_path / "source")
    written = run("features", source, "--data", "gymnastics", "--apparatus", "Ball", "--out", tmp_path / "data")
    assert written.exit_code == 0, written.output
    data = open_data_set(tmp_path / "data")
    assert [(one.clip_id, one.duration_s, one.score, one.split) for one in data.annotations] == [
        ("Ball_001", 83.0, 17.0, "train"),
        ("Ball_002", 83.0, 16.5, "train"),
        ("Ball_003", 83.0, 16.0, "test"),
    ]
    check_uploads(data, now_ms=1)
    assert {type(upload) for upload in read_uploads(data, now_ms=1)} == {ClipUploadedV3}
    frames = decode_features(data.content(data.annotations[0])).frames[Modality.ROUTINE]
    dynamic, static = unpacked(frames)
    np.testing.assert_allclose(dynamic, np.load(source / "dynamic_feat" / "Ball_001.npy"), rtol=1e-3, atol=1e-6)
    np.testing.assert_allclose(static, np.load(source / "static_feat" / "Ball_001.npy"), rtol=1e-3, atol=1e-6)
    for found in (
        published_routines(Published(source, "gymnastics", "Ball", "total")),
        featured_routines(tmp_path / "data", POINTS),
    ):
        assert [[one.name for one in part] for part in (found.learned, found.tested)] == [
            ["Ball_001", "Ball_002"],
            ["Ball_003"],
        ]
        assert [one.score for one in found.learned] == [17.0, 16.5]
        np.testing.assert_allclose(found.learned[0].frames, frames, rtol=1e-3, atol=1e-6)


def test_short_clips_are_sent_by_the_first_version_of_the_event(tmp_path: Path) -> None:
    data = data_set(tmp_path / "data")
    short = [msgspec.structs.replace(one, duration_s=60.0) for one in data.annotations]
    uploads = read_uploads(dataclasses.replace(data, annotations=tuple(short)), now_ms=1)
    assert {type(upload) for upload in uploads} == {ClipUploaded}


def test_frames_that_are_missing_are_spread_over_the_time_of_the_segments(tmp_path: Path) -> None:
    source = published(tmp_path / "source", segments=28, frames=82)
    found = published_routines(Published(source, "gymnastics", "Ball", "total"))
    static = np.load(source / "static_feat" / "Ball_002.npy")
    frames = found.learned[1].frames
    assert len(frames) == 89
    np.testing.assert_allclose(frames[0, :2048], static[0], rtol=1e-6)
    np.testing.assert_allclose(frames[-1, :2048], static[81], rtol=1e-6)
    assert len(np.unique(frames[:, 0])) == 82


@pytest.mark.parametrize(
    ("choices", "said"),
    [
        ({"segments": 26, "frames": 120}, r"row 3: Ball_002 has 26 segments, which last 83 s, and 120 frames; give a"),
        ({"segments": 26, "frames": 30}, r"row 3: Ball_002 has 26 segments, which last 83 s, and 30 frames; give a"),
        ({"segments": 1, "frames": 1}, r"row 3: Ball_002 lasts 1 s; a routine is longer than 60 s.*; leave it out"),
        ({"segments": 188, "frames": 601}, r"row 3: Ball_002 lasts 601 s; a routine .* 600 s at most; cut it"),
        ({"scores": "9 8 25.5 0 90"}, r"train.txt, row 3, score: the score 25.5 lies outside 0 to 25; correct it"),
        ({"scores": "9 8 nan 0 90"}, r"train.txt, row 3: .*has a score that is not a finite number"),
    ],
)
def test_a_published_routine_that_cannot_be_learned_from_is_named_by_its_row(
    tmp_path: Path, choices: dict[str, Any], said: str
) -> None:
    source = published(tmp_path / "source", **choices)
    with pytest.raises(DataSetError, match=said):
        published_routines(Published(source, "gymnastics", "Ball", "total"))


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    ("value", "said"),
    [
        (1e5, "train.txt, row 2: Ball_001 holds 100000, and features are at most 65504; extract its features again"),
        (-1e30, "train.txt, row 2: Ball_001 holds -1e+30, and features are at most 65504; extract its features again"),
        (1e300, "Ball_001.npy: of row 2 of train.txt: holds values that are not finite as float32; extract the"),
    ],
)
def test_a_published_feature_that_no_file_can_hold_is_named_by_its_row(tmp_path: Path, value: float, said: str) -> None:
    path = published(tmp_path / "source") / "static_feat" / "Ball_001.npy"
    features = np.load(path)
    features[5, 5] = value
    np.save(path, features)
    options = ("--data", "gymnastics", "--apparatus", "Ball", "--out", tmp_path / "data")
    found = run("features", tmp_path / "source", *options)
    assert (found.exit_code, said in " ".join(found.output.split())) == (1, True), found.output
    with pytest.raises(DataSetError, match=re.escape(said)):
        published_routines(Published(tmp_path / "source", "gymnastics", "Ball", "total"))


def test_a_published_routine_that_shows_nothing_is_refused_as_its_upload_would_be(tmp_path: Path) -> None:
    source = published(tmp_path / "source")
    for kind, shape in (("dynamic_feat", (26, 1024)), ("static_feat", (83, 2048))):
        np.save(source / kind / "Ball_003.npy", np.ones(shape))
    with pytest.raises(
        DataSetError, match=r"test.txt, row 2: Ball_003 implausible by the rule 'contrast': .*; extract"
    ):
        published_routines(Published(source, "gymnastics", "Ball", "total"))


def test_routines_that_cannot_be_told_apart_are_refused_with_their_table(tmp_path: Path) -> None:
    source = published(tmp_path / "source", scores="10 7 17 0 90")
    asked = Published(source, "gymnastics", "Ball", "total")
    with pytest.raises(
        DataSetError, match=r"train.txt, score: the routines to learn from, 2, all have the score 17; add"
    ):
        published_routines(asked)
    assert len(published_routines(asked._replace(target="execution")).learned) == 2
    (source / "train.txt").write_text(f"{HEADER}Hoop_001 9 8 17 0 90\n")
    with pytest.raises(
        DataSetError, match=r"test.txt, split: has none to learn from: all 1 routines are .*; give some"
    ):
        published_routines(asked)
    data = data_set(tmp_path / "data")
    for changes, said in (
        ({"score": 3.0}, "clips.csv, score: the routines to .*, 4, all"),
        ({"split": "test"}, "all 4"),
    ):
        rewrite_annotations(data, [msgspec.structs.replace(one, **changes) for one in data.annotations])
        with pytest.raises(DataSetError, match=said):
            featured_routines(data.folder, POINTS)


def test_a_folder_of_another_layout_is_refused_by_its_file(tmp_path: Path) -> None:
    data_set(tmp_path / "data")
    with pytest.raises(DataSetError, match=r"train.txt cannot be read .*; give the published folder"):
        published_routines(Published(tmp_path / "data", "gymnastics", "Ball", "total"))
    with pytest.raises(DataSetError, match=r"scores.txt cannot be read .*; give the published folder"):
        published_routines(Published(tmp_path / "data", "skating", None, "total"))
    with pytest.raises(DataSetError, match=r"clips.csv: cannot be read"):
        featured_routines(published(tmp_path / "source"), POINTS)


def of_frames(make: Callable[[np.ndarray], np.ndarray]) -> Change:
    def change(annotation: Annotation, features: ClipFeatures) -> tuple[Annotation, ClipFeatures]:
        return annotation, routine(make(features.frames[Modality.ROUTINE]))

    return change


def scored(score: float | None) -> Change:
    return lambda annotation, features: (msgspec.structs.replace(annotation, score=score), features)


def lasting(duration_s: float) -> Change:
    return lambda annotation, features: (msgspec.structs.replace(annotation, duration_s=duration_s), features)


def beyond_float16(annotation: Annotation, features: ClipFeatures) -> tuple[Annotation, ClipFeatures]:
    frames = features.frames[Modality.ROUTINE].astype(np.float32)
    frames[3, 3] = 1e6
    return annotation, ClipFeatures({Modality.ROUTINE: frames}, None, {})


def without_routine(annotation: Annotation, features: ClipFeatures) -> tuple[Annotation, ClipFeatures]:
    return annotation, ClipFeatures({Modality.SCENIC: np.ones((240, 512), np.float32)}, None, {})


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            of_frames(lambda frames: frames[:, :2048]),
            r"row 4, routine: features/routine-2\..* has 2048 channels; this model reads 3072: extract such features",
        ),
        (of_frames(lambda frames: frames[:1]), r"row 4, routine: features/.*implausible by the rule 'length'"),
        (
            of_frames(lambda frames: np.resize(frames, (601, 3072))),
            r"row 4, routine: features/.* lasts 601 s .* correct",
        ),
        (of_frames(lambda frames: 0 * frames), r"row 4, routine: features/.*by the rule 'contrast'.*; extract the"),
        (
            of_frames(lambda frames: frames[:1] + 0 * frames),
            r"row 4, routine: .*by the rule 'variation'.*; extract the",
        ),
        (of_frames(lambda frames: frames[:4][np.arange(len(frames)) % 4]), r"row 4, routine: .*by the rule 'repeats'"),
        (beyond_float16, r"row 4, routine: .*by the rule 'magnitude': the greatest value of .* is 1e\+06, .*at most"),
        (without_routine, r"row 4, features: .* only scenic; a clip longer than 60 s is scored by routine: add a"),
        (lasting(60.0), r"row 4, duration_s: routine-2 lasts 60 s; a routine is longer than 60 s.*; leave it out"),
        (lasting(601.0), r"row 4, duration_s: routine-2 lasts 601 s; .* 600 s at most; cut it"),
        (scored(None), r"row 4, score: the cell is empty; give the judges' score, or remove the row"),
        (scored(-0.5), r"row 4, score: the score -0.5 lies outside 0 to 25; correct it, or give the range"),
    ],
    ids=[
        *(
            "width",
            "one second",
            "601 s",
            "zeros",
            "a picture",
            "a loop",
            "huge",
            "no routine",
            "too short",
            "too long",
        ),
        *("no score", "outside the range"),
    ],
)
def test_a_clip_that_cannot_be_learned_from_is_named_with_its_file_and_row(
    tmp_path: Path, change: Change, said: str
) -> None:
    data = data_set(tmp_path / "data", change)
    with pytest.raises(DataSetError, match=said) as refused:
        featured_routines(data.folder, POINTS)
    assert str(data.table) in refused.value.message


def test_values_that_are_not_finite_are_refused_with_file_and_row(tmp_path: Path) -> None:
    data = data_set(tmp_path / "data")
    path = data.path(data.annotations[2])
    content = bytearray(path.read_bytes())
    content[-2:] = np.float16(np.nan).tobytes()
    path.write_bytes(content)
    with pytest.raises(DataSetError, match=r"clips.csv, row 4, routine: features/routine-2.*holds NaN or an infinity"):
        featured_routines(data.folder, POINTS)


def test_without_parts_every_fifth_dancer_is_held_out_whole(tmp_path: Path) -> None:
    data = data_set(tmp_path / "data", routines=10)
    rewrite_annotations(data, [msgspec.structs.replace(one, split=None) for one in data.annotations])
    dancers = {one.clip_id: one.dancer_id for one in data.annotations}
    found = featured_routines(data.folder, POINTS)
    learned, tested = ({dancers[one.name] for one in part} for part in (found.learned, found.tested))
    assert (len(learned), len(tested), learned & tested) == (4, 1, set())
    assert len(found.tested) == 2


def test_training_the_streams_of_the_fusion_on_routines_names_the_command_that_learns_from_them(tmp_path: Path) -> None:
    data_set(tmp_path / "data", routines=10)
    refused = CliRunner().invoke(app, ["train", f"{tmp_path}/data", f"{tmp_path}/run"], env={"COLUMNS": "400"})
    assert refused.exit_code == 1
    said = "no clip has features of skeletal, holistic, facial, scenic; extract them, or train on routines with"
    assert said in " ".join(refused.output.split())


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--data", "features"), "name the range of the scores with --lowest and --highest"),
        (("--data", "features", "--lowest", "0"), "--lowest and --highest go together"),
        (("--data", "features", "--lowest", "5", "--highest", "5"), "has no length; give --highest above --lowest"),
        (("--data", "features", "--lowest", "5", "--highest", "4"), "has no length above zero that is finite; give"),
        (("--data", "features", "--lowest", "nan", "--highest", "4"), "has no length above zero that is finite; give"),
        (("--data", "features", "--lowest=-1e308", "--highest=1e308"), "has no length above zero that is finite; give"),
        (("--data", "gymnastics"), "name one of Ball, Clubs, Hoop, Ribbon with --apparatus"),
        (("--data", "skating", "--apparatus", "Ball"), "leave out --apparatus"),
        (("--data", "skating", "--target", "execution"), "skating has the targets elements, components, total"),
    ],
)
def test_options_that_do_not_go_together_say_which_do(tmp_path: Path, options: tuple[str, ...], said: str) -> None:
    refused = run("train", tmp_path, "--out", tmp_path / "network", *options)
    assert refused.exit_code == 1
    assert said in " ".join(refused.output.split())
