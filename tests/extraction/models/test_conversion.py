"""Each operation that is converted computes what TensorFlow Lite computes; others are refused by name."""

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
import onnxruntime
import pytest

from extraction.models.catalogue import CATALOGUE
from extraction.models.conversion import tfjs, tflite_conversion, tflite_reading, torch_tensors
from extraction.models.conversion.graph import NetworkGraph
from extraction.models.conversion.sparse import Dimension, densify
from extraction.models.manifest import Preparation
from schemas.errors import ExtractorModelInvalid
from tests.extraction.models.parity import run_tflite
from tests.extraction.models.tflite_files import one_operation

AS_IT_IS = Preparation(scale=1.0)
SAME, VALID = 0, 1
RNG = np.random.default_rng(0)


def weights(*shape: int) -> np.ndarray:
    return RNG.normal(0, 0.02, shape).astype(np.float32)


class Case(NamedTuple):
    operator: str
    output: tuple[int, ...]
    constants: tuple[np.ndarray, ...] = ()
    options: str | None = None
    values: Mapping[str, Any] = MappingProxyType({})
    size: tuple[int, int] = (7, 8)
    constants_first: bool = False

    def file(self) -> bytes:
        return one_operation(
            self.operator,
            (1, *self.size, 3),
            self.output,
            constants=self.constants,
            constants_first=self.constants_first,
            options=self.options,
            values=self.values,
        )


def padding(*rows: tuple[int, int]) -> np.ndarray:
    return np.array(rows, np.int32)


CONVOLUTION = {"StrideH": 2, "StrideW": 1, "DilationHFactor": 1, "DilationWFactor": 1}
POOL = {"StrideH": 2, "StrideW": 2, "FilterHeight": 3, "FilterWidth": 2}
CASES = {
    "conv": Case(
        "CONV_2D", (1, 4, 8, 5), (weights(5, 3, 4, 3), weights(5)), "Conv2DOptions", CONVOLUTION | {"Padding": SAME}
    ),
    "conv of relu6": Case(
        "CONV_2D",
        (1, 3, 5, 5),
        (weights(5, 3, 4, 3), weights(5)),
        "Conv2DOptions",
        CONVOLUTION | {"Padding": VALID, "FusedActivationFunction": 3},
    ),
    "conv of relu, dilated": Case(
        "CONV_2D",
        (1, 7, 8, 5),
        (weights(5, 3, 3, 3), weights(5)),
        "Conv2DOptions",
        {
            "StrideH": 1,
            "StrideW": 1,
            "DilationHFactor": 2,
            "DilationWFactor": 3,
            "Padding": SAME,
            "FusedActivationFunction": 1,
        },
    ),
    "depthwise": Case(
        "DEPTHWISE_CONV_2D",
        (1, 4, 8, 6),
        (weights(1, 3, 3, 6), weights(6)),
        "DepthwiseConv2DOptions",
        CONVOLUTION | {"Padding": SAME, "DepthMultiplier": 2},
    ),
    "transposed conv": Case(
        "TRANSPOSE_CONV",
        (1, 14, 16, 4),
        (np.array([1, 14, 16, 4], np.int32), weights(4, 3, 3, 3)),
        "TransposeConvOptions",
        {"StrideH": 2, "StrideW": 2, "Padding": SAME},
        constants_first=True,
    ),
    "transposed conv, valid": Case(
        "TRANSPOSE_CONV",
        (1, 15, 17, 4),
        (np.array([1, 15, 17, 4], np.int32), weights(4, 3, 3, 3)),
        "TransposeConvOptions",
        {"StrideH": 2, "StrideW": 2, "Padding": VALID},
        constants_first=True,
    ),
    "fully connected": Case("FULLY_CONNECTED", (1, 5), (weights(5, 7 * 8 * 3), weights(5)), "FullyConnectedOptions"),
    "add a constant": Case("ADD", (1, 7, 8, 3), (weights(3),), "AddOptions"),
    "multiply by a constant": Case("MUL", (1, 7, 8, 3), (weights(1, 1, 1, 3),), "MulOptions"),
    "subtract a constant": Case("SUB", (1, 7, 8, 3), (weights(3),), "SubOptions"),
    "prelu": Case("PRELU", (1, 7, 8, 3), (weights(1, 1, 3),)),
    "max pool": Case("MAX_POOL_2D", (1, 4, 4, 3), (), "Pool2DOptions", POOL | {"Padding": SAME}),
    "average pool": Case("AVERAGE_POOL_2D", (1, 4, 4, 3), (), "Pool2DOptions", POOL | {"Padding": SAME}),
    "mean of pixels": Case("MEAN", (1, 3), (np.array([1, 2], np.int32),), "ReducerOptions"),
    "mean of pixels, kept": Case(
        "MEAN", (1, 1, 1, 3), (np.array([1, 2], np.int32),), "ReducerOptions", {"KeepDims": True}
    ),
    "pad": Case("PAD", (1, 8, 11, 5), (padding((0, 0), (1, 0), (2, 1), (0, 2)),), "PadOptions"),
    "resize, half pixel": Case(
        "RESIZE_BILINEAR",
        (1, 14, 20, 3),
        (np.array([14, 20], np.int32),),
        "ResizeBilinearOptions",
        {"HalfPixelCenters": True},
    ),
    "resize, corners": Case(
        "RESIZE_BILINEAR",
        (1, 14, 20, 3),
        (np.array([14, 20], np.int32),),
        "ResizeBilinearOptions",
        {"AlignCorners": True},
    ),
    "resize": Case("RESIZE_BILINEAR", (1, 14, 20, 3), (np.array([14, 20], np.int32),), "ResizeBilinearOptions"),
    "reshape": Case("RESHAPE", (1, 56, 3), (np.array([1, 56, 3], np.int32),), "ReshapeOptions"),
    "reshape to an image": Case("RESHAPE", (1, 4, 14, 3), (np.array([1, 4, 14, 3], np.int32),), "ReshapeOptions"),
    "logistic": Case("LOGISTIC", (1, 7, 8, 3)),
    "tanh": Case("TANH", (1, 7, 8, 3)),
    "relu": Case("RELU", (1, 7, 8, 3)),
    "relu6": Case("RELU6", (1, 7, 8, 3)),
    "hard swish": Case("HARD_SWISH", (1, 7, 8, 3)),
    "leaky relu": Case("LEAKY_RELU", (1, 7, 8, 3), (), "LeakyReluOptions", {"Alpha": 0.25}),
    "softmax": Case("SOFTMAX", (1, 7, 8, 3), (), "SoftmaxOptions", {"Beta": 1.0}),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_an_operation_computes_what_tensorflow_lite_computes(case: Case, tmp_path: Path) -> None:
    content = case.file()
    (tmp_path / "one.tflite").write_bytes(content)
    images = RNG.integers(0, 256, (3, *case.size, 3), dtype=np.uint8)
    preparation = Preparation(scale=1 / 20, mean=(5.0, 6.0, 7.0))  # negative values too
    found = converted(content, case.size, preparation).run(None, {"images": images})[0]
    prepared = ((images / 20.0) - np.array(preparation.mean)).astype(np.float32)
    expected = run_tflite(tmp_path / "one.tflite", prepared)["output"]
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5 * np.abs(expected).max())


@pytest.mark.parametrize("block", [2, 3])
def test_depth_to_space_takes_channels_apart(block: int) -> None:
    """The picture has 3 channels, so the operation is tried behind a convolution that makes as many as it needs."""
    graph = NetworkGraph("d")
    x = graph.prepared(graph.pictures(2, 2), AS_IT_IS)
    wide = graph.reshape(graph.concatenate([x] * (3 * block**2 // 3), 3), (2, 2, 3 * block**2))
    graph.output("wide", wide, wide.shape)
    y = graph.depth_to_space(wide, block)
    graph.output("y", y, y.shape)
    images = RNG.integers(0, 256, (2, 2, 2, 3), dtype=np.uint8)
    before, found = run(graph, images)
    expected = np.zeros((2, 2 * block, 2 * block, 3))
    for n, h, w, i, j, c in np.ndindex(2, 2, 2, block, block, 3):
        expected[n, h * block + i, w * block + j, c] = before[n, h, w, (i * block + j) * 3 + c]
    np.testing.assert_array_equal(found, expected)


def converted(
    content: bytes, size: tuple[int, int], preparation: Preparation = AS_IT_IS
) -> onnxruntime.InferenceSession:
    graph = NetworkGraph("one")
    network = tflite_reading.read(content)
    outputs = tflite_conversion.convert(network, graph, graph.prepared(graph.pictures(*size), preparation))
    for name, value in outputs.items():
        graph.output(name, value, value.shape)
    return onnxruntime.InferenceSession(graph.to_bytes(), providers=["CPUExecutionProvider"])


def run(graph: NetworkGraph, images: np.ndarray) -> list[np.ndarray]:
    session = onnxruntime.InferenceSession(graph.to_bytes(), providers=["CPUExecutionProvider"])
    return session.run(None, {"images": images})


@pytest.mark.parametrize(
    ("case", "expected"),
    [
        (Case("COS", (1, 7, 8, 3), (), "CosOptions"), "operation COS of output cannot be converted; known are ADD, "),
        (CASES["conv"]._replace(values=CONVOLUTION | {"FusedActivationFunction": 5}), "SIGN_BIT cannot be converted"),
        (
            CASES["conv"]._replace(output=(1, 9, 9, 5)),
            r"its shape would be \(1, 4, 8, 5\), the file says \(1, 9, 9, 5\)",
        ),
        (CASES["conv"]._replace(options=None), "CONV_2D of output: without options"),
        (Case("PAD", (2, 7, 8, 3), (padding((0, 1), (0, 0), (0, 0), (0, 0)),), "PadOptions"), "of the batch"),
        (Case("MEAN", (1, 8, 3), (np.array([1], np.int32),), "ReducerOptions"), "not over height and width"),
        (Case("RESHAPE", (7, 24), (np.array([7, 24], np.int32),), "ReshapeOptions"), "pictures of a batch mix"),
        (CASES["softmax"]._replace(values={"Beta": 2.0}), "another beta"),
    ],
)
def test_what_cannot_be_converted_is_refused_by_name(case: Case, expected: str) -> None:
    with pytest.raises(ExtractorModelInvalid, match=expected):
        converted(case.file(), case.size)


def test_an_input_of_another_size_is_refused() -> None:
    with pytest.raises(ExtractorModelInvalid, match=r"the network's input is \(1, 7, 8, 3\)"):
        converted(CASES["relu"].file(), (8, 8))


@pytest.mark.parametrize(
    "content", [b"", b"text of some length", b"\x1c\x00\x00\x00TFL3", b"\xff" * 4 + b"TFL3" + b"\xff" * 60]
)
def test_what_is_not_tensorflow_lite_is_refused(content: bytes) -> None:
    with pytest.raises(ExtractorModelInvalid):
        tflite_reading.read(content)


def test_a_damaged_file_is_read_or_refused_and_nothing_else() -> None:
    content, generator = CASES["conv"].file(), np.random.default_rng(1)
    for _ in range(400):
        damaged = bytearray(content[: generator.integers(8, len(content))] if generator.random() < 0.3 else content)
        for place in generator.integers(8, len(damaged) + 1, 3) - 1:
            damaged[place] = generator.integers(256)
        try:
            graph = NetworkGraph("one")
            network = tflite_reading.read(bytes(damaged))
            tflite_conversion.convert(network, graph, graph.prepared(graph.pictures(7, 8), AS_IT_IS))
        except ExtractorModelInvalid:
            pass


def test_sparse_weights_are_those_that_the_format_means() -> None:
    """Against loops over all entries: rows dense, columns compressed in blocks of 1 × 4."""
    dense = RNG.normal(size=(6, 8)) * (RNG.random((6, 2)) < 0.5).repeat(4, axis=1)
    segments, indices, values = [0], [], []
    for row in dense:
        for block in range(2):
            part = row[4 * block : 4 * block + 4]
            if part.any():
                indices.append(block)
                values.extend(part)
        segments.append(len(indices))
    levels = [Dimension(6), Dimension(0, np.array(segments), np.array(indices)), Dimension(4)]
    found = densify(np.array(values), (6, 8), [0, 1, 2], [1], levels)
    np.testing.assert_array_equal(found, dense)
    with pytest.raises(ValueError, match="do not suffice"):
        densify(np.array(values[:-1]), (6, 8), [0, 1, 2], [1], levels)


GRAPH_MODEL = (
    b'{"modelTopology": {"node": [{"name": "input_1", "op": "Placeholder"}, '
    b'{"name": "y", "op": "%s", "input": ["input_1", "c"]}, {"name": "circle", "op": "Relu", "input": ["circle"]}]}, '
    b'"weightsManifest": [{"weights": [{"name": "c", "shape": [3], "dtype": "%s"}]}]}'
)


@pytest.mark.parametrize(
    ("document", "weights_", "node", "expected"),
    [
        (b"{}", b"", "y", "not a TensorFlow.js graph model"),
        (b"\xff", b"", "y", "not a TensorFlow.js graph model"),
        (GRAPH_MODEL % (b"Add", b"float32"), b"123", "y", "weight c: the weights end after 3 bytes"),
        (GRAPH_MODEL % (b"Add", b"complex64"), bytes(24), "y", "type complex64"),
        (
            GRAPH_MODEL % (b"Cosh", b"float32"),
            bytes(12),
            "y",
            "operation Cosh of y cannot be converted; known are Add, ",
        ),
        (GRAPH_MODEL % (b"Add", b"float32"), bytes(12), "z", "no node z"),
        (GRAPH_MODEL % (b"Add", b"float32"), bytes(12), "circle", "in a circle"),
        (GRAPH_MODEL % (b"Mean", b"float32"), bytes(12), "y", "not over height and width"),
    ],
)
def test_a_graph_model_that_cannot_be_converted_is_refused(
    document: bytes, weights_: bytes, node: str, expected: str
) -> None:
    graph = NetworkGraph("g")
    prepared = graph.prepared(graph.pictures(7, 8), AS_IT_IS)
    with pytest.raises(ExtractorModelInvalid, match=expected):
        tfjs.convert(tfjs.read(document, weights_), graph, prepared, node)


@pytest.mark.parametrize(
    ("pickle", "expected"),
    [
        (b"", "damaged state dict"),
        (b"text", "damaged state dict"),
        (b"\x80\x02K\x01." * 5, "format before 1.6"),
        (b"\x80\x02cos\nsystem\n.", "names os.system, which no state dict needs"),
        (b"\x80\x02c__builtin__\neval\n.", "names __builtin__.eval"),
        (b"\x80\x02I1\n.", "operation INT, which no state dict needs"),
        (b"\x80\x04\x8c\x02os\x8c\x06system\x93.", "operation SHORT_BINUNICODE"),
    ],
)
def test_a_pickle_that_is_not_a_state_dict_is_refused_and_not_run(pickle: bytes, expected: str) -> None:
    with pytest.raises(ExtractorModelInvalid, match=expected):
        torch_tensors.read_tensors(pickle)


def test_a_state_dict_is_read_as_torch_reads_it(tmp_path: Path) -> None:
    import torch

    tensors = {
        "a.weight": torch.randn(3, 4),
        "b": torch.arange(5),
        "c": torch.randn(2, 2, 1).half(),
        "d": torch.tensor(7),
    }
    torch.save(tensors, tmp_path / "legacy.pt", _use_new_zipfile_serialization=False)
    content = (tmp_path / "legacy.pt").read_bytes()
    found = torch_tensors.read_tensors(content)
    assert found.keys() == tensors.keys()
    for name, tensor in tensors.items():
        np.testing.assert_array_equal(found[name], tensor.numpy())
    for end in (100, len(content) - 3):
        with pytest.raises(ExtractorModelInvalid):
            torch_tensors.read_tensors(content[:end])


def test_every_output_of_the_catalogue_has_a_shape() -> None:
    assert all(output.shape for recipe in CATALOGUE.values() for output in recipe.outputs.values())
