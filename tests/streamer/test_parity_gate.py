"""A bundle runs only where its streams make of its sample what the network makes of it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import safetensors.numpy
from numpy.typing import NDArray

from schemas.bundle import Bundle, read_bundle, sha256_hex
from schemas.errors import BundleError
from schemas.export_profiles import ExportProfile, ParitySample, Profile
from schemas.modalities import Modality
from streamer.runtimes.onnx_runtime import OnnxRuntime
from streamer.runtimes.selection import open_runtime
from tests.small_bundle import small_bundle, write_bundle

MODALITIES = (Modality.SKELETAL, Modality.SCENIC, Modality.ROUTINE)
LENGTHS = np.array([5, 3])
Tensors = dict[str, NDArray[Any]]


def with_sample(
    folder: Path, change: Callable[[Tensors], None] = lambda tensors: None, profile: Profile = Profile.FAST
) -> Bundle:
    """A bundle whose sample says what its own graphs make of it, but for ``change``."""
    bundle = small_bundle(folder, modalities=MODALITIES)
    runtime, tensors = OnnxRuntime(bundle), Tensors()
    for modality in MODALITIES:
        shape = (2, 5, *bundle.manifest.step_shape(modality))
        frames = np.random.default_rng(0).normal(size=shape).astype(np.float16)
        found = runtime.run_stream(modality, frames.astype(np.float32), LENGTHS)
        named = {"frames": frames, "lengths": LENGTHS, "embedding": found.embeddings, "score": found.scores}
        if found.attention is not None:
            named["temporal_attention"] = found.attention
        tensors |= {f"{modality}.{name}": tensor for name, tensor in named.items()}
    change(tensors)
    content = safetensors.numpy.save(tensors)
    limits = dict.fromkeys(MODALITIES, 1e-3)
    made = ExportProfile(profile, sample=ParitySample("sample.safetensors", sha256_hex(content), limits, limits))
    write_bundle(
        folder, msgspec.structs.replace(bundle.manifest, profile=made), bundle.graphs | {made.sample.file: content}
    )
    return read_bundle(folder)


def add(name: str, amount: float) -> Callable[[Tensors], None]:
    return lambda tensors: tensors.update({name: tensors[name] + np.float32(amount)})


def test_a_bundle_whose_graphs_agree_with_its_sample_is_opened(tmp_path: Path) -> None:
    open_runtime("onnxruntime", with_sample(tmp_path)).close()


@pytest.mark.parametrize(
    ("name", "said"),
    [
        *((f"{modality}.{what}", what) for modality in ("scenic", "routine") for what in ("score", "embedding")),
        ("skeletal.embedding", "embedding"),
        ("routine.temporal_attention", "attention over time"),
    ],
)
@pytest.mark.parametrize("amount", [0.01, float("nan")])
def test_a_stream_that_differs_is_refused_with_its_provider(
    tmp_path: Path, name: str, said: str, amount: float
) -> None:
    modality = name.partition(".")[0]
    with pytest.raises(
        BundleError, match=rf"^{modality}: on CPUExecutionProvider the {said} of a sample clip is off by"
    ):
        open_runtime("onnxruntime", with_sample(tmp_path, add(name, amount)))


def test_a_sample_without_attention_is_that_of_an_earlier_release_and_passes(tmp_path: Path) -> None:
    bundle = with_sample(tmp_path, lambda tensors: tensors.pop("routine.temporal_attention"))
    open_runtime("onnxruntime", bundle).close()


def test_attention_of_other_steps_is_refused_by_the_file(tmp_path: Path) -> None:
    name = "routine.temporal_attention"
    bundle = with_sample(tmp_path, lambda tensors: tensors.update({name: tensors[name][:, :, :-1].copy()}))
    with pytest.raises(BundleError, match=r"^sample\.safetensors: not the sample of this bundle \(attention of"):
        open_runtime("onnxruntime", bundle)


def test_a_difference_within_the_limit_is_allowed(tmp_path: Path) -> None:
    open_runtime("onnxruntime", with_sample(tmp_path, add("scenic.score", 1e-4))).close()


def test_eight_bits_that_are_rounded_otherwise_are_refused_with_the_profile_to_use(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="export the checkpoint with --profile fast"):
        open_runtime("onnxruntime", with_sample(tmp_path, add("scenic.score", 1), Profile.INT8))


def test_bfloat16_that_is_rounded_otherwise_is_refused_with_the_next_best(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="rounds bf16 otherwise: export the checkpoint with --profile fast"):
        open_runtime("openvino", with_sample(tmp_path, add("scenic.score", 1), Profile.BF16))


def test_a_sample_without_a_stream_is_refused_by_its_file(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"^sample\.safetensors: not the sample of this bundle"):
        open_runtime("onnxruntime", with_sample(tmp_path, lambda tensors: tensors.pop("scenic.lengths")))


def test_a_sample_with_a_changed_byte_is_refused(tmp_path: Path) -> None:
    with_sample(tmp_path)
    path = tmp_path / "sample.safetensors"
    path.write_bytes(path.read_bytes()[:-1] + b"\x7f")
    with pytest.raises(BundleError, match=r"sample\.safetensors: checksum mismatch"):
        read_bundle(tmp_path)
