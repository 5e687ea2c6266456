import numpy as np
import onnxruntime
import pytest

from schemas.bundle import Bundle
from schemas.errors import ConfigurationError, InferenceFailed
from schemas.modalities import Modality
from schemas.observation import Observer
from streamer.sessions import BundleSessions

CPU_ONLY = "CUDAExecutionProvider" not in onnxruntime.get_available_providers()


class Reports(Observer):
    def __init__(self) -> None:
        self.providers: dict[Modality | None, str] = {}

    def provider_in_use(self, modality: Modality | None, provider: str) -> None:
        self.providers[modality] = provider


def test_the_provider_in_use_is_reported_for_every_stream_and_the_fusion(bundle: Bundle) -> None:
    reports = Reports()
    sessions = BundleSessions(bundle, providers=("cpu",), observer=reports)
    assert reports.providers == dict.fromkeys((*Modality, None), "CPUExecutionProvider") == sessions.providers


@pytest.mark.skipif(not CPU_ONLY, reason="this ONNX Runtime has CUDA")
def test_a_provider_that_is_absent_is_passed_over_if_another_is_allowed(bundle: Bundle) -> None:
    assert set(BundleSessions(bundle, providers=("cuda", "cpu")).providers.values()) == {"CPUExecutionProvider"}


@pytest.mark.skipif(not CPU_ONLY, reason="this ONNX Runtime has CUDA")
def test_cuda_alone_where_there_is_none_is_refused_and_says_what_exists(bundle: Bundle) -> None:
    with pytest.raises(ConfigurationError, match=r"cuda.*CPUExecutionProvider") as caught:
        BundleSessions(bundle, providers=("cuda",))
    assert caught.value.field == "providers"


@pytest.mark.parametrize("providers", [("gpu",), ("cpu", "tpu"), ()])
def test_an_unknown_provider_is_refused_with_the_known_ones(bundle: Bundle, providers: tuple[str, ...]) -> None:
    with pytest.raises(ConfigurationError, match="choose from cuda, cpu"):
        BundleSessions(bundle, providers=providers)


def test_what_onnx_runtime_raises_becomes_ours_with_the_shapes(bundle: Bundle) -> None:
    sessions = BundleSessions(bundle)
    with pytest.raises(InferenceFailed, match=r"scenic stream failed on frames \(1, 4, 511\)"):
        sessions.run_stream(Modality.SCENIC, np.zeros((1, 4, 511), np.float32), np.array([4]))
