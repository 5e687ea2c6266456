"""Describing a bundle on a serving host."""

import subprocess
import sys

from exporters.onnx.inspect import describe
from schemas.bundle import Bundle, BundleManifest, GraphFile, StreamGraph
from schemas.modalities import Modality


def test_describing_needs_neither_torch_nor_onnx_nor_a_runtime() -> None:
    probe = (
        "import sys, exporters.onnx.inspect; "
        "print(sorted({'torch', 'onnx', 'onnxruntime', 'networks'} & sys.modules.keys()))"
    )
    found = subprocess.run([sys.executable, "-c", probe], check=True, capture_output=True, text=True)
    assert found.stdout.strip() == "[]"


def test_a_manifest_that_counts_no_parameters_is_described_without_them() -> None:
    skeletal = StreamGraph(Modality.SKELETAL, "skeletal.onnx", "ab", input_channels=3, embedding_dim=64)
    manifest = BundleManifest(
        generation="", streams=(skeletal,), fusion=GraphFile("fusion.onnx", "cd"), opset=18, joint_layout="dance-23"
    )
    first, _ = describe(Bundle(manifest, {"skeletal.onnx": b"12345", "fusion.onnx": b""}))
    assert first.parameters is None
    assert first.size_bytes == 5
    assert first.inputs[0] == "frames (N, T, 23, 3) float32"
