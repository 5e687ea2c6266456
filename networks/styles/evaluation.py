"""How well styles are distinguished. Legend: N clips, K styles."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import confusion_matrix


class StyleReport(NamedTuple):
    """``confusion`` (K, K): row k counts the clips of style k by the style that they were given."""

    styles: tuple[str, ...]
    confusion: NDArray[np.int64]

    @property
    def accuracy(self) -> float:
        """The share of clips that were given their style."""
        return float(np.trace(self.confusion) / self.confusion.sum())

    @property
    def balanced_accuracy(self) -> float:
        """The mean over styles with clips of the share of their clips that were given the style."""
        counts = self.confusion.sum(1)
        return float((np.diagonal(self.confusion)[counts > 0] / counts[counts > 0]).mean())


def report(styles: Sequence[str], truth: Sequence[str], predicted: Sequence[str]) -> StyleReport:
    """The report on N clips with their true and their predicted styles."""
    return StyleReport(tuple(styles), confusion_matrix(truth, predicted, labels=list(styles)))
