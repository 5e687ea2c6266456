"""Small clips whose virality can be learned, and a small model to learn it."""

import os
from pathlib import Path

import numpy as np

from networks.datasets import Features, Sample
from networks.model_config import ViralityModelConfig
from schemas.modalities import Modality

CONFIG = ViralityModelConfig(
    modalities=(Modality.SKELETAL, Modality.SCENIC),
    graph_width=1 / 16,
    temporal_width=1 / 32,
    fusion_width=1 / 8,
    dropout=0.1,
)
SCENIC = ViralityModelConfig(modalities=(Modality.SCENIC,), temporal_width=1 / 64, fusion_width=1 / 8)


def planted(count: int, seed: int) -> list[Sample]:
    """Virality is the energy of the pose's motion, plus a brightness of the scene; every fifth clip has no scene."""
    stance = np.random.default_rng(0).normal(size=(16, 2))
    generator = np.random.default_rng(seed)
    samples: list[Sample] = []
    for clip in range(count):
        virality = generator.random()
        steps = int(generator.integers(8, 20))
        pose = stance + virality * generator.normal(size=(steps, 16, 2))
        scene = generator.normal(0.3 + virality, 0.3, (steps // 4, 512)).clip(min=0)
        features = {Modality.SKELETAL: pose.astype(np.float32), Modality.SCENIC: scene.astype(np.float16)}
        if clip % 5 == 0:
            del features[Modality.SCENIC]
        samples.append((features, virality))
    return samples


def scenes(count: int, seed: int) -> list[Sample]:
    """Clips that have nothing but a scene."""
    generator = np.random.default_rng(seed)
    viralities = generator.random(count)
    return [
        ({Modality.SCENIC: generator.normal(0.3 + virality, 0.6, (4, 512)).astype(np.float32)}, float(virality))
        for virality in viralities
    ]


MEMORY = ""
"""Something that a test may set; a process that was forked from the test's would have it too."""


class WitnessedScenes:
    """Loads clips of ``scenes``. Each process that loads writes its ``MEMORY`` to a file that its id names."""

    def __init__(self, count: int, seed: int, witnesses: Path) -> None:
        witnesses.mkdir()
        self._clips = scenes(count, seed)
        self.witnesses = witnesses
        self.targets = [target for _, target in self._clips]

    def __call__(self, row: int) -> Features:
        (self.witnesses / str(os.getpid())).write_text(MEMORY)
        return self._clips[row][0]
