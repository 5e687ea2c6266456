"""Features of a data set's clips as they are needed: from memory, or from the files.

Processes that load clips ahead import this module and not what trains (see ``networks.loading``).
"""

from collections.abc import Sequence
from typing import Self

from networks.datasets import Features
from vdv.annotations import Annotation
from vdv.folder import DataSet


class Loading:
    """Loads the features of the clip at an index of ``chosen``: from ``held``, or from the files if that is ``None``.

    Pickled, for a process that loads clips ahead, it leaves ``held`` behind: that process reads the files.
    """

    def __init__(self, data: DataSet, chosen: Sequence[Annotation], held: Sequence[Features] | None) -> None:
        self._data = data
        self._chosen = chosen
        self._held = held

    def __call__(self, index: int) -> Features:
        if self._held is not None:
            return self._held[index]
        return self._data.features(self._chosen[index]).frames

    def __reduce__(self) -> tuple[type[Self], tuple[DataSet, Sequence[Annotation], None]]:
        return type(self), (self._data, self._chosen, None)
