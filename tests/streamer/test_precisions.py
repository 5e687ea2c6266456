"""A bundle in fewer bits runs only where its precision can be computed, on clips as long as it was checked on."""

import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray

from schemas.bundle import Bundle, generation_of
from schemas.errors import BundleError, InferenceFailed
from schemas.export_profiles import ExportProfile, Precision, Profile
from schemas.modalities import Modality
from streamer.runtimes.onnx_runtime import OnnxRuntime
from streamer.runtimes.openvino_runtime import OpenVinoRuntime
from streamer.runtimes.selection import open_runtime
from streamer.runtimes.shape_grid import clips_together, step_buckets, steps_rounded
from tests.small_bundle import small_bundle
from tests.streamer.reference_runtime import ReferenceRuntime

MODALITIES = (Modality.HOLISTIC, Modality.SCENIC)
BF16 = ExportProfile(Profile.BF16, longest={Modality.SCENIC: 40})


def in_bfloat16(bundle: Bundle, profile: ExportProfile = BF16) -> Bundle:
    """The bundle with its scenic stream to be computed in bfloat16."""
    streams = tuple(
        msgspec.structs.replace(stream, precision=Precision.BFLOAT16) if stream.modality is Modality.SCENIC else stream
        for stream in bundle.manifest.streams
    )
    manifest = msgspec.structs.replace(bundle.manifest, streams=streams, profile=profile)
    return Bundle(msgspec.structs.replace(manifest, generation=generation_of(manifest)), bundle.graphs)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return small_bundle(tmp_path_factory.mktemp("bundle"), modalities=MODALITIES)


@pytest.fixture(scope="module")
def both(bundle: Bundle) -> tuple[OpenVinoRuntime, OnnxRuntime]:
    return OpenVinoRuntime(bundle), OnnxRuntime(bundle)


def frames(steps: int, clips: int = 1) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    generator = np.random.default_rng(0)
    return generator.normal(1, 0.5, (clips, steps, 512)).astype(np.float32), np.full(clips, steps)


def test_another_precision_is_another_generation(bundle: Bundle) -> None:
    assert in_bfloat16(bundle).manifest.generation != bundle.manifest.generation


def test_streams_in_float32_are_encoded_as_before_there_were_precisions(bundle: Bundle) -> None:
    assert b"precision" not in msgspec.json.encode(bundle.manifest)


def test_openvino_computes_a_stream_in_the_precision_of_the_manifest(bundle: Bundle) -> None:
    exact = OnnxRuntime(bundle).run_stream(Modality.SCENIC, *frames(20))
    runtime = OpenVinoRuntime(in_bfloat16(bundle))
    rounded = runtime.run_stream(Modality.SCENIC, *frames(20))
    assert 1e-5 < np.abs(exact.embeddings - rounded.embeddings).max() < 0.05
    assert runtime.providers[Modality.SCENIC] == "OpenVINO CPU bfloat16"
    assert runtime.providers[Modality.HOLISTIC] == "OpenVINO CPU float32"


def test_onnx_runtime_refuses_bfloat16_with_what_to_do(bundle: Bundle) -> None:
    with pytest.raises(
        BundleError, match=r'profile bf16 and computes scenic in bfloat16, .* "openvino" .* --profile fast'
    ):
        open_runtime("onnxruntime", in_bfloat16(bundle))


def test_a_processor_without_bfloat16_refuses_it(bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streamer.runtimes.openvino_runtime._capabilities", lambda core: ["FP32", "INT8"])
    with pytest.raises(BundleError, match=r"OpenVINO on this processor cannot; .* --profile fast"):
        open_runtime("openvino", in_bfloat16(bundle))


def test_a_runtime_that_states_no_precision_is_not_given_bfloat16(bundle: Bundle) -> None:
    name = f"{ReferenceRuntime.__module__}:ReferenceRuntime"
    open_runtime(name, bundle).close()
    with pytest.raises(BundleError, match=r"which the runtime tests\..* cannot"):
        open_runtime(name, in_bfloat16(bundle))


@pytest.mark.parametrize("factory", [OnnxRuntime, OpenVinoRuntime])
def test_a_clip_longer_than_any_that_was_checked_is_refused_and_others_are_not(
    bundle: Bundle, factory: type[OnnxRuntime]
) -> None:
    profile = ExportProfile(Profile.INT8, longest={Modality.SCENIC: 40})
    manifest = msgspec.structs.replace(bundle.manifest, profile=profile)
    runtime = factory(Bundle(manifest, bundle.graphs))
    with pytest.raises(InferenceFailed, match=r"^scenic: 41 steps, and the profile int8 .* up to 40 \(10 s\); .* fast"):
        runtime.run_stream(Modality.SCENIC, *frames(41))
    runtime.run_stream(Modality.SCENIC, *frames(40))


@pytest.mark.parametrize("clips", [1, 2, 3, 5, 7, 8])
@pytest.mark.parametrize("steps", [1, 16, 17, 130])
def test_shapes_beside_the_grid_give_what_they_give_in_another_runtime(
    both: tuple[OpenVinoRuntime, OnnxRuntime], clips: int, steps: int
) -> None:
    batch, lengths = frames(steps, clips)
    lengths[-1] = max(1, steps // 2)
    found, expected = (runtime.run_stream(Modality.SCENIC, batch, lengths) for runtime in both)
    np.testing.assert_allclose(found.embeddings, expected.embeddings, atol=1e-5)
    np.testing.assert_allclose(found.scores, expected.scores, atol=1e-5)


def test_few_shapes_hold_all_lengths() -> None:
    assert step_buckets(400) == [*range(4, 64, 4), *range(64, 128, 8), *range(128, 256, 16), *range(256, 417, 32)]
    for steps in range(1, 3000):
        rounded = steps_rounded(steps)
        assert steps <= rounded <= max(steps + 3, 1.125 * steps)
        assert steps_rounded(rounded) == rounded
    assert [sum(clips_together(clips)) for clips in range(1, 40)] == [*range(1, 40)]
    assert {size for clips in range(1, 40) for size in clips_together(clips)} == {1, 2, 4}


def test_each_shape_has_run_before_a_bundle_is_opened(bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = set()
    run = OpenVinoRuntime.run_stream

    def noted(runtime, modality, batch, lengths):  # type: ignore[no-untyped-def]
        seen.add((modality, *batch.shape[:2]))
        return run(runtime, modality, batch, lengths)

    monkeypatch.setattr(OpenVinoRuntime, "run_stream", noted)
    open_runtime("openvino", in_bfloat16(bundle))
    buckets = {(Modality.SCENIC, clips, steps) for clips in (1, 2, 4) for steps in range(4, 41, 4)}
    assert buckets <= seen
    assert (Modality.HOLISTIC, 4, 400) in seen
