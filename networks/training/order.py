"""Chance, epoch by epoch: the order of clips and the seed of dropout follow from the seed and the epoch alone.

An epoch that was interrupted can so be repeated exactly, without storing any generator's state.
"""

from collections.abc import Iterator

import numpy as np
from torch.utils.data import Sampler


def dropout_seed(seed: int, epoch: int, rank: int) -> int:
    """Seed of torch's generator for one epoch on one of several devices."""
    return int(np.random.SeedSequence([seed, epoch, rank]).generate_state(1, np.uint64)[0])


class EpochOrder(Sampler[int]):
    """Rows 0..``clips`` - 1 in an order of their own for every epoch; each of ``devices`` gets its share of them.

    Shares are of equal size, so that no device waits for another: the first rows are used twice if need be.
    """

    def __init__(self, clips: int, *, seed: int, first_epoch: int = 0, rank: int = 0, devices: int = 1) -> None:
        self._clips = clips
        self._seed = seed
        self._first_epoch = first_epoch
        self._rank = rank
        self._devices = devices
        self.epoch = first_epoch

    def set_epoch(self, epoch: int) -> None:
        """Called by Lightning before each epoch, which it counts from zero also when training is continued."""
        self.epoch = self._first_epoch + epoch

    def __len__(self) -> int:
        return -(-self._clips // self._devices)

    def __iter__(self) -> Iterator[int]:
        order = np.random.default_rng([self._seed, self.epoch]).permutation(self._clips)
        share = np.resize(order, len(self) * self._devices)[self._rank :: self._devices]
        return iter(share.tolist())
