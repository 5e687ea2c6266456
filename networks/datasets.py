"""Clips in memory and their padded batches. Legend: N clips, T time steps, V joints, C channels, M modalities."""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from schemas.modalities import Modality

Features = Mapping[Modality, NDArray[np.floating]]
"""The modalities that a clip has: (T, V, C) for the skeletal one, (T, C) for the others, float16 or float32."""

Sample = tuple[Features, float]
"""A clip's features and its virality score."""


class Batch(NamedTuple):
    """A padded batch. ``inputs`` holds frames (N, T, ...) and lengths (N,) of every modality that some clip has;
    rows of clips without it are zero and of length zero. ``present`` (N, M), ``targets`` (N,)."""

    inputs: dict[Modality, tuple[Tensor, Tensor]]
    present: Tensor
    targets: Tensor


def collate(samples: Sequence[Sample], modalities: Sequence[Modality]) -> Batch:
    """Pad ``samples`` to a float32 batch with the modality axis ``modalities``; others that a clip has are left out."""
    present = torch.tensor([[modality in features for modality in modalities] for features, _ in samples])
    inputs = {
        modality: _padded([features.get(modality) for features, _ in samples])
        for index, modality in enumerate(modalities)
        if present[:, index].any()
    }
    return Batch(inputs, present, torch.tensor([target for _, target in samples], dtype=torch.float32))


def batches(samples: Sequence[Sample], modalities: Sequence[Modality], batch_size: int) -> Iterator[Batch]:
    """Padded batches of ``batch_size`` clips in the given order."""
    for start in range(0, len(samples), batch_size):
        yield collate(samples[start : start + batch_size], modalities)


def _padded(sequences: Sequence[NDArray[np.floating] | None]) -> tuple[Tensor, Tensor]:
    lengths = [0 if sequence is None else len(sequence) for sequence in sequences]
    step = next(sequence.shape[1:] for sequence in sequences if sequence is not None)
    frames = np.zeros((len(sequences), max(lengths), *step), np.float32)
    for row, sequence in enumerate(sequences):
        if sequence is not None:
            frames[row, : len(sequence)] = sequence
    return torch.from_numpy(frames), torch.tensor(lengths)
