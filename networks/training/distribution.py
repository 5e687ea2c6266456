"""What a model's training clips state of their distribution, for its bundle."""

from collections.abc import Sequence
from typing import Final, overload

from networks.datasets import Features, Sample
from networks.model_config import ViralityModelConfig
from schemas.joints import layout_named
from schemas.training_distribution import TrainingDistribution, training_distribution

DISTRIBUTION_NOTE: Final = "training_distribution"
"""The note of a checkpoint that holds it, as JSON."""


def stated_by(samples: Sequence[Sample], config: ViralityModelConfig) -> TrainingDistribution:
    """The distribution of the clips in ``samples``, of each modality that the model reads and enough of them have."""
    coordinates = min(layout_named(config.joint_layout).coordinates, config.joint_channels)
    return training_distribution(_FeaturesOf(samples), coordinates=coordinates, modalities=config.modalities)


class _FeaturesOf(Sequence[Features]):
    """The features of samples, loaded when they are asked for."""

    def __init__(self, samples: Sequence[Sample]) -> None:
        self._samples = samples

    def __len__(self) -> int:
        return len(self._samples)

    @overload
    def __getitem__(self, row: int) -> Features: ...
    @overload
    def __getitem__(self, row: slice) -> list[Features]: ...
    def __getitem__(self, row: int | slice) -> Features | list[Features]:
        if isinstance(row, slice):
            return [self[index] for index in range(*row.indices(len(self)))]
        return self._samples[row][0]
