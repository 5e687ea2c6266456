"""The archives: small ones of the same form, what is wrong with others, and the real ones where they are."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from schemas.modalities import Modality
from tests.vdv.data_sets import pose
from vdv.checking import check_data_set
from vdv.errors import DataSetError
from vdv.folder import Clip, write_data_set
from vdv.importers import dance, speed21, unlv_dive
from vdv.targets import targets

Arrays = dict[str, Any]
RUNS = [
    ("1_a", 1, 25.0, 6.0),
    ("1_b", 1, 30.0, 5.5),
    ("2_a", 2, 50.0, 9.0),
    ("3_a", 3, 25.0, 7.0),
    ("4_a", 4, 30.0, 8.0),
    ("5_a", 5, 25.0, 6.5),
]
READERS: dict[str, Callable[[Path], list[Clip]]] = {
    speed21.ARCHIVE_NAME: speed21.read_clips,
    dance.ARCHIVE_NAME: dance.read_clips,
    unlv_dive.ARCHIVE_NAME: unlv_dive.read_clips,
}


def speed21_arrays() -> Arrays:
    """Joint v of a run is at (seconds since the start, v), so that a window encodes its times."""
    runs = []
    for _, _, fps, time_s in RUNS:
        run = pose(round(fps * time_s))
        run[..., 0] /= fps
        runs.append(run)
    runs[0][10:13] = np.nan
    runs[1][:4] = np.nan
    runs[2][140:] = np.nan
    names, climbers, fps, times = zip(*RUNS, strict=True)
    return {
        "data": np.concatenate(runs),
        "lengths": np.array([len(run) for run in runs]),
        "run_id": np.array(names),
        "climber": np.array(climbers),
        "fps": np.array(fps),
        "time_sec": np.array(times),
    }


def dance_arrays() -> Arrays:
    lengths = np.array([760, 251, 249])
    data = np.arange(lengths.sum() * 23 * 3, dtype=np.float32).reshape(-1, 23, 3)
    names = np.array(["DANCE_C_1", "DANCE_R_1", "DANCE_W_1"])
    return {"data": data, "lengths": lengths, "names": names, "style": np.array(["C", "R", "W"])}


def unlv_dive_arrays() -> Arrays:
    rng = np.random.default_rng(0)
    return {
        "p3d_feature": rng.random((6, 2048)).astype(np.float32),
        "overall_score": np.array([76.5, 72.0, 83.25, 21.6, 102.6, 50.0]),
        "difficulty": np.array([3.0, 3.2, 3.7, 2.7, 4.1, 3.0]),
        "train_idx": np.array([2, 3, 5, 6]),
        "test_idx": np.array([4, 1]),
    }


ARRAYS: dict[str, Callable[[], Arrays]] = {
    speed21.ARCHIVE_NAME: speed21_arrays,
    dance.ARCHIVE_NAME: dance_arrays,
    unlv_dive.ARCHIVE_NAME: unlv_dive_arrays,
}


def trembling(data: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Poses like a body's in place of ``data``, lost where it is."""
    rng = np.random.default_rng(0)
    poses = 0.2 * rng.standard_normal(data.shape) + rng.standard_normal(data.shape[1:])
    return np.where(np.isnan(data), np.nan, poses).astype(np.float32)


def saved(folder: Path, name: str, **changed: Any) -> Path:
    arrays = ARRAYS[name]() | changed
    np.savez(folder / name, **{key: value for key, value in arrays.items() if value is not None})
    return folder


def test_every_run_is_the_same_window_whatever_its_length_and_frame_rate(tmp_path: Path) -> None:
    clips = speed21.read_clips(saved(tmp_path, speed21.ARCHIVE_NAME))
    times_s = np.arange(75) / 25
    for clip, (name, climber, _, time_s) in zip(clips, RUNS, strict=True):
        frames = clip.features.frames[Modality.SKELETAL]
        assert (frames.shape, clip.features.joint_layout) == ((75, 16, 2), "mpii-16")
        assert clip.annotation.clip_id == name
        assert clip.annotation.dancer_id == f"climber-{climber}"
        assert (clip.annotation.score, clip.annotation.duration_s) == (-time_s, 3.0)
        expected = times_s
        if name == "1_b":  # lost for its first four frames, at 30 Hz
            expected = np.maximum(times_s, 4 / 30)
        if name == "2_a":  # lost from frame 140 on, at 50 Hz
            expected = np.minimum(times_s, 139 / 50)
        np.testing.assert_allclose(frames[:, 5, 0], expected, atol=1e-5)
        np.testing.assert_allclose(frames[:, 5, 1], 5)


def test_what_happens_after_the_window_changes_nothing(tmp_path: Path) -> None:
    arrays = speed21_arrays()
    before = speed21.read_clips(saved(tmp_path, speed21.ARCHIVE_NAME))
    starts = np.cumsum(arrays["lengths"]) - arrays["lengths"]
    for start, length, fps in zip(starts, arrays["lengths"], arrays["fps"], strict=True):
        arrays["data"][start + round(3 * fps) : start + length] = -1e3
    for one, other in zip(before, speed21.read_clips(saved(tmp_path, speed21.ARCHIVE_NAME, **arrays)), strict=True):
        np.testing.assert_array_equal(one.features.frames[Modality.SKELETAL], other.features.frames[Modality.SKELETAL])


def test_a_climbers_runs_share_a_fold_and_the_fastest_scores_highest(tmp_path: Path) -> None:
    clips = speed21.read_clips(saved(tmp_path, speed21.ARCHIVE_NAME))
    folds = [clip.annotation.fold for clip in clips]
    assert folds[0] == folds[1]
    assert set(folds) == set(range(5))
    normalised = targets([clip.annotation for clip in clips]).normalised
    assert (np.argmax(normalised), np.argmin(normalised)) == (1, 2)


def test_sequences_are_cut_into_ten_seconds_and_the_rest_is_left_out(tmp_path: Path) -> None:
    clips = dance.read_clips(saved(tmp_path, dance.ARCHIVE_NAME))
    assert [clip.annotation.clip_id for clip in clips] == [*(f"DANCE_C_1-00{i}" for i in range(3)), "DANCE_R_1-000"]
    assert [clip.annotation.extra["style"] for clip in clips] == ["cha-cha"] * 3 + ["rumba"]
    assert {clip.annotation.score for clip in clips} == {None}
    data = dance_arrays()["data"]
    np.testing.assert_array_equal(clips[2].features.frames[Modality.SKELETAL], data[500:750])
    np.testing.assert_array_equal(clips[3].features.frames[Modality.SKELETAL], data[760:1010])
    assert clips[0].features.joint_layout == "dance-23"


def test_dives_keep_the_official_split_which_counts_from_one(tmp_path: Path) -> None:
    clips = unlv_dive.read_clips(saved(tmp_path, unlv_dive.ARCHIVE_NAME))
    assert [clip.annotation.split for clip in clips] == ["test", "train", "train", "test", "train", "train"]
    assert [clip.annotation.score for clip in clips] == [76.5, 72.0, 83.25, 21.6, 102.6, 50.0]
    assert [clip.annotation.extra["difficulty"] for clip in clips] == ["3", "3.2", "3.7", "2.7", "4.1", "3"]
    for clip, feature in zip(clips, unlv_dive_arrays()["p3d_feature"], strict=True):
        np.testing.assert_array_equal(clip.features.frames[Modality.HOLISTIC], feature[None])


@pytest.mark.parametrize("name", READERS)
def test_an_archive_is_found_by_its_folder_and_by_its_own_path(tmp_path: Path, name: str) -> None:
    saved(tmp_path, name)
    by_folder, by_path = READERS[name](tmp_path), READERS[name](tmp_path / name)
    assert [clip.annotation for clip in by_folder] == [clip.annotation for clip in by_path]


@pytest.mark.parametrize("name", READERS)
def test_an_imported_data_set_passes_the_check(tmp_path: Path, name: str) -> None:
    poses = {} if name == unlv_dive.ARCHIVE_NAME else {"data": trembling(ARRAYS[name]()["data"])}
    data = write_data_set(tmp_path / "data", READERS[name](saved(tmp_path, name, **poses)))
    labelled = name != dance.ARCHIVE_NAME
    assert check_data_set(data, labelled=labelled, by_dancer=labelled).findings == ()


@pytest.mark.parametrize("name", READERS)
def test_an_archive_that_is_absent_or_none_is_named_with_the_remedy(tmp_path: Path, name: str) -> None:
    with pytest.raises(DataSetError, match=rf"{name} cannot be read .*folder that holds it"):
        READERS[name](tmp_path)
    (tmp_path / name).write_bytes(b"PK\x03\x04 and then nothing")
    with pytest.raises(DataSetError, match=rf"{name} is not a NumPy archive.*fetch it again"):
        READERS[name](tmp_path)
    (tmp_path / name).write_bytes(b"")
    with pytest.raises(DataSetError, match=f"{name} is not a NumPy archive"):
        READERS[name](tmp_path)
    with (tmp_path / name).open("wb") as file:
        np.save(file, np.zeros(3))
    with pytest.raises(DataSetError, match=rf"{name} holds a single array"):
        READERS[name](tmp_path)


@pytest.mark.parametrize(
    ("name", "changed", "named"),
    [
        (speed21.ARCHIVE_NAME, {"fps": None, "climber": None}, "arrays climber, fps are missing"),
        (speed21.ARCHIVE_NAME, {"data": np.zeros((9, 17, 2))}, r"data has shape \(9, 17, 2\), expected"),
        (speed21.ARCHIVE_NAME, {"data": np.zeros((9, 16, 2))}, "lengths add up to"),
        (speed21.ARCHIVE_NAME, {"fps": np.zeros(3)}, "arrays of different lengths"),
        (speed21.ARCHIVE_NAME, {"fps": np.zeros(6)}, "run 1_a has 150 frames at 0.0 fps"),
        (speed21.ARCHIVE_NAME, {"fps": np.full(6, 100.0)}, "run 1_a has 150 frames at 100.0 fps, under 3.0 s; leave"),
        (speed21.ARCHIVE_NAME, {"time_sec": np.full(6, np.nan)}, "row 1, time_sec: 'nan' is not a finite number"),
        (
            speed21.ARCHIVE_NAME,
            {"data": np.full_like(speed21_arrays()["data"], np.nan)},
            "1_a: undetected joints",
        ),
        pytest.param(
            speed21.ARCHIVE_NAME,
            {"run_id": np.array([{}] * 6, object)},
            "not a NumPy archive of numbers and texts",
            marks=pytest.mark.tried(
                kind="importers that trust types",
                given="an array of Python objects",
                outcome="refused without unpickling",
            ),
        ),
        pytest.param(
            speed21.ARCHIVE_NAME,
            {"lengths": speed21_arrays()["lengths"] * 1.0},
            r"row 1, lengths: 150\.0 ",
            marks=pytest.mark.tried(
                kind="importers that trust types",
                given="lengths of speed21 as floats",
                outcome="refused with file, row and array",
            ),
        ),
        pytest.param(
            speed21.ARCHIVE_NAME,
            {"lengths": speed21_arrays()["lengths"].astype(str)},
            r"row 1, lengths: '150' \(str",
            marks=pytest.mark.tried(
                kind="importers that trust types",
                given="lengths of speed21 as text",
                outcome="refused with file, row and array",
            ),
        ),
        (speed21.ARCHIVE_NAME, {"lengths": np.array([150, -1, 1, 1, 1, 1])}, "row 2, lengths: -1 .* is not a positive"),
        pytest.param(
            speed21.ARCHIVE_NAME,
            {"fps": np.array(["25", "30000/1001"] * 3)},
            "row 2, fps: '30000/1001'",
            marks=pytest.mark.tried(
                kind="importers that trust types",
                given="a frame rate written 30000/1001",
                outcome="refused with file, row and array",
            ),
        ),
        pytest.param(
            speed21.ARCHIVE_NAME,
            {"fps": np.array([25, 30, 50, 25, 30, 25j])},
            "row 6, fps: '25j'",
            marks=pytest.mark.tried(
                kind="importers that trust types",
                given="a frame rate that is a complex number",
                outcome="refused with file, row and array",
            ),
        ),
        (speed21.ARCHIVE_NAME, {"fps": np.full(6, 1e300)}, "row 1, fps: run 1_a has 150 frames at 1e[+]300 fps"),
        (
            speed21.ARCHIVE_NAME,
            {"time_sec": np.array(["6.0", "DNF", "", "7", "8", "x"])},
            "row 6, time_sec: 'x'",
        ),
        pytest.param(
            speed21.ARCHIVE_NAME,
            {"data": np.zeros((9, 16, 2), "<U3")},
            "array data holds str.*, expected numbers",
            marks=pytest.mark.tried(
                kind="importers that trust types",
                given="poses of speed21 as text",
                outcome="refused with file and array",
            ),
        ),
        (dance.ARCHIVE_NAME, {"lengths": np.array([1260.0, 0, 0])}, "row 1, lengths: 1260.0"),
        (dance.ARCHIVE_NAME, {"style": np.array(["C", "X", "Y"])}, "row 2, style.*row 3, style"),
        (
            unlv_dive.ARCHIVE_NAME,
            {"difficulty": np.array(list("12x4y6"))},
            "row 3, difficulty: 'x'.*row 5, ",
        ),
        (unlv_dive.ARCHIVE_NAME, {"overall_score": np.full(6, np.nan)}, "row 6, overall_score: 'nan'"),
        pytest.param(
            unlv_dive.ARCHIVE_NAME,
            {"train_idx": np.array(["2", "3", "5", "6"])},
            "each of 1 to 6 once",
            marks=pytest.mark.tried(
                kind="importers that trust types",
                given="indices of dives as text",
                outcome="refused with file and array",
            ),
        ),
        (
            dance.ARCHIVE_NAME,
            {"style": np.array(["C", "R", "X"])},
            "row 3, style: sequence DANCE_W_1",
        ),
        (unlv_dive.ARCHIVE_NAME, {"test_idx": np.array([1])}, "each of 1 to 6 once"),
        (unlv_dive.ARCHIVE_NAME, {"test_idx": np.array([0, 1])}, "each of 1 to 6 once"),
        (unlv_dive.ARCHIVE_NAME, {"p3d_feature": np.zeros((6, 512))}, "expected"),
    ],
)
def test_an_archive_of_another_form_is_refused_by_name(tmp_path: Path, name: str, changed: Arrays, named: str) -> None:
    with pytest.raises(DataSetError, match=rf"(?s){name}.*{named}"):
        READERS[name](saved(tmp_path, name, **changed))


@pytest.mark.tried(
    kind="importers that trust types", given="archives without a run or sequence", outcome="refused with file and array"
)
@pytest.mark.parametrize("name", [speed21.ARCHIVE_NAME, dance.ARCHIVE_NAME])
def test_an_archive_without_samples_is_refused(tmp_path: Path, name: str) -> None:
    nothing = {key: array[:0] for key, array in ARRAYS[name]().items()}
    with pytest.raises(DataSetError, match=f"{name}: lengths is empty"):
        READERS[name](saved(tmp_path, name, **nothing))


def test_sequences_that_are_all_shorter_than_a_clip_are_refused(tmp_path: Path) -> None:
    lengths = np.array([200, 200, 200])
    folder = saved(tmp_path, dance.ARCHIVE_NAME, lengths=lengths, data=dance_arrays()["data"][:600])
    with pytest.raises(DataSetError, match="no sequence is 10 s long"):
        dance.read_clips(folder)


@pytest.mark.tried(
    kind="importers that trust types",
    given="several wrong run ids in one archive",
    outcome="all named; nothing written",
)
def test_clips_that_cannot_be_written_are_all_named(tmp_path: Path) -> None:
    names = np.array(["a/b", "1_b", "1_b", "3 a", "4_a", "5_a"])
    clips = speed21.read_clips(saved(tmp_path, speed21.ARCHIVE_NAME, run_id=names))
    with pytest.raises(DataSetError, match=r"(?s)3 things are wrong.*clip a/b.*two clips are called '1_b'.*clip 3 a"):
        write_data_set(tmp_path / "data", clips)
    assert not (tmp_path / "data" / "clips.csv").exists()


@pytest.mark.parametrize(
    ("name", "clips", "dancers", "steps"),
    [
        (speed21.ARCHIVE_NAME, 362, 55, 362 * 75),
        (dance.ARCHIVE_NAME, 282, 48, 282 * 250),
        (unlv_dive.ARCHIVE_NAME, 370, 370, 370),
    ],
)
def test_the_real_archive_becomes_a_good_data_set(
    tmp_path: Path, name: str, clips: int, dancers: int, steps: int
) -> None:
    folder = os.environ.get("DANCERANK_DATA")
    if not folder:
        pytest.skip(f"DANCERANK_DATA names no folder with {name}")
    data = write_data_set(tmp_path, READERS[name](Path(folder)))
    labelled = name != dance.ARCHIVE_NAME
    report = check_data_set(data, labelled=labelled, by_dancer=labelled)
    assert report.findings == ()
    total = report.statistics[-1]
    assert (total.clips, total.dancers, sum(total.steps.values())) == (clips, dancers, steps)


@pytest.mark.tried(
    kind="bounds on compressed bytes",
    given="an archive of 1 MB with an array of 400 MB of zeros",
    outcome="refused before it is decompressed, with both sizes",
)
def test_an_array_that_a_small_archive_blows_up_is_refused_before_it_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / speed21.ARCHIVE_NAME
    np.savez_compressed(path, **speed21_arrays() | {"data": np.zeros((400_000_000,), np.uint8)})
    assert path.stat().st_size < 1_000_000
    monkeypatch.setattr(np.lib.npyio.NpzFile, "__getitem__", lambda *_: pytest.fail("it was decompressed"))
    with pytest.raises(DataSetError, match=r"array data has 400000128 bytes in \d+ compressed ones"):
        speed21.read_clips(path)
