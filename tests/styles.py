"""Made-up dances: styles that move some limbs more than others, and a classifier of them."""

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from numpy.typing import NDArray

from networks.styles.clips import StyleClip
from schemas.joints import MPII_16, JointLayout

STYLES = ("hands", "legs", "whole")


def dance(style: str, seed: int, *, steps: int = 30, layout: JointLayout = MPII_16) -> NDArray[np.float32]:
    """(T, V, C) of a clip: every joint swings, those of the style's limbs more."""
    rng = np.random.default_rng([seed, steps])
    named = [("wrist" in joint or "elbow" in joint, "ankle" in joint or "knee" in joint) for joint in layout.joints]
    gain = np.array([{"hands": 1 + 2 * a, "legs": 1 + 2 * b, "whole": 2, "still": 0.1}[style] for a, b in named])
    rest = np.random.default_rng(0).normal(0, 100, (layout.joint_count, layout.coordinates))
    phase = rng.uniform(0, 2 * np.pi, (layout.joint_count, layout.coordinates))
    time = np.arange(steps)[:, None, None] / 25 * rng.uniform(0.8, 1.2)
    swing = 12 * gain[:, None] * np.sin(2 * np.pi * time + phase) * rng.uniform(0.8, 1.2)
    return (rest + swing + rng.normal(0, 0.5, (steps, *rest.shape)) + rng.uniform(200, 400)).astype(np.float32)


def dances(
    styles: Sequence[str] = STYLES, *, recordings: int = 6, clips: int = 3, steps: int = 30, first: int = 0
) -> list[StyleClip]:
    """``clips`` clips of each of ``recordings`` dancers in each style."""
    return [
        StyleClip(
            f"{style}-{dancer}-{clip}",
            f"{style}-{dancer}",
            style,
            dance(style, first + 1000 * styles.index(style) + 10 * dancer + clip, steps=steps + clip),
        )
        for style in styles
        for dancer in range(recordings)
        for clip in range(clips)
    ]


def written_classifier(folder: Path) -> Path:
    """A classifier of ``STYLES`` as ``dancerank styles train`` writes it; made once in a process."""
    folder.mkdir(parents=True)
    for name, content in _classifier().items():
        (folder / name).write_bytes(content)
    return folder


@cache
def _classifier() -> dict[str, bytes]:
    from exporters.onnx.style_classifiers import write_classifier
    from networks.styles.classifier import train_classifier

    with TemporaryDirectory() as scratch:
        folder = Path(scratch) / "classifier"
        write_classifier(train_classifier(dances(), MPII_16), folder, training_data="made up")
        return {path.name: path.read_bytes() for path in folder.iterdir()}
