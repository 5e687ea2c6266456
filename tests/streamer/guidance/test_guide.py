"""Guidance of clips by the gradient graphs that ship, against differences of the scores of the graphs that ship."""

from dataclasses import replace

import msgspec
import numpy as np
import pytest

from dancerank.settings import video_bundle
from schemas.bundle import Bundle, read_bundle
from schemas.errors import BundleError, ConfigurationError, GuidanceUnavailable, InferenceFailed, SkeletonMissing
from schemas.features import ClipFeatures
from schemas.joints import LAYOUTS, mean_absolute_deviation
from schemas.modalities import Dimension, Modality
from streamer.guidance.clip_guidance import Guidance, magnitude_bins
from streamer.guidance.guide import Guide
from streamer.guidance.smoothing import SMOOTHINGS
from streamer.runtimes.gradients import OnnxGradients, gradient_providers
from streamer.runtimes.onnx_runtime import OnnxRuntime

SKELETAL, SCENIC, FUSED = Modality.SKELETAL, Modality.SCENIC, Dimension.FUSED


@pytest.fixture(scope="module")
def bundle() -> Bundle:
    return read_bundle(video_bundle())


@pytest.fixture(scope="module")
def guide(bundle: Bundle) -> Guide:
    return Guide(OnnxRuntime(bundle, threads=1), OnnxGradients(bundle, threads=1))


def clip_of(steps: int, seed: int = 0, *, missing: object = None, scenic: bool = True) -> ClipFeatures:
    draw = np.random.default_rng(seed)
    pose = draw.normal((640, 360), 120, (16, 2)) + draw.normal(0, 6, (steps, 16, 2)).cumsum(axis=0)
    frames = {SKELETAL: pose.astype(np.float32)}
    if scenic:
        frames[SCENIC] = draw.normal(0.2, 0.5, (max(1, steps // 6), 512)).clip(min=0).astype(np.float32)
    return ClipFeatures(frames, "mpii-16", missing=missing)  # type: ignore[arg-type]


def moved(clip: ClipFeatures, change: np.ndarray) -> ClipFeatures:
    return replace(clip, frames=clip.frames | {SKELETAL: (clip.frames[SKELETAL] + change).astype(np.float32)})


@pytest.mark.parametrize("of", ["skeletal", "fused"])
def test_the_gradient_says_how_the_score_changes_when_joints_move(guide: Guide, of: str) -> None:
    clip, draw = clip_of(40), np.random.default_rng(1)
    found = guide.guidance(clip, of=of)
    assert found.gradient.shape == found.positions.shape == (40, 16, 2)
    along = found.gradient / np.linalg.norm(found.gradient)
    for direction in (along, along + 0.5 * draw.normal(0, np.abs(along).mean(), along.shape)):
        up, down = (guide.guidance(moved(clip, sign * 0.5 * direction), of=of).score for sign in (1, -1))
        assert up - down == pytest.approx((found.gradient * direction).sum(), rel=0.02)
        assert up > found.score > down


def test_the_fused_score_moves_with_the_embedding_too_and_is_the_skeletal_one_where_nothing_else_is(
    guide: Guide,
) -> None:
    clip = clip_of(30)
    skeletal, fused = guide.guidance(clip), guide.guidance(clip, of=FUSED)
    ratio = fused.gradient / np.where(skeletal.gradient == 0, 1, skeletal.gradient)
    assert np.ptp(ratio) > 0.01, "a multiple of the skeletal score's gradient leaves the attention out"
    alone = clip_of(30, scenic=False)
    np.testing.assert_allclose(
        guide.guidance(alone, of="fused").gradient, guide.guidance(alone).gradient, rtol=1e-3, atol=1e-9
    )


def test_a_clips_gradient_does_not_depend_on_its_batch_mates(guide: Guide) -> None:
    clips = [clip_of(1), clip_of(60, 1, scenic=False), clip_of(17, 2)]
    for of in (Dimension.SKELETAL, FUSED):
        for one, clip in zip(guide.batch(clips, of=of), clips, strict=True):
            alone = guide.guidance(clip, of=of)
            assert one.gradient.shape[0] == len(clip.frames[SKELETAL])
            np.testing.assert_allclose(
                one.gradient, alone.gradient, rtol=0, atol=1e-4 * max(np.abs(alone.gradient).max(), 1e-12)
            )
            assert one.score == pytest.approx(alone.score, abs=1e-5)


def test_padding_gets_exactly_zero(guide: Guide, bundle: Bundle) -> None:
    frames = np.stack([clip_of(40).frames[SKELETAL], np.full((40, 16, 2), 7e3)]).astype(np.float32)
    frames[1, :9] = clip_of(9, 1).frames[SKELETAL]
    width = bundle.manifest.stream(SKELETAL).embedding_dim
    seeds = np.ones(2, np.float32), np.ones((2, width), np.float32)
    found = OnnxGradients(bundle, threads=1).stream_gradient(frames, np.array([40, 9]), *seeds)
    assert not found[1, 9:].any()
    assert found[1, :9].any()


def test_missing_joints_get_none_and_the_others_what_they_would_get(guide: Guide) -> None:
    missing = np.zeros((20, 16), np.bool_)
    missing[3:9, 15] = True
    found, whole = guide.guidance(clip_of(20, missing=missing)), guide.guidance(clip_of(20))
    assert not found.gradient[missing].any()
    assert whole.gradient[missing].any()
    np.testing.assert_array_equal(found.gradient[~missing], whole.gradient[~missing])
    np.testing.assert_array_equal(found.missing, missing)


@pytest.mark.parametrize("steps", [1, 1500], ids=["1 frame", "60 s"])
def test_the_shortest_and_the_longest_clip_have_guidance(guide: Guide, steps: int) -> None:
    found = guide.guidance(clip_of(steps), of=FUSED)
    assert found.frames == steps
    assert np.isfinite(found.gradient).all()
    assert magnitude_bins(found).bins == max(1, steps * 2 // 25)


def test_what_cannot_be_guided_is_refused_in_a_sentence(guide: Guide, bundle: Bundle) -> None:
    with pytest.raises(SkeletonMissing, match="no skeletal features, only scenic"):
        guide.guidance(ClipFeatures({SCENIC: np.ones((4, 512), np.float32)}))
    with pytest.raises(ConfigurationError, match="no guidance of 'facial'; choose from skeletal, fused"):
        guide.guidance(clip_of(4), of="facial")
    clip = clip_of(4)
    clip.frames[SKELETAL][2, 3] = np.nan
    with pytest.raises(InferenceFailed, match="not a finite number"):
        guide.guidance(clip)
    without = Bundle(msgspec.structs.replace(bundle.manifest, guidance=msgspec.UNSET), bundle.graphs)
    with pytest.raises(GuidanceUnavailable, match="add-guidance"):
        OnnxGradients(without)
    with pytest.raises(GuidanceUnavailable, match="add-guidance"):
        Guide(OnnxRuntime(without, threads=1), OnnxGradients(bundle, threads=1))


def test_a_gradient_graph_of_another_signature_is_refused_by_its_file(bundle: Bundle) -> None:
    assert bundle.manifest.guidance is not msgspec.UNSET
    file = bundle.manifest.guidance.stream.file  # type: ignore[union-attr]
    swapped = Bundle(bundle.manifest, bundle.graphs | {file: bundle.graphs["skeletal.onnx"]})
    with pytest.raises(BundleError, match=r"skeletal-guidance.onnx: inputs are frames, lengths, expected"):
        OnnxGradients(swapped)


def test_gradient_graphs_run_where_the_streams_run() -> None:
    assert gradient_providers(("cuda", "cpu")) == ("cuda", "cpu")
    assert gradient_providers(("tensorrt", "cuda-graphs")) == ("cuda",)
    assert gradient_providers(("cpu",)) == ("cpu",)
    assert gradient_providers(("of-another-runtime",)) == ("cpu",)


def made(gradient: np.ndarray, rate_hz: float = 25.0) -> Guidance:
    shape = gradient.shape
    return Guidance(
        generation="g",
        of=Dimension.SKELETAL,
        smoothing="raw",
        layout=LAYOUTS["mpii-16"],
        rate_hz=rate_hz,
        positions=np.zeros(shape, np.float32),
        gradient=gradient.astype(np.float32),
        missing=np.zeros(shape[:2], np.bool_),
        score=0.0,
        scale=3.0,
    )


@pytest.mark.parametrize("steps", [1, 12, 13, 25, 26, 63])
def test_bins_are_means_over_time_and_a_frame_counts_in_each_by_the_time_that_lies_in_it(steps: int) -> None:
    gradient = np.random.default_rng(2).normal(size=(steps, 16, 2))
    found = magnitude_bins(made(gradient))
    sums, counts = np.zeros((found.bins, 16)), np.zeros(found.bins)
    for millisecond in range(40 * steps):  # frames of 40 ms, bins of 500 ms
        frame, at = millisecond // 40, millisecond // 500
        counts[at] += 1
        for joint in range(16):
            sums[at, joint] += 3.0 * float(np.hypot(*gradient[frame, joint]))
    stated = np.frombuffer(found.magnitudes, "<f2").reshape(found.bins, 16).astype(float) * found.scale
    np.testing.assert_allclose(stated, sums / counts[:, None], rtol=2e-3, atol=1e-3 * found.scale)
    assert found.scale == pytest.approx((sums / counts[:, None]).max(), rel=1e-5)
    assert (found.frames, found.rate_hz, found.bin_s, found.joint_layout) == (steps, 25.0, 0.5, "mpii-16")


def test_bins_of_a_clip_without_gradient_are_zero() -> None:
    found = magnitude_bins(made(np.zeros((5, 16, 2))))
    assert found.scale == 0
    assert not any(found.magnitudes)


def test_the_scale_is_what_the_networks_divide_a_clip_by() -> None:
    positions = np.random.default_rng(0).normal(300, 50, (7, 16, 2))
    centre = [sum(positions[t, 7, axis] for t in range(7)) / 7 for axis in (0, 1)]
    total = sum(abs(positions[t, v, axis] - centre[axis]) for t in range(7) for v in range(16) for axis in (0, 1))
    assert mean_absolute_deviation(positions, LAYOUTS["mpii-16"]) == pytest.approx(total / (7 * 16 * 2))


@pytest.mark.parametrize("of", ["skeletal", "fused"])
@pytest.mark.parametrize("smoothing", SMOOTHINGS)
def test_every_smoothing_gives_directions_that_raise_the_score(guide: Guide, smoothing: str, of: str) -> None:
    missing = np.zeros((12, 16), np.bool_)
    missing[2, 3] = True
    clip = clip_of(12, missing=missing)
    found = guide.guidance(clip, of=of, smoothing=smoothing)
    assert (found.smoothing, found.of, found.score) == (smoothing, of, guide.guidance(clip, of=of).score)
    along = 0.5 * found.gradient / np.linalg.norm(found.gradient)
    assert guide.guidance(moved(clip, along), of=of).score > found.score
    assert not found.gradient[2, 3].any()


def test_a_smoothing_that_is_not_known_is_refused(guide: Guide) -> None:
    with pytest.raises(ConfigurationError, match="smoothing 'none' is not known"):
        guide.guidance(clip_of(4), smoothing="none")
