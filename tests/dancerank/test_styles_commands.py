"""``dancerank styles``: from labelled poses to a bundle that names styles, and what it says of data it cannot use."""

from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import save_file
from typer.testing import CliRunner

from dancerank.cli import app
from dancerank.fitting.styles import read_poses, train_styles
from networks.styles.clips import StyleClip
from networks.styles.judging import PoseClassifier
from networks.styles.movement import fit_discriminant
from schemas.features import ClipFeatures
from schemas.joints import JointLayout
from schemas.modalities import Modality
from schemas.style_classifier import read_classifier
from tests.small_bundle import write_small_bundle
from tests.styles import dance, dances
from vdv.annotations import Annotation
from vdv.errors import DataSetError
from vdv.folder import Clip, DataSet, open_data_set, write_data_set

Change = Callable[[Annotation, np.ndarray], tuple[Annotation, ClipFeatures]]


MINE = f"{__name__}:fit"


def fit(clips: list[StyleClip], layout: JointLayout, *, seed: int = 0) -> PoseClassifier:
    """As somebody else's package would have one."""
    return fit_discriminant(clips, layout, seed=seed)


def poses(frames: np.ndarray, layout: str = "mpii-16") -> ClipFeatures:
    return ClipFeatures({Modality.SKELETAL: frames}, layout, {})


def as_they_are(annotation: Annotation, frames: np.ndarray) -> tuple[Annotation, ClipFeatures]:
    return annotation, poses(frames)


def data_set(folder: Path, change: Change = as_they_are, *, recordings: int = 6) -> DataSet:
    """Three styles; of the third clip (row 4) ``change`` makes something else."""
    clips = []
    for number, clip in enumerate(dances(recordings=recordings, steps=75)):
        annotation = Annotation(
            clip_id=clip.name,
            dancer_id=clip.group,
            challenge_id="dances",
            duration_s=len(clip.frames) / 25,
            score=0.5,
            split="test" if clip.group.endswith("-5") else "train",
            extra={"style": clip.style},
        )
        changed = change if number == 2 else as_they_are
        clips.append(Clip(*changed(annotation, clip.frames)))
    write_data_set(folder, clips)
    return open_data_set(folder)


def quiet(*_: object) -> None:
    """Progress that nobody sees."""


def test_a_bundle_learns_to_name_the_styles_of_a_data_set(tmp_path: Path) -> None:
    data_set(tmp_path / "data")
    bundle = write_small_bundle(tmp_path / "bundle")
    run = CliRunner()
    words = ["styles", "train", str(tmp_path / "data"), str(tmp_path / "classifier"), "--network", MINE]
    trained = run.invoke(app, words)
    assert trained.exit_code == 0, trained.output
    classifier, _ = read_classifier(tmp_path / "classifier")
    assert classifier.styles == ("hands", "legs", "whole")
    assert classifier.network == MINE
    assert classifier.metrics["accuracy of test"] > 0.8
    assert classifier.training_data == "data: 45 clips of 15 dancers"
    attached = run.invoke(app, ["styles", "attach", str(bundle), str(tmp_path / "classifier")])
    assert attached.exit_code == 0, attached.output
    assert "hands, legs, whole" in attached.output
    shown = run.invoke(app, ["inspect", str(bundle)])
    assert "hands, legs, whole" in shown.output
    again = run.invoke(app, ["styles", "train", str(tmp_path / "data"), str(tmp_path / "classifier")])
    assert again.exit_code == 1
    assert "exists already" in again.output
    detached = run.invoke(app, ["styles", "detach", str(bundle)])
    assert "no style classifier any more" in detached.output


def test_a_network_that_is_not_there_is_refused_with_those_that_are(tmp_path: Path) -> None:
    data_set(tmp_path / "data")
    words = ["styles", "train", str(tmp_path / "data"), str(tmp_path / "classifier"), "--network", "transformer"]
    refused = CliRunner().invoke(app, words)
    assert refused.exit_code == 1
    said = " ".join(refused.output.split())
    assert "'transformer' is not a style classifier" in said
    assert "movement, lstm, attentive-lstm, tcn, psgcn, rtcn, package.module:factory" in said


def test_poses_are_converted_to_the_layout_that_is_asked_for(tmp_path: Path) -> None:
    def coco(annotation: Annotation, frames: np.ndarray) -> tuple[Annotation, ClipFeatures]:
        return annotation, poses(np.pad(frames, ((0, 0), (0, 1), (0, 0)), mode="edge"), "coco-17")

    data = data_set(tmp_path / "data", coco)
    with pytest.raises(DataSetError, match=r"row 4, features: .* coco-17, the clips before it of mpii-16.*--layout"):
        read_poses(data, on_progress=quiet)
    found = read_poses(data, layout="mpii-16", on_progress=quiet)
    assert {clip.frames.shape[1:] for clip in found.learned} == {(16, 2)}


def labelled(style: str | None) -> Change:
    def change(annotation: Annotation, frames: np.ndarray) -> tuple[Annotation, ClipFeatures]:
        extra = {} if style is None else {"style": style}
        return msgspec.structs.replace(annotation, extra=extra), poses(frames)

    return change


def without_skeleton(annotation: Annotation, frames: np.ndarray) -> tuple[Annotation, ClipFeatures]:
    return annotation, ClipFeatures({Modality.SCENIC: np.ones((len(frames), 512), np.float32)}, None, {})


def one_frame(annotation: Annotation, frames: np.ndarray) -> tuple[Annotation, ClipFeatures]:
    return annotation, poses(frames[:1])


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (labelled(" hands"), r"row 4, style: .*' hands'.*without spaces around it; correct the cell"),
        (labelled(None), r"row 4, style: the cell is empty; correct the cell"),
        (labelled("unknown"), r"row 4, style: .*no known style; correct the cell"),
        (without_skeleton, r"row 4, features: .*has no skeleton; extract it, or remove the row"),
        (one_frame, r"row 4, features: .*has 1 frames, fewer than 2; extract the whole clip"),
        (labelled("samba"), r"one recording of the style 'samba' only.*add recordings, or leave the style out"),
    ],
    ids=["spaces", "empty", "reserved", "no skeleton", "one frame", "one recording"],
)
def test_a_clip_that_cannot_be_learned_from_is_named_with_its_file_and_row(
    tmp_path: Path, change: Change, said: str
) -> None:
    data = data_set(tmp_path / "data", change)
    with pytest.raises(DataSetError, match=said) as refused:
        train_styles(data, tmp_path / "classifier")
    assert str(data.table) in refused.value.message
    assert not (tmp_path / "classifier").exists()


@pytest.mark.tried(
    kind="importers that trust types",
    given="styles learned from a data set: poses of another width, 21 people in a frame, nobody in any frame",
    outcome="refused with table, row and file, and what was expected or what to do",
)
@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda poses: poses[:, :15], r"has shape \(77, 15, 2\); expected \(T, 16, 2 or 3\)"),
        (lambda poses: np.stack([poses] * 21, axis=1), r"has shape \(77, 21, 16, 2\); expected \(T, 16, 2 or 3\)"),
        (np.zeros_like, r"undetected joints: .* in every step.*; extract the pose again, or leave the clip out"),
    ],
    ids=["another width", "21 people", "nobody"],
)
def test_poses_that_no_dancer_has_are_named_with_table_row_and_file(
    tmp_path: Path, change: Callable[[np.ndarray], np.ndarray], said: str
) -> None:
    data = data_set(tmp_path / "data", recordings=2)
    path = data.folder / data.annotations[2].features
    with safe_open(path, "np") as file:
        metadata, tensors = file.metadata(), {name: change(file.get_tensor(name)) for name in file.keys()}  # noqa: SIM118
    save_file({name: np.ascontiguousarray(tensor) for name, tensor in tensors.items()}, path, metadata=metadata)
    with pytest.raises(DataSetError, match=r"row 4, skeletal: features/hands-0-2.safetensors: .*" + said) as refused:
        read_poses(data, on_progress=quiet)
    assert str(data.table) in refused.value.message


def test_a_data_set_without_styles_says_which_columns_it_has(tmp_path: Path) -> None:
    data = data_set(tmp_path / "data")
    with pytest.raises(DataSetError, match=r"no clip has a 'dance'; further columns are style; name the column"):
        read_poses(data, label="dance", on_progress=quiet)


def test_one_style_alone_is_refused(tmp_path: Path) -> None:
    def row(number: int) -> Clip:
        annotation = Annotation(
            clip_id=f"c{number}",
            dancer_id=f"d{number}",
            challenge_id="x",
            duration_s=3.0,
            score=0.5,
            extra={"style": "legs"},
        )
        return Clip(annotation, poses(dance("legs", number, steps=75)))

    data = write_data_set(tmp_path / "data", [row(number) for number in range(4)])
    with pytest.raises(DataSetError, match="all 4 clips are of the style 'legs'; there is nothing to tell apart"):
        train_styles(open_data_set(data.folder), tmp_path / "classifier")
