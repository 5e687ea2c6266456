import numpy as np
import onnxruntime
import pytest

from schemas.bundle import Bundle
from schemas.errors import ConfigurationError, InferenceFailed
from schemas.modalities import FUSED_MODALITIES, Modality
from streamer.runtimes.onnx_runtime import OnnxRuntime

CPU_ONLY = "CUDAExecutionProvider" not in onnxruntime.get_available_providers()


def test_the_provider_is_that_of_the_session_for_every_stream_and_the_fusion(bundle: Bundle) -> None:
    assert OnnxRuntime(bundle).providers == dict.fromkeys((*FUSED_MODALITIES, None), "CPUExecutionProvider")


@pytest.mark.skipif(not CPU_ONLY, reason="this ONNX Runtime has CUDA")
def test_a_provider_that_is_absent_is_skipped_if_another_is_allowed(bundle: Bundle) -> None:
    assert set(OnnxRuntime(bundle, providers=("cuda", "cpu")).providers.values()) == {"CPUExecutionProvider"}


@pytest.mark.skipif(not CPU_ONLY, reason="this ONNX Runtime has CUDA")
def test_cuda_alone_on_a_machine_without_it_is_refused_with_the_available_ones(bundle: Bundle) -> None:
    with pytest.raises(ConfigurationError, match=r"cuda.*CPUExecutionProvider") as caught:
        OnnxRuntime(bundle, providers=("cuda",))
    assert caught.value.field == "providers"


@pytest.mark.parametrize("providers", [("gpu",), ("cpu", "tpu"), ()])
def test_an_unknown_provider_is_refused_with_the_known_ones(bundle: Bundle, providers: tuple[str, ...]) -> None:
    with pytest.raises(ConfigurationError, match="choose from tensorrt, cuda-graphs, cuda, cpu"):
        OnnxRuntime(bundle, providers=providers)


def test_an_error_of_onnx_runtime_becomes_inference_failed_with_the_shapes(bundle: Bundle) -> None:
    runtime = OnnxRuntime(bundle)
    with pytest.raises(InferenceFailed, match=r"scenic stream failed on frames \(1, 4, 511\)"):
        runtime.run_stream(Modality.SCENIC, np.zeros((1, 4, 511), np.float32), np.array([4]))
