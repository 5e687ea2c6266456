"""A tiny bundle made by hand, quick to write: linear streams over the mean of the real steps, and a softmax fusion."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec
import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from schemas.bundle import (
    MANIFEST_NAME,
    Bundle,
    BundleManifest,
    GraphFile,
    StreamGraph,
    generation_of,
    read_bundle,
    sha256_hex,
)
from schemas.joints import LAYOUTS
from schemas.modalities import FUSED_MODALITIES, MODALITIES, Modality

OPSET = 18
WIDTHS = dict.fromkeys(MODALITIES, 3) | {
    Modality.SKELETAL: 6,
    Modality.HOLISTIC: 8,
    Modality.FACIAL: 4,
    Modality.SCENIC: 5,
}
PARTS = ("dynamic", "static")
"""Of the temporal attention of a routine."""
BREAKS_ABOVE = 10_000.0
"""A clip with a larger feature value than this gets NaN as its score."""


def write_small_bundle(
    folder: Path,
    *,
    modalities: Sequence[Modality] = FUSED_MODALITIES,
    joint_layout: str = "mpii-16",
    joint_channels: int = 2,
    seed: int = 0,
) -> Path:
    """Write the bundle into ``folder`` and return it. ``modalities`` are those of the fusion, by default, and may
    include ``routine``.
    """
    rng = np.random.default_rng(seed)
    folder.mkdir(parents=True, exist_ok=True)
    streams, graphs = [], {}
    for modality in modalities:
        joints = (LAYOUTS[joint_layout].joint_count,) if modality.has_joints else ()
        channels = joint_channels if modality.has_joints else modality.channels
        name = f"{modality}.onnx"
        parts = PARTS if modality is Modality.ROUTINE else ()
        graphs[name] = stream_graph((*joints, channels), WIDTHS[modality], rng, parts=len(parts))
        digest = sha256_hex(graphs[name])
        streams.append(StreamGraph(modality, name, digest, channels, WIDTHS[modality], attention=parts))
    fused = [modality for modality in modalities if modality.is_fused]
    graphs["fusion.onnx"] = fusion_graph(sum(WIDTHS[m] for m in fused), len(fused), rng)
    manifest = BundleManifest(
        generation="",
        streams=tuple(streams),
        fusion=GraphFile("fusion.onnx", sha256_hex(graphs["fusion.onnx"])),
        opset=OPSET,
        joint_layout=joint_layout if Modality.SKELETAL in modalities else None,
    )
    return write_bundle(folder, manifest, graphs)


def write_bundle(folder: Path, manifest: BundleManifest, graphs: Mapping[str, bytes]) -> Path:
    """Write a manifest, its generation put right, and its graphs."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in graphs.items():
        (folder / name).write_bytes(content)
    manifest = msgspec.structs.replace(manifest, generation=generation_of(manifest))
    (folder / MANIFEST_NAME).write_bytes(msgspec.json.encode(manifest))
    return folder


def small_bundle(folder: Path, **choices: object) -> Bundle:
    return read_bundle(write_small_bundle(folder, **choices))  # type: ignore[arg-type]


def stream_graph(
    step_shape: tuple[int, ...], width: int, rng: np.random.Generator, *, fixed_clips: int | None = None, parts: int = 0
) -> bytes:
    """tanh(W · mean over the real steps), and a score linear in that; a temporal attention of so many ``parts``, the
    softmax of a linear map of each real step.
    """
    flat = int(np.prod(step_shape))
    constants = {
        "zero": np.int64(0),
        "one": np.int64(1),
        "to_flat": np.array([0, 0, flat], np.int64),
        "axis_1": np.array([1], np.int64),
        "axes_12": np.array([1, 2], np.int64),
        "axis_2": np.array([2], np.int64),
        "minus_1": np.array([-1], np.int64),
        "W": rng.standard_normal((flat, width)).astype(np.float32) / np.float32(np.sqrt(flat)),
        "w": rng.standard_normal((width, 1)).astype(np.float32),
        "limit": np.float32(BREAKS_ABOVE),
        "nothing": np.float32(0),
    }
    node = helper.make_node
    nodes = [
        node("Reshape", ["frames", "to_flat"], ["x"]),
        node("Shape", ["frames"], ["steps"], start=1, end=2),
        node("Squeeze", ["steps"], ["T"]),
        node("Range", ["zero", "T", "one"], ["times"]),
        node("Unsqueeze", ["lengths", "axis_1"], ["ends"]),
        node("Less", ["times", "ends"], ["real"]),
        node("Unsqueeze", ["real", "axis_2"], ["mask"]),
        node("Where", ["mask", "x", "nothing"], ["kept"]),
        node("ReduceSum", ["kept", "axis_1"], ["total"], keepdims=0),
        node("Cast", ["ends"], ["count"], to=TensorProto.FLOAT),
        node("Div", ["total", "count"], ["mean"]),
        node("MatMul", ["mean", "W"], ["projected"]),
        node("Tanh", ["projected"], ["embedding"]),
        node("MatMul", ["embedding", "w"], ["column"]),
        node("ReduceMax", ["kept", "axes_12"], ["largest"], keepdims=0),
        node("Sub", ["limit", "largest"], ["left"]),
        node("Sqrt", ["left"], ["root"]),
        node("Mul", ["root", "nothing"], ["zero_or_nan"]),
        node("Squeeze", ["column", "minus_1"], ["plain"]),
        node("Add", ["plain", "zero_or_nan"], ["score"]),
    ]
    clips = fixed_clips or "clips"
    outputs: dict[str, tuple[int, list[int | str]]] = {
        "embedding": (TensorProto.FLOAT, [clips, width]),
        "score": (TensorProto.FLOAT, [clips]),
    }
    if parts:
        constants["V"] = rng.standard_normal((flat, parts)).astype(np.float32) / np.float32(np.sqrt(flat))
        nodes += [
            node("MatMul", ["kept", "V"], ["logits"]),
            node("Where", ["mask", "logits", "never"], ["real_logits"]),
            node("Softmax", ["real_logits"], ["weights"], axis=1),
            node("Transpose", ["weights"], ["temporal_attention"], perm=[0, 2, 1]),
        ]
        constants["never"] = np.float32(-1e9)
        outputs["temporal_attention"] = (TensorProto.FLOAT, [clips, parts, "steps"])
    return _model(
        nodes,
        {"frames": (TensorProto.FLOAT, [clips, "steps", *step_shape]), "lengths": (TensorProto.INT64, [clips])},
        outputs,
        constants,
    )


def fusion_graph(width: int, streams: int, rng: np.random.Generator) -> bytes:
    """Softmax over the present streams of a linear map of the embeddings; the score is the weighted mean."""
    constants = {
        "A": rng.standard_normal((width, streams)).astype(np.float32),
        "never": np.float32(-1e9),
        "axis_1": np.array([1], np.int64),
    }
    node = helper.make_node
    nodes = [
        node("MatMul", ["embeddings", "A"], ["logits"]),
        node("Where", ["present", "logits", "never"], ["masked"]),
        node("Softmax", ["masked"], ["attention"], axis=1),
        node("Mul", ["attention", "scores"], ["weighted"]),
        node("ReduceSum", ["weighted", "axis_1"], ["fused_score"], keepdims=0),
    ]
    return _model(
        nodes,
        {
            "embeddings": (TensorProto.FLOAT, ["clips", width]),
            "scores": (TensorProto.FLOAT, ["clips", streams]),
            "present": (TensorProto.BOOL, ["clips", streams]),
        },
        {"attention": (TensorProto.FLOAT, ["clips", streams]), "fused_score": (TensorProto.FLOAT, ["clips"])},
        constants,
    )


def _model(
    nodes: Sequence[onnx.NodeProto],
    inputs: Mapping[str, tuple[int, list[int | str]]],
    outputs: Mapping[str, tuple[int, list[int | str]]],
    constants: Mapping[str, np.ndarray],
) -> bytes:
    def infos(ports: Mapping[str, tuple[int, list[int | str]]]) -> list[onnx.ValueInfoProto]:
        return [helper.make_tensor_value_info(name, kind, shape) for name, (kind, shape) in ports.items()]

    initialisers = [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()]
    graph = helper.make_graph(list(nodes), "small", infos(inputs), infos(outputs), initialisers)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=10)
    onnx.checker.check_model(model)
    content: bytes = model.SerializeToString()
    return content
