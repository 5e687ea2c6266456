"""What each operator does to a gradient.

A rule gets the gradients of a node's outputs (``None`` for an output that has none) and says which its inputs get. Only
inputs that ``needed`` marks have to be considered. Legend: g is the gradient that arrives at the first output.
"""

from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np
import onnx

from exporters.onnx.gradients.convolutions import of_convolution
from exporters.onnx.gradients.writing import GraphWriter, attributes_of
from schemas.errors import BundleError

Gradients = list[str | None]
Rule = Callable[[GraphWriter, onnx.NodeProto, Sequence[str | None], Sequence[bool]], Gradients]
_Simple = Callable[[GraphWriter, onnx.NodeProto, str], str]


def _of_first(rule: _Simple) -> Rule:
    """A rule of an operator whose first input alone may be differentiated."""

    def apply(
        writer: GraphWriter, node: onnx.NodeProto, arriving: Sequence[str | None], needed: Sequence[bool]
    ) -> Gradients:
        _only_first(node, needed)
        (g,) = (gradient for gradient in arriving if gradient is not None)
        return [rule(writer, node, g)]

    return apply


def _only_first(node: onnx.NodeProto, needed: Sequence[bool]) -> None:
    if any(needed[1:]):
        raise BundleError(f"{node.op_type} ({node.name}): a gradient is known with respect to its first input only")


def _identity(_writer: GraphWriter, _node: onnx.NodeProto, g: str) -> str:
    return g


def _negative(writer: GraphWriter, _node: onnx.NodeProto, g: str) -> str:
    return writer.of("Neg", g)


def _cast(writer: GraphWriter, node: onnx.NodeProto, g: str) -> str:
    return writer.of("Cast", g, to=writer.element_type(node.input[0]))


def _reshaped(writer: GraphWriter, node: onnx.NodeProto, g: str) -> str:
    """Whatever arranges the same elements in another shape."""
    return writer.of("Reshape", g, writer.shape_of(node.input[0]))


def _transpose(writer: GraphWriter, node: onnx.NodeProto, g: str) -> str:
    rank = len(writer.dims(node.input[0]))
    order = attributes_of(node).get("perm", range(rank - 1, -1, -1))
    return writer.of("Transpose", g, perm=np.argsort(order).tolist())


def _expand(writer: GraphWriter, node: onnx.NodeProto, g: str) -> str:
    return writer.summed_to(g, node.input[0], writer.dims(node.output[0]))


def _where_positive(writer: GraphWriter, node: onnx.NodeProto, g: str) -> str:
    zero = writer.array_like(0, node.input[0])
    return writer.of("Where", writer.of("Greater", node.output[0], zero), g, zero)


def _abs(writer: GraphWriter, node: onnx.NodeProto, g: str) -> str:
    return writer.of("Mul", g, writer.of("Sign", node.input[0]))


def _clip(writer: GraphWriter, node: onnx.NodeProto, g: str) -> str:
    x, zero = node.input[0], writer.array_like(0, node.input[0])
    for bound, comparison in zip(node.input[1:], ("GreaterOrEqual", "LessOrEqual"), strict=False):
        if bound:
            g = writer.of("Where", writer.of(comparison, x, bound), g, zero)
    return g


def _bounded(writer: GraphWriter, node: onnx.NodeProto, g: str) -> str:
    """Max or Min of a value and a bound, as which a graph of another precision has Clip."""
    if len(node.input) != 2:
        raise BundleError(f"{node.op_type} ({node.name}): a gradient is known of a value and one bound only")
    x, bound = node.input
    reached = writer.of("GreaterOrEqual" if node.op_type == "Max" else "LessOrEqual", x, bound)
    passed = writer.of("Where", reached, g, writer.array_like(0, x))
    return writer.summed_to(passed, x, writer.dims(node.output[0]))


def _square_root(writer: GraphWriter, node: onnx.NodeProto, g: str) -> str:
    twice = writer.of("Add", node.output[0], node.output[0])
    return writer.of("Div", g, twice)


def _exponential(writer: GraphWriter, node: onnx.NodeProto, g: str) -> str:
    return writer.of("Mul", g, node.output[0])


def _sigmoid(writer: GraphWriter, node: onnx.NodeProto, g: str) -> str:
    y = node.output[0]
    slope = writer.of("Mul", y, writer.of("Sub", writer.array_like(1, y), y))
    return writer.of("Mul", g, slope)


def _tanh(writer: GraphWriter, node: onnx.NodeProto, g: str) -> str:
    y = node.output[0]
    slope = writer.of("Sub", writer.array_like(1, y), writer.of("Mul", y, y))
    return writer.of("Mul", g, slope)


def _softmax(writer: GraphWriter, node: onnx.NodeProto, g: str) -> str:
    """y · (g − Σ g y), the sum over the axis of the softmax."""
    y, axis = node.output[0], int(attributes_of(node).get("axis", -1))
    total = writer.of("ReduceSum", writer.of("Mul", g, y), writer.ints([axis]), keepdims=1)
    return writer.of("Mul", y, writer.of("Sub", g, total))


def _reduced(writer: GraphWriter, node: onnx.NodeProto, g: str) -> str:
    """Of ReduceSum and ReduceMean: g for every element that was summed, by their number for the mean."""
    x, attributes = node.input[0], attributes_of(node)
    rank = len(writer.dims(x))
    axes = writer.known(node.input[1], "the axes of a sum").tolist() if len(node.input) > 1 else list(range(rank))
    axes = sorted(axis % rank for axis in np.atleast_1d(axes).tolist())
    if not attributes.get("keepdims", 1):
        g = writer.of("Unsqueeze", g, writer.ints(axes))
    shape = writer.shape_of(x)
    spread = writer.of("Expand", g, shape)
    if node.op_type == "ReduceSum":
        return spread
    lengths = writer.of("Gather", shape, writer.ints(axes))
    summed = writer.of("Cast", writer.of("ReduceProd", lengths, keepdims=0), to=writer.element_type(x))
    return writer.of("Div", spread, summed)


def _gather(writer: GraphWriter, node: onnx.NodeProto, g: str) -> str:
    """By constant indices, as a product with the matrix that selects them: (indices, length of the axis)."""
    x, dims = node.input[0], writer.dims(node.input[0])
    axis = int(attributes_of(node).get("axis", 0)) % len(dims)
    indices, length = writer.known(node.input[1], "the indices of Gather"), dims[axis]
    if not isinstance(length, int) or indices.ndim > 1:
        raise BundleError(f"Gather ({node.name}): a gradient is known for a list of indices on an axis of known length")
    if indices.ndim == 0:
        g = writer.of("Unsqueeze", g, writer.ints([axis]))
    selected = np.eye(length)[np.atleast_1d(indices) % length]
    order = [*(each for each in range(len(dims)) if each != axis), axis]
    last = writer.of("Transpose", g, perm=order)
    scattered = writer.of("MatMul", last, writer.array_like(selected, x))
    return writer.of("Transpose", scattered, perm=np.argsort(order).tolist())


def _slice(writer: GraphWriter, node: onnx.NodeProto, g: str) -> str:
    """Zeros around what was cut out."""
    x, rank = node.input[0], len(writer.dims(node.input[0]))
    starts = writer.known(node.input[1], "the start of a slice").tolist()
    axes = writer.known(node.input[3], "the axes of a slice").tolist() if len(node.input) > 3 else range(len(starts))
    steps = writer.known(node.input[4], "the step of a slice").tolist() if len(node.input) > 4 else [1]
    if any(step != 1 for step in steps):
        raise BundleError(f"Slice ({node.name}): a gradient is known for steps of 1 only")
    given, negative = np.zeros(rank, np.int64), np.zeros(rank, np.int64)
    for axis, start in zip(axes, starts, strict=True):
        given[axis % rank], negative[axis % rank] = start, start < 0
    whole = writer.shape_of(x)
    before = writer.of("Add", writer.ints(given.tolist()), writer.of("Mul", whole, writer.ints(negative.tolist())))
    after = writer.of("Sub", writer.of("Sub", whole, before), writer.shape_of(g))
    return writer.padded(g, before, after, x)


def _pad(writer: GraphWriter, node: onnx.NodeProto, g: str) -> str:
    """What the padding got is cut off, and what was cut off gets nothing: padding by the opposite widths."""
    if attributes_of(node).get("mode", b"constant") != b"constant" or any(node.input[3:]):
        raise BundleError(f"Pad ({node.name}): a gradient is known for constant padding of all axes only")
    widths = writer.known(node.input[1], "the width of a padding")
    return writer.of("Pad", g, writer.ints((-widths).tolist()), writer.array_like(0, node.input[0]))


def _batch_norm(writer: GraphWriter, node: onnx.NodeProto, g: str) -> str:
    """With fixed statistics it is a linear map of each channel."""
    x = node.input[0]
    scale, variance = (writer.known(node.input[at], "a parameter of BatchNormalization") for at in (1, 4))
    slope = scale / np.sqrt(variance + attributes_of(node).get("epsilon", 1e-5))
    shape = [-1, *[1] * (len(writer.dims(x)) - 2)]
    return writer.of("Mul", g, writer.array_like(slope.reshape(shape), x))


def _gemm(writer: GraphWriter, node: onnx.NodeProto, g: str) -> str:
    attributes = attributes_of(node)
    if attributes.get("transA", 0) or attributes.get("alpha", 1.0) != 1.0:
        raise BundleError(
            f"Gemm ({node.name}): a gradient is known without a factor and with its first matrix as it is"
        )
    weights = node.input[1]
    if not attributes.get("transB", 0):
        weights = writer.of("Transpose", weights, perm=[1, 0])
    return writer.of("MatMul", g, weights)


def _matmul(
    writer: GraphWriter, node: onnx.NodeProto, arriving: Sequence[str | None], needed: Sequence[bool]
) -> Gradients:
    (g,), (a, b), batch = arriving, node.input, writer.dims(node.output[0])[:-2]
    if min(len(writer.dims(a)), len(writer.dims(b))) < 2:
        raise BundleError(f"MatMul ({node.name}): a gradient is known of matrices, not of vectors")
    found: Gradients = [None, None]
    if needed[0]:
        product = writer.of("MatMul", str(g), _swapped(writer, b))
        found[0] = writer.summed_to(product, a, [*batch, *writer.dims(a)[-2:]])
    if needed[1]:
        product = writer.of("MatMul", _swapped(writer, a), str(g))
        found[1] = writer.summed_to(product, b, [*batch, *writer.dims(b)[-2:]])
    return found


def _swapped(writer: GraphWriter, value: str) -> str:
    rank = len(writer.dims(value))
    return writer.of("Transpose", value, perm=[*range(rank - 2), rank - 1, rank - 2])


def _einsum(
    writer: GraphWriter, node: onnx.NodeProto, arriving: Sequence[str | None], needed: Sequence[bool]
) -> Gradients:
    equation = attributes_of(node)["equation"].decode().replace(" ", "")
    operands, result = equation.split("->")
    terms = operands.split(",")
    if len(terms) != 2 or "." in equation or any(len(set(term)) < len(term) for term in (*terms, result)):
        raise BundleError(f"Einsum ({node.name}): a gradient is known of two operands without ellipsis or diagonals")
    found: Gradients = [None, None]
    for at in (0, 1):
        other = 1 - at
        if needed[at]:
            if set(terms[at]) - set(result) - set(terms[other]):
                raise BundleError(f"Einsum ({node.name}): {equation} sums an axis that only one operand has")
            back = f"{result},{terms[other]}->{terms[at]}"
            found[at] = writer.of("Einsum", str(arriving[0]), node.input[other], equation=back)
    return found


def _sum_of(signs: Sequence[int]) -> Rule:
    def apply(
        writer: GraphWriter, node: onnx.NodeProto, arriving: Sequence[str | None], needed: Sequence[bool]
    ) -> Gradients:
        found: Gradients = []
        for value, sign, is_needed in zip(node.input, signs, needed, strict=True):
            g = str(arriving[0])
            if is_needed:
                summed = writer.summed_to(g, value, writer.dims(node.output[0]))
                found.append(summed if sign > 0 else writer.of("Neg", summed))
            else:
                found.append(None)
        return found

    return apply


def _product(
    writer: GraphWriter, node: onnx.NodeProto, arriving: Sequence[str | None], needed: Sequence[bool]
) -> Gradients:
    (g,), (a, b) = arriving, node.input
    return [
        writer.summed_to(writer.of("Mul", str(g), other), value, writer.dims(node.output[0])) if is_needed else None
        for value, other, is_needed in ((a, b, needed[0]), (b, a, needed[1]))
    ]


def _quotient(
    writer: GraphWriter, node: onnx.NodeProto, arriving: Sequence[str | None], needed: Sequence[bool]
) -> Gradients:
    (g,), (a, b) = arriving, node.input
    found: Gradients = [None, None]
    share = writer.of("Div", str(g), b)
    if needed[0]:
        found[0] = writer.summed_to(share, a, writer.dims(node.output[0]))
    if needed[1]:
        lost = writer.of("Neg", writer.of("Mul", share, node.output[0]))
        found[1] = writer.summed_to(lost, b, writer.dims(node.output[0]))
    return found


def _where(
    writer: GraphWriter, node: onnx.NodeProto, arriving: Sequence[str | None], needed: Sequence[bool]
) -> Gradients:
    g, condition = str(arriving[0]), node.input[0]
    zero = writer.array_like(0, node.output[0])
    found: Gradients = [None]
    for value, is_needed, (chosen, other) in zip(node.input[1:], needed[1:], ((g, zero), (zero, g)), strict=True):
        masked = writer.of("Where", condition, chosen, other)
        found.append(writer.summed_to(masked, value, writer.dims(node.output[0])) if is_needed else None)
    return found


def _concat(
    writer: GraphWriter, node: onnx.NodeProto, arriving: Sequence[str | None], _needed: Sequence[bool]
) -> Gradients:
    axis = int(attributes_of(node)["axis"])
    lengths = [
        writer.of("Gather", writer.shape_of(value), writer.ints([axis % len(writer.dims(value))]))
        for value in node.input
    ]
    sizes = writer.of("Concat", *lengths, axis=0)
    parts = writer.all_of("Split", str(arriving[0]), sizes, outputs=len(node.input), axis=axis)
    return [*parts]


def _split(
    writer: GraphWriter, node: onnx.NodeProto, arriving: Sequence[str | None], _needed: Sequence[bool]
) -> Gradients:
    parts = [
        part if part is not None else writer.of("Mul", output, writer.array_like(0, output))
        for part, output in zip(arriving, node.output, strict=True)
    ]
    return [writer.of("Concat", *parts, axis=int(attributes_of(node).get("axis", 0)))]


RULES: Final[dict[str, Any]] = {
    "Abs": _of_first(_abs),
    "Add": _sum_of((1, 1)),
    "BatchNormalization": _of_first(_batch_norm),
    "Cast": _of_first(_cast),
    "Clip": _of_first(_clip),
    "Concat": _concat,
    "Conv": _of_first(of_convolution),
    "Div": _quotient,
    "Einsum": _einsum,
    "Exp": _of_first(_exponential),
    "Expand": _of_first(_expand),
    "Flatten": _of_first(_reshaped),
    "Gather": _of_first(_gather),
    "Gemm": _of_first(_gemm),
    "Identity": _of_first(_identity),
    "MatMul": _matmul,
    "Max": _of_first(_bounded),
    "Min": _of_first(_bounded),
    "Mul": _product,
    "Neg": _of_first(_negative),
    "Pad": _of_first(_pad),
    "ReduceMean": _of_first(_reduced),
    "ReduceSum": _of_first(_reduced),
    "Relu": _of_first(_where_positive),
    "Reshape": _of_first(_reshaped),
    "Sigmoid": _of_first(_sigmoid),
    "Slice": _of_first(_slice),
    "Softmax": _of_first(_softmax),
    "Split": _split,
    "Sqrt": _of_first(_square_root),
    "Squeeze": _of_first(_reshaped),
    "Sub": _sum_of((1, -1)),
    "Tanh": _of_first(_tanh),
    "Transpose": _of_first(_transpose),
    "Unsqueeze": _of_first(_reshaped),
    "Where": _where,
}
"""The rule of each operator."""
