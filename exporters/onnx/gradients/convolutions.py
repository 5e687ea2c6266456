"""What a convolution does to a gradient. Legend: g is the gradient that arrives at its output."""

from collections.abc import Sequence

import numpy as np
import onnx

from exporters.onnx.gradients.writing import GraphWriter, attributes_of
from schemas.errors import BundleError


def of_convolution(writer: GraphWriter, node: onnx.NodeProto, g: str) -> str:
    """Without strides, the convolution by turned weights, which inference runs faster than a transposed one. Otherwise
    the transposed convolution by the same weights onto the padded input, with zeros for the last steps that no stride
    reached; then the padding is cut off.
    """
    x, attributes = node.input[0], attributes_of(node)
    if attributes.get("auto_pad", b"NOTSET") != b"NOTSET":
        raise BundleError(f"Conv ({node.name}): a gradient is known with explicit padding only")
    rank = len(writer.dims(x))
    pads = attributes.get("pads", [0] * 2 * (rank - 2))
    if (turned := _turned_convolution(writer, node, g, pads)) is not None:
        return turned
    kept = {name: attributes[name] for name in ("dilations", "group", "kernel_shape", "strides") if name in attributes}
    before, after = [0, 0, *pads[: rank - 2]], [0, 0, *pads[rank - 2 :]]
    ends = writer.of("Add", writer.shape_of(x), writer.ints(before))
    reached = writer.of("ConvTranspose", g, node.input[1], **kept)
    missing = writer.of("Sub", writer.of("Add", ends, writer.ints(after)), writer.shape_of(reached))
    whole = writer.padded(reached, writer.ints([0] * rank), missing, x)
    return writer.of("Slice", whole, writer.ints(before), ends, writer.ints(range(rank)))


def _turned_convolution(writer: GraphWriter, node: onnx.NodeProto, g: str, pads: Sequence[int]) -> str | None:
    """The weights, of which a runtime computes this once, have input and output channels exchanged and each axis of the
    kernel turned around. ``None`` with strides, groups, padding beyond the kernel's reach, or a kernel that is not
    known.
    """
    attributes, weights = attributes_of(node), node.input[1]
    kernel = writer.dims(weights)[2:]
    sizes = [size for size in kernel if isinstance(size, int)]
    ones = [1] * len(kernel)
    dilations = list(attributes.get("dilations", ones))
    spans = [(size - 1) * dilation for size, dilation in zip(sizes, dilations, strict=False)]
    widths = [span - width for span, width in zip([*spans, *spans], pads, strict=False)]
    strided = list(attributes.get("strides", ones)) != ones
    if strided or attributes.get("group", 1) != 1 or len(sizes) < len(kernel) or min(widths, default=0) < 0:
        return None
    turned = writer.of("Transpose", weights, perm=[1, 0, *range(2, 2 + len(kernel))])
    axes = [axis for axis, size in enumerate(sizes, 2) if size > 1]
    if axes:
        last, before_first = [-1] * len(axes), [int(np.iinfo(np.int64).min)] * len(axes)
        bounds = (writer.ints(values) for values in (last, before_first, axes, last))
        turned = writer.of("Slice", turned, *bounds)
    return writer.of("Conv", g, turned, kernel_shape=sizes, dilations=dilations, pads=widths)
