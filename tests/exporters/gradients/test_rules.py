"""The gradient of every operator against central differences, in double precision, by the reference implementation."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator
from onnxruntime import InferenceSession

from exporters.onnx.gradients import with_gradients
from exporters.onnx.gradients.rules import RULES
from schemas.errors import BundleError

STEP = 1e-6
Arrays = dict[str, Any]


def graph(
    nodes: Sequence[onnx.NodeProto], shapes: dict[str, Any], out: Sequence[int] | None, constants: Arrays
) -> bytes:
    """A graph of ``nodes`` from inputs of ``shapes`` to ``y`` of shape ``out``, ``None`` for one that is not said."""
    made = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info(name, TensorProto.DOUBLE, shape) for name, shape in shapes.items()],
        [helper.make_tensor_value_info("y", TensorProto.DOUBLE, out)],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    if out is not None:
        onnx.checker.check_model(model, full_check=True)
    return model.SerializeToString()


def node(operator: str, inputs: str, outputs: str = "y", **attributes: Any) -> onnx.NodeProto:
    return helper.make_node(operator, inputs.split(" "), outputs.split(" "), **attributes)


def double(*values: float) -> Any:
    return np.array(values if len(values) > 1 else values[0], np.float64)


draw = np.random.default_rng(0)
X = {"x": (2, 3, 4)}
XZ = X | {"z": (3, 1)}
IMAGES = {"x": (2, 4, 7, 3)}
CASES: dict[str, tuple[list[onnx.NodeProto], dict[str, Any], Arrays]] = {
    "Abs": ([node("Abs", "x")], X, {}),
    "Add": ([node("Add", "x z")], XZ, {}),
    "BatchNormalization": (
        [node("BatchNormalization", "x s b m v", epsilon=1e-3)],
        IMAGES,
        {name: draw.uniform(0.5, 2.0, 4) for name in "sbmv"},
    ),
    "Cast": ([node("Cast", "x", to=TensorProto.DOUBLE)], X, {}),
    "Clip": ([node("Clip", "x low high")], X, {"low": double(-0.3), "high": double(0.4)}),
    "Concat": ([node("Concat", "x z", axis=1)], X | {"z": (2, 1, 4)}, {}),
    "Conv": (
        [node("Conv", "x w b", pads=[3, 0, 3, 0], strides=[2, 1], dilations=[2, 1])],
        IMAGES,
        {"w": draw.normal(size=(5, 4, 3, 1)), "b": draw.normal(size=5)},
    ),
    "Conv without strides": (
        [node("Conv", "x w b", pads=[3, 0, 1, 2], dilations=[2, 1])],
        IMAGES,
        {"w": draw.normal(size=(5, 4, 3, 3)), "b": draw.normal(size=5)},
    ),
    "Conv of single steps": ([node("Conv", "x w")], IMAGES, {"w": draw.normal(size=(5, 4, 1, 1))}),
    "Conv with padding beyond the kernel's reach": (
        [node("Conv", "x w", pads=[3, 0, 2, 0])],
        IMAGES,
        {"w": draw.normal(size=(5, 4, 3, 1))},
    ),
    "Conv with strides that leave steps out": (
        [node("Conv", "x w", strides=[4, 2], pads=[0, 1, 1, 0])],
        {"x": (2, 4, 8, 4)},
        {"w": draw.normal(size=(6, 4, 2, 2))},
    ),
    "Div": ([node("Div", "x z")], XZ, {}),
    "Einsum": ([node("Einsum", "x w", equation="nct,kts->ncks")], X, {"w": draw.normal(size=(5, 4, 3))}),
    "Exp": ([node("Exp", "x")], X, {}),
    "Expand": ([node("Expand", "x shape")], {"x": (3, 1)}, {"shape": np.array([2, 3, 4])}),
    "Flatten": ([node("Flatten", "x", axis=2)], X, {}),
    "Gather": ([node("Gather", "x i", axis=1)], X, {"i": np.array([2, 0, 2, -1])}),
    "Gather of one": ([node("Gather", "x i", axis=2)], X, {"i": np.array(1)}),
    "Gemm": (
        [node("Gemm", "x w b", transB=1)],
        {"x": (2, 3)},
        {"w": draw.normal(size=(5, 3)), "b": draw.normal(size=5)},
    ),
    "Gemm as it is": ([node("Gemm", "x w")], {"x": (2, 3)}, {"w": draw.normal(size=(3, 5))}),
    "Identity": ([node("Identity", "x")], X, {}),
    "MatMul": ([node("MatMul", "x z")], X | {"z": (4, 5)}, {}),
    "MatMul of batches": ([node("MatMul", "x z")], {"x": (2, 1, 3, 4), "z": (5, 4, 2)}, {}),
    "Max": ([node("Max", "x bound")], X, {"bound": double(-0.1)}),
    "Min": ([node("Min", "x bound")], X, {"bound": double(0.2)}),
    "Mul": ([node("Mul", "x z")], XZ, {}),
    "Mul by itself": ([node("Mul", "x x")], X, {}),
    "Neg": ([node("Neg", "x")], X, {}),
    "ReduceMean": ([node("ReduceMean", "x axes", keepdims=0)], X, {"axes": np.array([-1, 0])}),
    "ReduceSum": ([node("ReduceSum", "x axes")], X, {"axes": np.array([1])}),
    "ReduceSum of all": ([node("ReduceSum", "x", keepdims=0)], X, {}),
    "Relu": ([node("Relu", "x")], X, {}),
    "Reshape": ([node("Reshape", "x shape")], X, {"shape": np.array([4, -1])}),
    "Sigmoid": ([node("Sigmoid", "x")], X, {}),
    "Slice": (
        [node("Slice", "x from to axes")],
        X,
        {"from": np.array([-3, 1]), "to": np.array([-1, 9]), "axes": np.array([2, 1])},
    ),
    "Softmax": ([node("Softmax", "x", axis=1)], X, {}),
    "Split": ([node("Split", "x sizes", "y rest", axis=2)], X, {"sizes": np.array([1, 3])}),
    "Sqrt": ([node("Abs", "x", "a"), node("Sqrt", "a")], X, {}),
    "Squeeze": ([node("Squeeze", "x axes")], {"x": (2, 1, 3)}, {"axes": np.array([1])}),
    "Sub": ([node("Sub", "z x")], XZ, {}),
    "Tanh": ([node("Tanh", "x")], X, {}),
    "Transpose": ([node("Transpose", "x", perm=[1, 2, 0])], X, {}),
    "Unsqueeze": ([node("Unsqueeze", "x axes")], X, {"axes": np.array([0, 3])}),
    "Where": ([node("Where", "c x z")], XZ, {"c": np.array([True, False, True, False])}),
    "a value that is used twice": ([node("Tanh", "x", "t"), node("Exp", "x", "e"), node("Mul", "t e")], X, {}),
    "a value that rounding cuts off": (
        [
            node("Cast", "x", "i", to=TensorProto.INT64),
            node("Cast", "i", "r", to=TensorProto.DOUBLE),
            node("Mul", "r x"),
        ],
        X,
        {},
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_the_gradient_of_an_operator_is_the_limit_of_its_differences(name: str) -> None:
    nodes, shapes, constants = CASES[name]
    generator = np.random.default_rng(1)
    inputs: Arrays = {each: generator.normal(size=shape) for each, shape in shapes.items()}
    inputs = {each: value + 0.1 * np.sign(value) for each, value in inputs.items()}  # away from kinks
    plain = ReferenceEvaluator(onnx.load_from_string(graph(nodes, shapes, None, constants)))
    out = plain.run(["y"], inputs)[0]
    seed = generator.normal(size=np.shape(out))
    wanted = {each: f"of {each}" for each in shapes}
    content = with_gradients(graph(nodes, shapes, np.shape(out), constants), {"y": "seed"}, wanted)
    found = ReferenceEvaluator(onnx.load_from_string(content)).run(["y", *wanted.values()], inputs | {"seed": seed})
    np.testing.assert_array_equal(found[0], out)
    for gradient, each in zip(found[1:], shapes, strict=True):
        expected = np.zeros_like(inputs[each])
        for at in np.ndindex(expected.shape):
            moved = [inputs | {each: inputs[each].copy()} for _ in range(2)]
            for sign, one in zip((1, -1), moved, strict=True):
                one[each][at] += sign * STEP
            up, down = (plain.run(["y"], one)[0] for one in moved)
            expected[at] = (seed * (up - down)).sum() / (2 * STEP)
        np.testing.assert_allclose(gradient, expected, rtol=1e-7, atol=1e-8)


def test_every_rule_is_tried() -> None:
    assert {each.op_type for nodes, _, _ in CASES.values() for each in nodes} == set(RULES) - {"Pad"}, (
        "Pad is tried in ONNX Runtime"
    )


@pytest.mark.parametrize(
    ("nodes", "constants", "said"),
    [
        ([node("Erf", "x")], {}, "no gradient is known of the operator Erf"),
        (
            [node("Slice", "x from to axes by")],
            {"from": np.array([0]), "to": np.array([3]), "axes": np.array([1]), "by": np.array([2])},
            "steps of 1",
        ),
        ([node("Pad", "x widths", mode="reflect")], {"widths": np.array([0, 1, 0, 0, 1, 0])}, "constant padding"),
        ([node("Einsum", "x", equation="nct->nt")], {}, "two operands"),
    ],
)
def test_what_has_no_gradient_is_refused_by_its_name(nodes: list[onnx.NodeProto], constants: Arrays, said: str) -> None:
    sizes = {"Slice": (2, 2, 4), "Pad": (2, 5, 4), "Einsum": (2, 4)}
    content = graph(nodes, X, sizes.get(nodes[0].op_type, (2, 3, 4)), constants)
    with pytest.raises(BundleError, match=said):
        with_gradients(content, {"y": "seed"}, {"x": "gradient"})


GROUPS = node("Conv", "x w", group=2, strides=[4, 2], pads=[0, 1, 1, 0])
DEPTHWISE = node("Conv", "x w", group=4, dilations=[3, 1], pads=[3, 0, 3, 0])


@pytest.mark.parametrize(
    ("linear", "weights", "shape", "out"),
    [
        (GROUPS, draw.normal(size=(6, 2, 2, 2)), (2, 4, 8, 4), (2, 6, 2, 2)),
        (DEPTHWISE, draw.normal(size=(4, 1, 3, 1)), (2, 4, 7, 3), (2, 4, 7, 3)),
        (node("Pad", "x w"), np.array([0, 1, 2, 1, 0, 3]), (2, 3, 4), (3, 4, 9)),
        (node("Pad", "x w"), np.array([0, -1, 2, 0, 0, -1]), (2, 3, 4), (2, 2, 5)),
    ],
    ids=["groups", "depthwise", "padding", "padding by less than nothing"],
)
def test_what_the_reference_implementation_lacks_is_the_adjoint_in_onnx_runtime(
    linear: onnx.NodeProto, weights: Any, shape: Sequence[int], out: Sequence[int]
) -> None:
    constant = weights.astype(np.float32) if weights.dtype == np.float64 else weights
    made = helper.make_graph(
        [linear],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, out)],
        [numpy_helper.from_array(constant, "w")],
    )
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    content = with_gradients(model.SerializeToString(), {"y": "seed"}, {"x": "gradient"})
    generator = np.random.default_rng(2)
    x, seed = (generator.normal(size=each).astype(np.float32) for each in (shape, out))
    y, gradient = InferenceSession(content).run(["y", "gradient"], {"x": x, "seed": seed})
    assert (seed * y).sum() == pytest.approx((gradient * x).sum(), rel=1e-4)


def test_the_gradient_by_an_input_that_plays_no_part_is_zero() -> None:
    content = graph([node("Gather", "w i", axis=0)], X, (2, 3, 4), {"w": np.ones((2, 3, 4)), "i": np.array([0, 1])})
    inputs = {"x": np.full(X["x"], np.inf), "seed": np.ones((2, 3, 4))}
    (found,) = ReferenceEvaluator(onnx.load_from_string(with_gradients(content, {"y": "seed"}, {"x": "dx"}))).run(
        ["dx"], inputs
    )
    assert found.shape == X["x"]
    assert not found.any()
