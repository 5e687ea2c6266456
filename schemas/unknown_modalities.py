"""Reports of results and tensors of modalities that this release does not know; see docs/decisions/0020."""

import logging
from typing import Final

from schemas.observation import Observer

log = logging.getLogger(__name__)

_MAX_NAMES: Final = 100
OTHER: Final = "other"
"""Reported in place of further names, so that a broken producer cannot grow a metric without bound."""


class UnknownModalities:
    """Counts everything that was ignored and warns once per name."""

    def __init__(self, observer: Observer) -> None:
        self._observer = observer
        self._warned: set[str] = set()

    def __call__(self, name: str) -> None:
        """Something of modality ``name`` was ignored."""
        if name not in self._warned and len(self._warned) < _MAX_NAMES:
            self._warned.add(name)
            log.warning(
                "modality %r is ignored: this release does not know it; install the package that adds it, or upgrade, "
                "and read the topic again from its beginning",
                name,
            )
        self._observer.unknown_modality(name if name in self._warned else OTHER)
