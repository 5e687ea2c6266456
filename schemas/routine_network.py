"""ACTION-NET's network in a folder of its own, as ``dancerank routines train`` writes it, before it is attached to a
bundle: ``MANIFEST_NAME`` beside the graph of the stream ``routine`` (table in ``schemas.bundle``) and a parity sample.
"""

import math
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from schemas.errors import BundleError
from schemas.escaping import shortened
from schemas.events import parts_problem
from schemas.export_profiles import ParitySample
from schemas.local_files import read_json
from schemas.modalities import Modality
from schemas.training_distribution import DistanceMeter, ModalityDistribution

MANIFEST_NAME: Final = "network.json"
FILE: Final = "routine.onnx"
CORRELATION: Final = "spearman_routine"
"""The metric of what was held out: the rank correlation with the judges' scores."""
CHANNELS: Final = Modality.ROUTINE.channels or 0


class ScoreRange(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The points that the network's scores 0 and 1 stand for."""

    lowest: float
    highest: float

    def __str__(self) -> str:
        return f"0 is {self.lowest:g} points, 1 is {self.highest:g} points"

    def problem(self) -> str | None:
        """Why it is not a range; ``None``: it is."""
        if not 0 < self.highest - self.lowest < math.inf:
            has = "has no length" if self.highest == self.lowest else "has no length above zero that is finite"
            return f"the range of scores {self.lowest:g} to {self.highest:g} {has}"
        return None


class RoutineNetwork(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What is known of a trained network. ``embedding_dim`` D; ``attention`` the parts P of its temporal attention;
    ``score_range`` what its scores stand for; ``distribution`` how the routines that it learned from are distributed,
    ``None`` if they were too few; ``metrics`` what it reached, ``agreement`` with torch as in a bundle's profile.
    """

    file: str
    sha256: str
    opset: int
    embedding_dim: int
    attention: tuple[str, ...]
    parameters: int
    score_range: ScoreRange
    sample: ParitySample
    training_data: str = ""
    architecture: dict[str, str] = {}
    metrics: dict[str, float] = {}
    agreement: dict[str, float] = {}
    distribution: ModalityDistribution | None = None

    def problem(self) -> str | None:
        """What is wrong with it, in a sentence without a remedy; ``None``: nothing."""
        if self.embedding_dim < 1 or not self.attention:
            return "the graph has to give an embedding and a temporal attention"
        if (problem := parts_problem(self.attention)) is not None:
            return f"attention: {problem}"
        if not {*self.sample.score} == {*self.sample.embedding} == {Modality.ROUTINE}:
            return f"sample: it has to state limits for {Modality.ROUTINE}, and for nothing else"
        if self.distribution is not None:
            try:
                DistanceMeter(Modality.ROUTINE, self.distribution, (CHANNELS,))
            except ValueError as error:
                return f"distribution: {shortened(str(error))}"
        return self.score_range.problem()


class _Folder(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="schema", tag="routine-network/1"):
    network: RoutineNetwork


class ReadNetwork(NamedTuple):
    """A verified network: its description, graph and parity sample."""

    described: RoutineNetwork
    graph: bytes
    sample: bytes


def manifest_bytes(network: RoutineNetwork) -> bytes:
    """The content of ``MANIFEST_NAME``."""
    return msgspec.json.format(msgspec.json.encode(_Folder(network))) + b"\n"


def read_routine_network(folder: Path) -> ReadNetwork:
    """A verified network from the folder that ``dancerank routines train`` wrote.

    Raises ``BundleError`` naming the file: absent, malformed, of another format, or with a changed byte.
    """
    from schemas.bundle import GraphFile, read_listed_file

    path = folder / MANIFEST_NAME
    remedy = "train it again with this release: dancerank routines train"
    try:
        network = read_json(path, _Folder, "network of routines").network
    except ValueError as error:
        raise BundleError(f"{path}: {error}; {remedy}") from error
    if (wrong := network.problem()) is not None:
        raise BundleError(f"{path}: {wrong}; {remedy}")
    graph = read_listed_file(folder, GraphFile(network.file, network.sha256), MANIFEST_NAME)
    return ReadNetwork(network, graph, read_listed_file(folder, network.sample, MANIFEST_NAME))
