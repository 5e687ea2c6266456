"""A graph in two: what some of its outputs need, and the rest, which runs later or never.

Reads and writes ONNX files as Protocol Buffers lay them out, without the package onnx, which nothing that serves
imports: nodes and weights are sorted into two files, byte for byte. The second graph takes the tensors that cross the
cut, so that nothing is computed twice. Numbers of fields are those of ``onnx.proto3``, which never change.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Final, NamedTuple

_MODEL_GRAPH: Final = 7
_NODE, _WEIGHT, _INPUT, _OUTPUT = 1, 5, 11, 12
"""Of a graph; others are kept in both files, but for what is known of tensors' shapes."""
_VALUE_INFO: Final = 13
_NODE_INPUT, _NODE_OUTPUT, _NODE_ATTRIBUTE = 1, 2, 5
_ATTRIBUTE_GRAPHS: Final = (6, 11)
_WEIGHT_NAME: Final = 8
_VALUE_NAME: Final = 1
_FLOAT: Final = 1

_VARINT, _EIGHT, _BYTES, _FOUR = 0, 1, 2, 5
_FIXED: Final = {_EIGHT: 8, _FOUR: 4}


class _Field(NamedTuple):
    """``content``: of a message, bytes or text; ``raw``: all of the field."""

    number: int
    content: bytes
    raw: bytes


class _Node(NamedTuple):
    raw: bytes
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


class Halves:
    """Two ONNX files: ``first`` has the graph's input and gives, beside outputs of the graph, the tensors ``between``,
    which are the inputs of ``later``.
    """

    def __init__(self, model: "_Model", first: set[int], rest: set[int], early: Sequence[str]) -> None:
        made = {name for number in first for name in model.nodes[number].outputs} | model.inputs.keys()
        taken = {name for number in rest for name in model.nodes[number].inputs}
        self.between = tuple(sorted(made & taken))
        given = {name: model.outputs[name] for name in early} | {
            name: _value(name) for name in self.between if name not in early
        }
        self._model, self._rest = model, rest
        self._late = {name: value for name, value in model.outputs.items() if name not in early}
        self.first = model.part(first, model.inputs, given)

    def later(self, shapes: Mapping[str, Sequence[int | None]]) -> bytes:
        """The second file. ``shapes``: of ``between``, without the number of pictures, ``None`` where an axis is free;
        they are taken for floats.
        """
        inputs = {name: self._model.inputs.get(name) or _value(name, shapes[name]) for name in self.between}
        return self._model.part(self._rest, inputs, self._late)


def split(graph: bytes, early: Collection[str]) -> Halves | None:
    """The graph cut so that the outputs ``early`` come first, by the fewest operations.

    ``None`` for a graph without some of these outputs or without others, for one with nodes that hold graphs, and for
    what is no ONNX file.
    """
    try:
        model = _Model(graph)
    except (IndexError, KeyError, ValueError):
        return None
    if not set(early) <= model.outputs.keys() or model.holds_graphs:
        return None
    first = model.needed(early)
    made = {name for number in first for name in model.nodes[number].outputs}
    early = [name for name in model.outputs if name in early or name in made]
    rest = model.needed(model.outputs.keys() - set(early)) - first
    return Halves(model, first, rest, early) if rest else None


class _Model:
    """An ONNX file. ``inputs`` and ``outputs``: fields of the graph, by the name of the tensor."""

    def __init__(self, content: bytes) -> None:
        self._around = b"".join(field.raw for field in _fields(content) if field.number != _MODEL_GRAPH)
        (graph,) = (field.content for field in _fields(content) if field.number == _MODEL_GRAPH)
        self.nodes: list[_Node] = []
        self.inputs: dict[str, bytes] = {}
        self.outputs: dict[str, bytes] = {}
        self.holds_graphs = False
        self._weights: dict[str, bytes] = {}
        self._others = b""
        for field in _fields(graph):
            if field.number == _NODE:
                self._take_node(field)
            elif field.number == _WEIGHT:
                self._weights[_name(field.content, _WEIGHT_NAME)] = field.raw
            elif field.number == _INPUT:
                self.inputs[_name(field.content, _VALUE_NAME)] = field.raw
            elif field.number == _OUTPUT:
                self.outputs[_name(field.content, _VALUE_NAME)] = field.content
            elif field.number != _VALUE_INFO:
                self._others += field.raw
        self._makers = {name: number for number, node in enumerate(self.nodes) for name in node.outputs if name}

    def _take_node(self, field: _Field) -> None:
        parts = list(_fields(field.content))
        inputs, outputs = (
            tuple(part.content.decode() for part in parts if part.number == number)
            for number in (_NODE_INPUT, _NODE_OUTPUT)
        )
        self.nodes.append(_Node(field.raw, inputs, outputs))
        attributes = [part.content for part in parts if part.number == _NODE_ATTRIBUTE]
        self.holds_graphs |= any(part.number in _ATTRIBUTE_GRAPHS for each in attributes for part in _fields(each))

    def needed(self, names: Iterable[str]) -> set[int]:
        """The numbers of the nodes that these tensors come of."""
        found: set[int] = set()
        left = [self._makers[name] for name in names if name in self._makers]
        while left:
            number = left.pop()
            if number not in found:
                found.add(number)
                left += [self._makers[name] for name in self.nodes[number].inputs if name in self._makers]
        return found

    def part(self, nodes: Iterable[int], inputs: Mapping[str, bytes], outputs: Mapping[str, bytes]) -> bytes:
        """An ONNX file with some of the nodes, in their order, and the weights that they use."""
        kept = [self.nodes[number] for number in sorted(nodes)]
        used = {name for node in kept for name in node.inputs}
        graph = b"".join(
            [
                *(node.raw for node in kept),
                self._others,
                *(raw for name, raw in self._weights.items() if name in used),
                *inputs.values(),
                *(_message(_OUTPUT, value) for value in outputs.values()),
            ]
        )
        return self._around + _message(_MODEL_GRAPH, graph)


def _value(name: str, shape: Sequence[int | None] | None = None) -> bytes:
    """A ``ValueInfoProto``: without a shape the runtime infers all; with one, floats, and the field of an input."""
    named = _message(_VALUE_NAME, name.encode())
    if shape is None:
        return named
    free = _message(2, b"N")  # dim_param
    axes = [free, *(b"" if axis is None else _varint(_VARINT | 1 << 3) + _varint(axis) for axis in shape)]
    dims = b"".join(_message(1, axis) for axis in axes)
    tensor = _varint(_VARINT | 1 << 3) + _varint(_FLOAT) + _message(2, dims)
    return _message(_INPUT, named + _message(2, _message(1, tensor)))


def _name(message: bytes, number: int) -> str:
    return next((field.content.decode() for field in _fields(message) if field.number == number), "")


def _message(number: int, content: bytes) -> bytes:
    return _varint(number << 3 | _BYTES) + _varint(len(content)) + content


def _varint(value: int) -> bytes:
    groups = bytearray()
    while value > 0x7F:
        groups.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*groups, value])


def _fields(message: bytes) -> Iterator[_Field]:
    at = 0
    while at < len(message):
        begin = at
        key, at = _read_varint(message, at)
        kind = key & 7
        if kind == _VARINT:
            _, end = _read_varint(message, at)
        elif kind == _BYTES:
            length, at = _read_varint(message, at)
            end = at + length
        else:
            end = at + _FIXED[kind]
        yield _Field(key >> 3, message[at:end], message[begin:end])
        at = end


def _read_varint(message: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = message[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at


__all__ = ["Halves", "split"]
