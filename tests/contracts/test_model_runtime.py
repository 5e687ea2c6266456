"""Every runtime passes the checks of the port, the scorer works with any, and the checks find what breaks a rule."""

from pathlib import Path

import numpy as np
import pytest

from schemas.bundle import Bundle
from schemas.clock import ManualClock
from schemas.events import ClipScored, embedding_array, temporal_attention
from schemas.modalities import FUSED_MODALITIES, Modality
from schemas.ports import FusionResult, ModelRuntime, RuntimeFactory, StreamResult
from streamer.runtimes import contract
from streamer.runtimes.onnx_runtime import OnnxRuntime
from streamer.runtimes.openvino_runtime import OpenVinoRuntime
from streamer.scoring import Scorer
from tests.clips import random_features, upload
from tests.small_bundle import small_bundle
from tests.streamer.reference_runtime import ReferenceRuntime

RUNTIMES: dict[str, RuntimeFactory] = {
    "onnxruntime": OnnxRuntime,
    "openvino": OpenVinoRuntime,
    "reference": ReferenceRuntime,
}


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return small_bundle(tmp_path_factory.mktemp("bundle"))


@pytest.mark.parametrize("check", contract.RUNTIME_CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("runtime", RUNTIMES)
def test_the_runtime_passes_the_checks_of_the_port(
    runtime: str, check: contract.Check, bundle: Bundle, tmp_path: Path
) -> None:
    check(RUNTIMES[runtime], bundle, ("cpu",))
    with_a_routine = (Modality.HOLISTIC, Modality.SCENIC, Modality.ROUTINE)
    check(RUNTIMES[runtime], small_bundle(tmp_path, modalities=with_a_routine), ("cpu",))


def test_the_scorer_gives_the_same_results_with_every_runtime(tmp_path: Path) -> None:
    bundle = small_bundle(tmp_path, modalities=(*FUSED_MODALITIES, Modality.ROUTINE))
    subsets = (FUSED_MODALITIES, (Modality.SKELETAL,), (Modality.HOLISTIC, Modality.SCENIC), (Modality.ROUTINE,))
    clips = []
    for number, subset in enumerate(subsets):
        duration_s = 61.0 if Modality.ROUTINE in subset else 3.0 + number
        features = random_features(duration_s, modalities=subset, seed=number)
        clips.append((upload(f"clip-{number}", features, duration_s=duration_s), features))

    def scored(runtime: ModelRuntime) -> list[ClipScored]:
        return [c for c in Scorer(runtime, clock=ManualClock(start_ms=1)).score(clips) if isinstance(c, ClipScored)]

    one, *others = (scored(factory(bundle, providers=("cpu",), threads=1)) for factory in RUNTIMES.values())
    assert others
    assert all(len(results) == len(clips) for results in (one, *others))
    for first, second in [pair for other in others for pair in zip(one, other, strict=True)]:
        assert (first.clip_id, first.missing, first.scored_at_ms) == (second.clip_id, second.missing, 1)
        assert first.scores() == pytest.approx(second.scores(), abs=1e-5)
        for modality, result in first.modalities.items():
            assert result.attention == pytest.approx(second.modalities[modality].attention, abs=1e-5)
            expected = embedding_array(second.modalities[modality])
            np.testing.assert_allclose(embedding_array(result), expected, rtol=1.1e-3, atol=1e-5)
        attended, same = temporal_attention(first), temporal_attention(second)
        assert (attended is None) == (same is None) == (Modality.ROUTINE not in first.modalities)
        if attended is not None and same is not None:
            for part, weights in attended.arrays().items():
                np.testing.assert_allclose(weights, same.arrays()[part], rtol=1.1e-3, atol=1e-6)


class ReadsPadding(OnnxRuntime):
    def run_stream(self, modality, frames, lengths):  # type: ignore[no-untyped-def]
        return super().run_stream(modality, np.nan_to_num(frames), np.full_like(lengths, frames.shape[1]))


class DependsOnTheBatch(OnnxRuntime):
    def run_stream(self, modality, frames, lengths):  # type: ignore[no-untyped-def]
        result = super().run_stream(modality, frames, lengths)
        return result._replace(scores=result.scores - result.scores.mean())


class IgnoresPresence(OnnxRuntime):
    def run_fusion(self, embeddings, scores, present):  # type: ignore[no-untyped-def]
        return super().run_fusion(embeddings, scores, np.ones_like(present))


class ReturnsOneBuffer(OnnxRuntime):
    def run_fusion(self, embeddings, scores, present):  # type: ignore[no-untyped-def]
        result = super().run_fusion(embeddings, scores, present)
        if not hasattr(self, "_buffers"):
            self._buffers = result
        for kept, new in zip(self._buffers, result, strict=True):
            kept[:] = new
        return FusionResult(*(array[:] for array in self._buffers)) if len(self._buffers[0]) == len(present) else result


class WritesToItsInput(OnnxRuntime):
    def run_stream(self, modality, frames, lengths):  # type: ignore[no-untyped-def]
        np.nan_to_num(frames, copy=False)
        return super().run_stream(modality, frames, lengths)


class ScoresAsAColumn(OnnxRuntime):
    def run_stream(self, modality, frames, lengths):  # type: ignore[no-untyped-def]
        result = super().run_stream(modality, frames, lengths)
        return StreamResult(result.embeddings, result.scores[:, None])


class LeaksItsErrors(OnnxRuntime):
    def run_stream(self, modality, frames, lengths):  # type: ignore[no-untyped-def]
        if frames.shape[2:] != self.manifest.step_shape(modality):
            raise ValueError(frames.shape)
        return super().run_stream(modality, frames, lengths)


class TakesAnyProvider(OnnxRuntime):
    def __init__(self, bundle, *, providers=("cpu",), threads=0) -> None:  # type: ignore[no-untyped-def]
        super().__init__(bundle, threads=threads)


class ForgetsTheFusion(OnnxRuntime):
    def __init__(self, bundle, *, providers=("cpu",), threads=0) -> None:  # type: ignore[no-untyped-def]
        super().__init__(bundle, providers=providers, threads=threads)
        self.providers = {modality: name for modality, name in self.providers.items() if modality is not None}


class ChecksNothing(ReferenceRuntime):
    """Loads each graph when it is first needed."""

    def __init__(self, bundle, *, providers=("cpu",), threads=0) -> None:  # type: ignore[no-untyped-def]
        self.manifest = bundle.manifest


class ClosesOnce(OnnxRuntime):
    def close(self) -> None:
        del self._streams


@pytest.mark.parametrize(
    ("broken", "check"),
    [
        (ReadsPadding, contract.check_a_clip_alone_and_in_a_batch),
        (DependsOnTheBatch, contract.check_a_clip_alone_and_in_a_batch),
        (DependsOnTheBatch, contract.check_numbers),
        (IgnoresPresence, contract.check_absent_modalities),
        (ReturnsOneBuffer, contract.check_arrays_stay_as_they_are),
        (WritesToItsInput, contract.check_arrays_stay_as_they_are),
        (ScoresAsAColumn, contract.check_shapes),
        (LeaksItsErrors, contract.check_wrong_input),
        (TakesAnyProvider, contract.check_an_unknown_provider),
        (ForgetsTheFusion, contract.check_manifest_and_providers),
        (ChecksNothing, contract.check_graphs_that_do_not_fit),
        (ClosesOnce, contract.check_closing),
    ],
)
def test_the_checks_refuse_a_runtime_that_breaks_a_rule(
    broken: RuntimeFactory, check: contract.Check, bundle: Bundle
) -> None:
    with pytest.raises(AssertionError):
        check(broken, bundle, ("cpu",))
