"""Batches of clips for training, loaded by the training process or by processes that load ahead of it.

Loader processes import this module and no more of training, which would cost each of them seconds.
"""

from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

from torch.utils.data import DataLoader, Dataset, Sampler

from networks.datasets import Batch, Sample, collate
from schemas.modalities import Modality


class TracedBatch(NamedTuple):
    """A padded batch and the rows of its clips among the training clips."""

    rows: tuple[int, ...]
    clips: Batch


class _NumberedSamples(Dataset[tuple[int, Sample]]):
    """Samples with their row, so that a batch can be traced to its clips."""

    def __init__(self, samples: Sequence[Sample]) -> None:
        self._samples = samples

    def __len__(self) -> int:
        return len(self._samples)

    def __getitem__(self, row: int) -> tuple[int, Sample]:
        return row, self._samples[row]


def batch_loader(
    samples: Sequence[Sample],
    modalities: Sequence[Modality],
    order: Sampler[int],
    *,
    batch_size: int,
    processes: int = 0,
    pin_memory: bool = False,
) -> DataLoader[TracedBatch]:
    """Loads ``samples`` in ``order`` in batches with the modality axis ``modalities``.

    With ``processes`` above zero so many load ahead; ``samples`` must then be picklable. They are spawned, not forked:
    the training process has threads (OpenMP's, those of clients), whose locks a fork would copy as they happen to be.
    """
    return DataLoader(
        _NumberedSamples(samples),  # type: ignore[arg-type]
        batch_size=batch_size,
        sampler=order,
        collate_fn=partial(_traced_collate, modalities=modalities),
        num_workers=processes,
        persistent_workers=processes > 0,
        multiprocessing_context="spawn" if processes else None,
        pin_memory=pin_memory,
    )


def _traced_collate(numbered: Sequence[tuple[int, Sample]], modalities: Sequence[Modality]) -> TracedBatch:
    rows, samples = zip(*numbered, strict=True)
    return TracedBatch(rows, collate(samples, modalities))
