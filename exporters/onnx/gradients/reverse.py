"""Reverse accumulation over an ONNX graph: the gradient of some outputs with respect to some inputs, as one graph."""

from collections.abc import Mapping, Sequence

import onnx

from exporters.onnx.gradients.rules import RULES
from exporters.onnx.gradients.writing import GraphWriter
from schemas.errors import BundleError


def with_gradients(content: bytes, seeds: Mapping[str, str], gradients: Mapping[str, str]) -> bytes:
    """A graph that computes what the graph ``content`` does, and gradients.

    ``seeds`` names, for each output to differentiate, an input that is added: what the output's elements count with, of
    its shape. ``gradients`` names, for each input to differentiate with respect to, an output that is added: the sum
    over outputs of seed · ∂output/∂input, of the input's shape. Where a function has a kink, the derivative is that of
    torch. Inputs have to be finite, padding too: zero times what is not a number is not a number.

    It is zero for an input that no such output depends on. Raises ``BundleError`` for an operator on the way from such
    an input to such an output that has no rule, naming it.
    """
    writer = GraphWriter(onnx.load_from_string(content))
    nodes = list(writer.graph.node)
    active = _active(writer, nodes, gradients)
    found: dict[str, list[str]] = {}
    for output, seed in seeds.items():
        writer.add_input(seed, output)
        found.setdefault(output, []).append(seed)
    for node in reversed(nodes):
        if not any(output in found and output in active for output in node.output):
            continue
        if node.op_type not in RULES:
            raise BundleError(
                f"no gradient is known of the operator {node.op_type} ({node.name or node.output[0]}); add it to "
                "exporters/onnx/gradients/rules.py, or export without a gradient graph"
            )
        arriving = [_sum(writer, found.get(output, [])) for output in node.output]
        needed = [bool(value) and value in active for value in node.input]
        for value, gradient in zip(node.input, RULES[node.op_type](writer, node, arriving, needed), strict=False):
            if gradient is not None and value in active:
                found.setdefault(value, []).append(gradient)
    for value, name in gradients.items():
        writer.add_output(name, _sum(writer, found.get(value, [])) or writer.zeros_like(value), value)
    del writer.graph.value_info[:]  # of the first graph only
    content = writer.model.SerializeToString(deterministic=True)
    onnx.checker.check_model(content)
    return content


def _active(writer: GraphWriter, nodes: Sequence[onnx.NodeProto], inputs: Mapping[str, str]) -> set[str]:
    """The values of floating point that depend on ``inputs`` through values of floating point."""
    active = set(inputs)
    for node in nodes:
        if any(value in active for value in node.input):
            active.update(output for output in node.output if output and writer.is_float(output))
    return active


def _sum(writer: GraphWriter, gradients: Sequence[str]) -> str | None:
    if not gradients:
        return None
    if len(gradients) == 1:
        return gradients[0]
    return writer.of("Sum", *gradients)
