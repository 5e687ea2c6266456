"""The runs that a batch of clips takes: each of one graph, on one thread."""

from typing import NamedTuple

from schemas.modalities import Modality
from streamer.batch_sizes import Rows


class StreamRun(NamedTuple):
    """One run of a stream: over the ``rows`` of a batch, all of which have the modality."""

    modality: Modality
    rows: Rows


class StyleRun(NamedTuple):
    """The styles of the ``rows`` of a batch, all of which have the ``modality``, one with joints.

    These are more than those of the stream's runs: a classifier is a hundred small operators, and calling each costs
    more than its arithmetic on one clip.
    """

    modality: Modality
    rows: Rows


class GuidanceRun(NamedTuple):
    """The guidance of one clip of a batch. It runs alone: what the log says of it depends on no other clip."""

    row: int


Run = StreamRun | StyleRun | GuidanceRun
