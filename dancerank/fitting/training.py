"""Training the small bundle on synthetic clips. The only module of the command that needs the ``[train]`` extra."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

import msgspec

from dancerank.console.progress import OnProgress
from dancerank.fitting.learning import open_clips, refuse_other_features
from dancerank.synthetic import Plan, SyntheticClip, synthesize
from exporters.onnx.export import export_bundle
from exporters.onnx.fewer_bits import Calibration
from networks.checkpoint import load_checkpoint, save_checkpoint
from networks.checkpoint_file import read_target
from networks.datasets import Sample
from networks.model_config import ViralityModelConfig
from networks.training import TrainingSettings, fit
from networks.training.distribution import DISTRIBUTION_NOTE, stated_by
from schemas.bundle import SYNTHETIC_CLIPS, BundleManifest
from schemas.export_profiles import DEFAULT_PROFILE, Profile, Server
from schemas.modalities import Modality
from schemas.training_distribution import TrainingDistribution
from schemas.virality_target import FittedTarget
from vdv.folder import DataSet
from vdv.targets import targets

TRAINING_SEED: Final = 7
HELD_OUT_SEED: Final = 8
HELD_OUT_CLIPS: Final = 240

SMALL: Final = ViralityModelConfig(graph_width=0.25, temporal_width=0.0625, fusion_width=0.25, dropout=0.1)
"""The paper's architecture at a size whose bundle a repository can hold."""

VIDEO_CHANNELS: Final = ((Modality.HOLISTIC, 1280), (Modality.FACIAL, 1280))
"""Widths of what the extractors of Python's index give of videos, where they are not the paper's."""

FOR_VIDEOS: Final = ViralityModelConfig(
    graph_width=0.125,
    temporal_width=0.03125,
    fusion_width=0.125,
    dropout=0.1,
    feature_channels=dict(VIDEO_CHANNELS),
)
"""Half as wide, for the features of ``dancerank demo-video``."""

SHORT: Final = Plan(shortest_s=3.0, longest_s=6.0)
"""Many short clips, each seen a few times, teach more than few long ones seen often. Held-out clips are 5 to 15 s."""


def train_small_bundle(
    folder: Path,
    *,
    clips: int = 2400,
    epochs: int = 5,
    checkpoint: Path,
    progress: Callable[[str], None],
    network: ViralityModelConfig = SMALL,
    overwrite: bool = False,
) -> BundleManifest:
    """Train ``network`` on ``clips`` synthetic clips with features of its widths, save the checkpoint and export it to
    ``folder``.
    """
    progress(f"making {clips} training and {HELD_OUT_CLIPS} held-out clips")
    channels = tuple(network.feature_channels.items())
    training = samples(list(synthesize(clips, seed=TRAINING_SEED, plan=replace(SHORT, channels=channels))))
    held_out = samples(list(synthesize(HELD_OUT_CLIPS, seed=HELD_OUT_SEED, plan=Plan(channels=channels))))
    progress(f"training for {epochs} epochs")
    settings = TrainingSettings(
        epochs=epochs,
        learning_rate=2e-3,
        decay=0.3,
        decay_epochs=max(1, epochs // 2),
        margin=0.6,
        gradnorm_restoring=1.5,
        modality_dropout=0.1,
        seed=TRAINING_SEED,
    )
    result = fit(network, training, held_out, settings)
    data = f"{SYNTHETIC_CLIPS}={clips} seed={TRAINING_SEED} epochs={epochs}"
    stated = msgspec.json.encode(stated_by(training, network)).decode()
    metrics = {name: f"{value:.4f}" for name, value in result.metrics.items()}
    notes = {"training_data": data, DISTRIBUTION_NOTE: stated, **metrics}
    save_checkpoint(result.model, checkpoint, notes)
    progress("exporting and checking torch against ONNX Runtime")
    return export_checkpoint(checkpoint, folder, overwrite=overwrite)


def train_video_bundle(
    folder: Path,
    *,
    clips: int = 960,
    epochs: int = 4,
    checkpoint: Path,
    progress: Callable[[str], None],
    overwrite: bool = False,
) -> BundleManifest:
    """``train_small_bundle`` for ``FOR_VIDEOS``. Its scores mean nothing for real videos, so that less is enough."""
    return train_small_bundle(
        folder,
        clips=clips,
        epochs=epochs,
        checkpoint=checkpoint,
        progress=progress,
        network=FOR_VIDEOS,
        overwrite=overwrite,
    )


def export_checkpoint(
    checkpoint: Path,
    folder: Path,
    *,
    profile: Profile = DEFAULT_PROFILE,
    calibrate_on: DataSet | None = None,
    server: Server | None = None,
    on_progress: OnProgress = lambda *_: None,
    overwrite: bool = False,
) -> BundleManifest:
    """Turn a checkpoint into a bundle; its notes become the manifest's training data, distribution and metrics, and
    what it has learned the manifest's target.

    ``calibrate_on``: clips for a profile in fewer bits, and ``server`` the runtime that it is for. Raises
    ``DataSetError`` if they cannot be read or have other joints.
    """
    model, notes = load_checkpoint(checkpoint)
    target = read_target(checkpoint)
    calibration = None if calibrate_on is None else _calibration(calibrate_on, model.config, target, on_progress)
    data = notes.pop("training_data", "unknown")
    stated = msgspec.json.decode(notes.pop(DISTRIBUTION_NOTE, "{}"), type=TrainingDistribution)
    metrics = {name: float(value) for name, value in notes.items()}
    return export_bundle(
        model,
        folder,
        training_data=data,
        metrics=metrics,
        target=target,
        distribution=stated,
        profile=profile,
        calibration=calibration,
        server=server,
        overwrite=overwrite,
    )


def _calibration(
    data: DataSet, config: ViralityModelConfig, target: FittedTarget, on_progress: OnProgress
) -> Calibration:
    clips = open_clips(data, on_progress, target)
    refuse_other_features(
        clips,
        config,
        "the checkpoint was trained on",
        "calibrate on the layout and the extractors that it was trained on",
    )
    rows = range(len(data))
    source = f"{data.folder.resolve().name}: {len(rows)} clips"
    return Calibration([features for features, _ in clips.samples(rows)], source)


def samples(clips: Sequence[SyntheticClip]) -> list[Sample]:
    """Features with the target of Eq. (2), from the clips' counts."""
    scores = targets([clip.annotation for clip in clips]).normalised
    return [(clip.features.frames, float(score)) for clip, score in zip(clips, scores, strict=True)]
