"""Whether a process does its work, and what it waits for if not: said by ``/readyz`` and by metrics alike."""

from collections.abc import Sequence
from enum import StrEnum
from typing import NamedTuple


class WaitsFor(StrEnum):
    """What a process may wait for: labels of a metric."""

    START = "start"
    """It has not connected yet."""
    KAFKA = "kafka"
    """No broker, or no leader of a partition, has answered within the bound."""
    PARTITIONS = "partitions"
    """It holds no partitions yet, or some are held by no member of its group."""
    DATABASE = "database"
    """The database has not answered within the bound, or cannot be used."""
    FEATURE_STORE = "feature_store"
    """A feature file has been loading for longer than the store is waited for."""
    RECONNECTION = "reconnection"
    """A loop was interrupted and has not succeeded since."""
    STEP = "step"
    """A loop has been busy with one step for longer than any should take."""
    LOG = "log"
    """The log has not been read to where it ended at the start."""
    GENERATION = "generation"
    """The active generation is not held here."""
    DECISION = "decision"
    """An operator has to decide about records that are gone."""
    RESTART = "restart"
    """A loop has ended: the process has to be restarted."""


class Reason(NamedTuple):
    """What is waited for, and a sentence about it for people."""

    waits_for: WaitsFor
    sentence: str


class ProcessState(NamedTuple):
    """A process now. ``reasons``: what it waits for; empty if it is ready, except in a process that can answer
    meanwhile. ``interrupted_s``: for how long a loop has been interrupted; 0 if none is.
    """

    ready: bool
    reasons: Sequence[Reason]
    interrupted_s: float
