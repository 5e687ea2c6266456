"""A network in two parts gives what it gives as one."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from extraction.assembly import early_of
from extraction.models import open_model, running
from extraction.models.splitting import split
from tests.extraction.models.parity import pictures

NAME = "pose-landmarks-lite"


def graph_of(nodes, outputs):
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", 2]) for name in ("x", *outputs)]
    graph = helper.make_graph([helper.make_node(op, i, [o]) for op, i, o in nodes], "tiny", values[:1], values[1:])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)]).SerializeToString()


def test_the_landmarks_are_the_same_bits_and_the_mask_is_the_same(model):
    whole = model(NAME)
    parted = open_model(NAME, providers=("cpu",), threads=1, early=early_of("pose_network"))
    images = pictures(1, 256, 256)
    expected = whole.run(images)
    first, rest = parted.run_first(images)
    assert set(first) == {"landmarks", "presence"}
    for name, values in first.items():
        np.testing.assert_array_equal(values, expected[name])
    # Of logits of up to 10³ the last bits depend on which operators ONNX Runtime puts together.
    assert np.abs(rest()["mask"] - expected["mask"]).max() < 1e-4 * np.abs(expected["mask"]).max()
    np.testing.assert_array_equal(rest()["mask"], parted.run(images)["mask"])
    assert set(parted.run(images)) == set(expected)
    assert set(parted.run(images[:0])) == set(expected)


def test_nothing_is_computed_twice():
    nodes = [("Exp", ["x"], "a"), ("Sin", ["a"], "early"), ("Cos", ["a"], "b"), ("Abs", ["b"], "late")]
    halves = split(graph_of(nodes, ["early", "late"]), ["early"])
    assert halves is not None
    assert halves.between == ("a",)
    for part in (halves.first, halves.later({"a": (2,)})):
        onnx.checker.check_model(onnx.shape_inference.infer_shapes(onnx.load_from_string(part)), full_check=True)
    assert [node.op_type for node in onnx.load_from_string(halves.first).graph.node] == ["Exp", "Sin"]
    assert [node.op_type for node in onnx.load_from_string(halves.later({"a": (2,)})).graph.node] == ["Cos", "Abs"]


@pytest.mark.parametrize("early", [["other"], ["early", "late"]])
def test_a_graph_without_such_outputs_or_without_others_is_not_cut(early):
    nodes = [("Exp", ["x"], "early"), ("Sin", ["early"], "late")]
    assert split(graph_of(nodes, ["early", "late"]), early) is None


@pytest.mark.parametrize("content", [b"", b"no graph", b"\xff" * 40, b"\x3a\x05\x0a\x03\x0a\x01\xff"])
def test_what_is_no_graph_is_not_cut(content):
    assert split(content, ["early"]) is None


def test_a_graph_with_graphs_in_its_nodes_is_not_cut():
    inner = onnx.load_from_string(graph_of([("Exp", ["x"], "y")], ["y"])).graph
    node = helper.make_node("If", ["x"], ["early"], then_branch=inner, else_branch=inner)
    model = onnx.load_from_string(graph_of([("Exp", ["x"], "a"), ("Abs", ["a"], "late")], ["early", "late"]))
    model.graph.node.append(node)
    assert split(model.SerializeToString(), ["early"]) is None


def test_a_graph_whose_parts_would_share_whole_numbers_stays_whole():
    """ONNX Runtime would load both parts, and refuse the tensor when they run."""
    casts = [("x", "whole", TensorProto.INT64), ("whole", "a", TensorProto.FLOAT), ("whole", "b", TensorProto.FLOAT)]
    nodes = [helper.make_node("Cast", [given], [made], to=kind) for given, made, kind in casts]
    nodes += [helper.make_node("Exp", ["a"], ["early"]), helper.make_node("Abs", ["b"], ["late"])]
    given = helper.make_tensor_value_info("x", TensorProto.UINT8, ["N", 2])
    made = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", 2]) for name in ("early", "late")]
    graph = helper.make_graph(nodes, "tiny", [given], made)
    opsets = [helper.make_opsetid("", 18)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=10).SerializeToString()
    assert split(model, ["early"]) is not None
    network, later = running._opened(model, ("cpu",), 1, ["early"])
    assert later is None
    assert network.run(np.array([[0, 3]], np.uint8))["late"].tolist() == [[0.0, 3.0]]
