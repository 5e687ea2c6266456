"""A style classifier from a data set on disk: labels and poses read, checked, learned from, and exported.

Needs the ``[train]`` extra.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final, NamedTuple

from dancerank.console.progress import OnProgress
from dancerank.synthetic import MOVEMENT_STYLES, STANDARD, synthesize
from exporters.onnx.attached_styles import attach_classifier
from exporters.onnx.style_classifiers import check_classifier_folder, write_classifier
from networks.errors import UnusableSamples
from networks.styles.classifier import Evaluation, Fit, evaluate_classifier, train_classifier
from networks.styles.clips import FEWEST_FRAMES, StyleClip
from schemas.errors import ConfigurationError
from schemas.features import ClipFeatures
from schemas.implementations import Implementations
from schemas.joints import CONVERSION_TARGET, LAYOUTS, MPII_16, JointLayout, convert
from schemas.modalities import Modality
from schemas.style_classifier import DEFAULT_NETWORK, StyleClassifier, style_problem
from vdv.annotations import Annotation
from vdv.errors import Finding, refusal
from vdv.folder import DataSet

SYNTHETIC_CLIPS: Final = 1600
SYNTHETIC_HELD_OUT: Final = 600
SYNTHETIC_SEED: Final = 17
LABEL: Final = "style"
"""The column of ``clips.csv`` with the styles."""

NETWORKS: Final = Implementations(
    field="network",
    noun="a style classifier",
    group="dancerank.style_classifiers",
    shipped={
        DEFAULT_NETWORK: "networks.styles.movement:fit_discriminant",
        "lstm": "networks.styles.learned:fit_lstm",
        "attentive-lstm": "networks.styles.learned:fit_attentive_lstm",
        "tcn": "networks.styles.learned:fit_tcn",
        "psgcn": "networks.styles.learned:fit_psgcn",
        "rtcn": "networks.styles.learned:fit_rtcn",
    },
)
"""Each is a ``networks.styles.classifier.Fit``."""


class LabelledPoses(NamedTuple):
    """Clips to learn from and to test on, in one layout."""

    layout: JointLayout
    learned: list[StyleClip]
    tested: list[StyleClip]


class Result(NamedTuple):
    """A classifier that was written, and what it does on the test clips of the data set (``None`` without any)."""

    classifier: StyleClassifier
    tested: Evaluation | None


def read_poses(
    data: DataSet, *, label: str = LABEL, layout: str | None = None, on_progress: OnProgress
) -> LabelledPoses:
    """The poses of the clips that have a style, those of one dancer in one group.

    The table's split decides which are tested; without one all are learned from. ``layout``: poses are converted to it;
    by default all have to have the same. A clip without a label, or without a skeleton, is a finding. Raises one
    ``DataSetError`` with all that is wrong with labels and files.
    """
    if layout is not None and layout not in LAYOUTS:
        raise ConfigurationError(
            f"no joint layout is called {layout!r}; known are {', '.join(LAYOUTS)}", field="layout"
        )
    _check_labels(data, label)
    learned, tested, findings = list[StyleClip](), list[StyleClip](), list[Finding]()
    target = None if layout is None else LAYOUTS[layout]
    for done, annotation in enumerate(data.annotations, start=1):
        features = data.features(annotation)
        if (found := _pose_problem(annotation, features)) is not None:
            findings.append(Finding(data.table, *found, row=annotation.row, field="features"))
            continue
        source = LAYOUTS[features.joint_layout or ""]
        target = target or source
        if source != target and layout is None:
            mixed = f"{annotation.features} has poses of {source.name}, the clips before it of {target.name}"
            remedy = f"convert all with --layout {CONVERSION_TARGET}"
            findings.append(Finding(data.table, mixed, remedy, row=annotation.row, field="features"))
            continue
        frames = convert(features.frames[Modality.SKELETAL], source, target)[..., : target.coordinates]
        clip = StyleClip(annotation.clip_id, annotation.dancer_id, annotation.extra[label], frames)
        (tested if annotation.split == "test" else learned).append(clip)
        on_progress("reading", done, len(data))
    if findings:
        raise refusal(findings)
    if target is None or not learned:
        problem = "there is no clip to learn from"
        raise refusal([Finding(data.table, problem, "give the clips of the split 'train' a style", field=label)])
    return LabelledPoses(target, learned, tested)


def train_styles(
    data: DataSet,
    folder: Path,
    *,
    label: str = LABEL,
    layout: str | None = None,
    network: str = DEFAULT_NETWORK,
    seed: int = 0,
    on_progress: OnProgress = lambda *_: None,
    overwrite: bool = False,
) -> Result:
    """Learn the styles of a data set, test on its test clips, and write the classifier to ``folder``.

    ``network``: a key of ``NETWORKS``, or ``package.module:fit`` for another ``networks.styles.classifier.Fit``. Raises
    ``ConfigurationError`` for anything else, ``DataSetError`` naming file, row and remedy for data that cannot be
    learned from, and ``BundleError`` if ``folder`` cannot be written or the graph does not compute what torch computes.
    """
    check_classifier_folder(folder, overwrite=overwrite)
    fit: Fit = NETWORKS.load(network)
    poses = read_poses(data, label=label, layout=layout, on_progress=on_progress)
    on_progress("learning", 0, 0)
    try:
        trained = train_classifier(poses.learned, poses.layout, fit=fit, seed=seed)
    except UnusableSamples as error:
        raise refusal([Finding(data.table, error.message, "", field=label)]) from error
    tested = evaluate_classifier(trained, poses.tested) if poses.tested else None
    source = f"{data.folder.resolve().name}: {len(poses.learned)} clips of {_dancers(poses.learned)} dancers"
    if tested is not None:
        trained = trained._replace(metrics=trained.metrics | test_metrics(tested))
    written = write_classifier(trained, folder, network=network, training_data=source, overwrite=overwrite)
    return Result(written, tested)


def attach_synthetic_styles(bundle: Path, *, clips: int = SYNTHETIC_CLIPS) -> Evaluation:
    """Make a classifier of the movement styles of synthetic dancers part of ``bundle``; how it does on other dancers.

    Equal arguments give an equal classifier on one machine.
    """
    learned = synthetic_poses(clips, seed=SYNTHETIC_SEED)
    tested_on = synthetic_poses(SYNTHETIC_HELD_OUT, seed=SYNTHETIC_SEED + 1)
    trained = train_classifier(learned, MPII_16)
    tested = evaluate_classifier(trained, tested_on)
    source = f"synthetic clips={clips} seed={SYNTHETIC_SEED}"
    with TemporaryDirectory() as scratch:
        folder = Path(scratch) / "classifier"
        trained = trained._replace(metrics=trained.metrics | test_metrics(tested))
        write_classifier(trained, folder, training_data=source)
        attach_classifier(bundle, folder)
    return tested


def synthetic_poses(clips: int, *, seed: int) -> list[StyleClip]:
    """Skeletons of synthetic clips with the way of moving that was planted; a dancer is a group."""
    plan = replace(STANDARD, modalities=(Modality.SKELETAL,))
    return [
        StyleClip(
            clip.clip_id,
            clip.dancer.dancer_id,
            MOVEMENT_STYLES[clip.dancer.style],
            clip.features.frames[Modality.SKELETAL],
        )
        for clip in synthesize(clips, seed=seed, plan=plan)
    ]


def test_metrics(tested: Evaluation) -> dict[str, float]:
    """What a manifest says of the test clips."""
    return {
        "accuracy of test": tested.accuracy,
        "balanced accuracy of test": tested.balanced_accuracy,
        "calibration error of test": tested.calibration_error,
        "calibration error of test, temperature 1": tested.uncalibrated_error,
        "share of test clips named": tested.accepted,
        "share of unknown test clips named": tested.falsely_accepted,
        "AUROC of known against unknown test clips": tested.auroc,
    }


def _pose_problem(annotation: Annotation, features: ClipFeatures) -> tuple[str, str] | None:
    """What is wrong with a clip's poses, and the remedy."""
    poses = features.frames.get(Modality.SKELETAL)
    if poses is None or features.joint_layout is None:
        return f"{annotation.features} has no skeleton", "extract it, or remove the row"
    if len(poses) < FEWEST_FRAMES:
        problem = f"{annotation.features} has {len(poses)} frames, fewer than {FEWEST_FRAMES}"
        return problem, "extract the whole clip, or remove the row"
    return None


def _check_labels(data: DataSet, label: str) -> None:
    findings = []
    for annotation in data.annotations:
        if (problem := _label_problem(annotation, label)) is not None:
            remedy = "correct the cell, remove the row, or name another column with --label"
            findings.append(Finding(data.table, problem, remedy, row=annotation.row, field=label))
    if data.annotations and not any(label in annotation.extra for annotation in data.annotations):
        named = sorted({name for annotation in data.annotations for name in annotation.extra})
        problem = f"no clip has a {label!r}; further columns are {', '.join(named) or 'none'}"
        raise refusal([Finding(data.table, problem, "name the column of the styles with --label", field=label)])
    if findings:
        raise refusal(findings)


def _label_problem(annotation: Annotation, label: str) -> str | None:
    style = annotation.extra.get(label)
    return style_problem(style) if style else "the cell is empty"


def _dancers(clips: Sequence[StyleClip]) -> int:
    return len({clip.group for clip in clips})
