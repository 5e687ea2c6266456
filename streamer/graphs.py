"""Does an ONNX graph offer what the bundle's manifest promises? Checks without running it."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from schemas.bundle import (
    ATTENTION,
    EMBEDDING,
    EMBEDDINGS,
    FRAMES,
    FUSED_SCORE,
    LENGTHS,
    PRESENT,
    SCORE,
    SCORES,
    BundleManifest,
    StreamGraph,
)
from schemas.errors import BundleError
from schemas.joints import layout_named

FREE: Final = None
"""An axis of any length: clips N or time steps T."""

Axes = tuple[int | None, ...]


@dataclass(frozen=True)
class Port:
    """One input or output of a graph. A fixed axis has its length, a free one ``FREE``."""

    kind: str
    axes: Axes


@dataclass(frozen=True)
class Signature:
    inputs: Mapping[str, Port]
    outputs: Mapping[str, Port]


def stream_signature(stream: StreamGraph, joint_layout: str | None) -> Signature:
    """What the graph of a stream has to look like (table in ``schemas.bundle``)."""
    joints = (layout_named(joint_layout or "").joint_count,) if stream.modality.has_joints else ()
    return Signature(
        {
            FRAMES: Port("tensor(float)", (FREE, FREE, *joints, stream.input_channels)),
            LENGTHS: Port("tensor(int64)", (FREE,)),
        },
        {EMBEDDING: Port("tensor(float)", (FREE, stream.embedding_dim)), SCORE: Port("tensor(float)", (FREE,))},
    )


def fusion_signature(manifest: BundleManifest) -> Signature:
    """What the fusion graph has to look like (table in ``schemas.bundle``)."""
    streams = len(manifest.streams)
    width = sum(stream.embedding_dim for stream in manifest.streams)
    return Signature(
        {
            EMBEDDINGS: Port("tensor(float)", (FREE, width)),
            SCORES: Port("tensor(float)", (FREE, streams)),
            PRESENT: Port("tensor(bool)", (FREE, streams)),
        },
        {ATTENTION: Port("tensor(float)", (FREE, streams)), FUSED_SCORE: Port("tensor(float)", (FREE,))},
    )


def check_signature(file: str, found: Signature, expected: Signature) -> None:
    """Raise ``BundleError`` naming the file and the input or output that differs.

    A free axis must be free. A fixed axis of an input must be fixed at its length; of an output it may be unknown.
    """
    sides = (("input", found.inputs, expected.inputs, False), ("output", found.outputs, expected.outputs, True))
    for side, ports, wanted, may_be_unknown in sides:
        if set(ports) != set(wanted):
            raise BundleError(
                f"{file}: {side}s are {_names(ports)}, expected {_names(wanted)}; export the bundle again"
            )
        for name, port in wanted.items():
            actual = ports[name]
            if actual.kind != port.kind or not _fits(actual.axes, port.axes, may_be_unknown):
                raise BundleError(
                    f"{file}: {side} {name!r} is {_shown(actual)}, the manifest means {_shown(port)}; export it again"
                )


def check_opset(file: str, graph: bytes, expected: int) -> None:
    """Raise ``BundleError`` if the graph uses another version of the ONNX operators than the manifest says."""
    found = default_opset(graph)
    if found != expected:
        raise BundleError(f"{file}: opset is {found}, the manifest says {expected}; export the bundle again")


def default_opset(graph: bytes) -> int | None:
    """Version of the default operator set of a serialised ONNX model; ``None`` if it names none or is no model."""
    try:
        for field, content in _fields(graph):
            if field == _OPSET_IMPORT and isinstance(content, bytes):
                entry = dict(_fields(content))
                if entry.get(_OPSET_DOMAIN, b"") in (b"", b"ai.onnx"):
                    version = entry.get(_OPSET_VERSION)
                    return version if isinstance(version, int) else None
    except (IndexError, ValueError):
        return None
    return None


# Field numbers in onnx.proto, and the wire types of protocol buffers. ONNX Runtime does not tell a model's opset, and a
# serving host has no onnx package.
_OPSET_IMPORT: Final = 8
_OPSET_DOMAIN: Final = 1
_OPSET_VERSION: Final = 2
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5


def _fields(message: bytes) -> Iterator[tuple[int, int | bytes]]:
    at = 0
    while at < len(message):
        key, at = _varint(message, at)
        kind = key & 7
        if kind == _VARINT:
            value, at = _varint(message, at)
            yield key >> 3, value
            continue
        if kind == _BYTES:
            size, at = _varint(message, at)
        elif kind in (_FIXED64, _FIXED32):
            size = 8 if kind == _FIXED64 else 4
        else:
            raise ValueError(f"wire type {kind}")
        yield key >> 3, message[at : at + size]
        at += size


def _varint(message: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = message[at]
        value |= (byte & 0x7F) << shift
        at += 1
        shift += 7
        if not byte & 0x80:
            return value, at


def _fits(actual: Axes, expected: Axes, may_be_unknown: bool) -> bool:
    return len(actual) == len(expected) and all(
        a == e or (may_be_unknown and a is FREE) for a, e in zip(actual, expected, strict=True)
    )


def _names(ports: Mapping[str, Port]) -> str:
    return ", ".join(sorted(ports)) or "none"


def _shown(port: Port) -> str:
    return f"{port.kind} of shape ({', '.join('any' if axis is FREE else str(axis) for axis in port.axes)})"
