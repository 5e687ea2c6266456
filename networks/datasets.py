"""Clips with their scores, and padded batches of them.

Legend: N clips, T time steps, V joints, C channels, M modalities.
"""

import hashlib
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import NamedTuple, overload

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from schemas.modalities import Modality

Features = Mapping[Modality, NDArray[np.floating]]
"""The modalities that a clip has: (T, V, C) for the skeletal one, (T, C) for the others, float16 or float32."""

Sample = tuple[Features, float]
"""A clip's features and its virality score."""


class LazySamples(Sequence[Sample]):
    """Samples whose features are loaded each time that they are asked for, so that not all have to be in memory."""

    def __init__(
        self,
        load: Callable[[int], Features],
        targets: Sequence[float],
        modalities: Sequence[Collection[Modality]],
        fingerprint: str,
    ) -> None:
        """``load`` yields the features of a row. Without loading anything are known: ``targets`` (N,), the
        ``modalities`` that each clip has, and a ``fingerprint``, another for other clips, features or targets."""
        self._load = load
        self.targets = targets
        self.modalities = modalities
        self.fingerprint = fingerprint

    def __len__(self) -> int:
        return len(self.targets)

    @overload
    def __getitem__(self, row: int) -> Sample: ...
    @overload
    def __getitem__(self, row: slice) -> list[Sample]: ...
    def __getitem__(self, row: int | slice) -> Sample | list[Sample]:
        if isinstance(row, slice):
            return [self[index] for index in range(*row.indices(len(self)))]
        if not -len(self) <= row < len(self):
            raise IndexError(row)
        return self._load(row % len(self)), self.targets[row]


def targets_of(samples: Sequence[Sample]) -> NDArray[np.float64]:
    """The scores (N,) of ``samples``; loads no features."""
    targets = samples.targets if isinstance(samples, LazySamples) else [target for _, target in samples]
    return np.array(targets, np.float64)


def presence_of(samples: Sequence[Sample], modalities: Sequence[Modality]) -> NDArray[np.bool_]:
    """Which clip has which of ``modalities``, (N, M); loads no features."""
    had = samples.modalities if isinstance(samples, LazySamples) else [features for features, _ in samples]
    present = [[modality in features for modality in modalities] for features in had]
    return np.array(present, bool).reshape(len(samples), len(modalities))


def fingerprint_of(samples: Sequence[Sample]) -> str:
    """SHA-256, in hexadecimal, of everything in ``samples``; of lazy ones, the fingerprint that they came with."""
    if isinstance(samples, LazySamples):
        return samples.fingerprint
    digest = hashlib.sha256()
    for features, target in samples:
        digest.update(f"{target!r}".encode())
        for modality in sorted(features):
            frames = np.ascontiguousarray(features[modality])
            digest.update(f"{modality} {frames.dtype} {frames.shape}".encode())
            digest.update(frames.tobytes())
    return digest.hexdigest()


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
