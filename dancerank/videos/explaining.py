"""What a model makes of a clip over time: scores and attention of its parts, and which moments its score comes from.

Nothing but the graphs of the bundle is needed, no gradient. A moment's *importance* is how much lower the score would
be without it: the steps of one second are replaced by a straight line between the steps around them, in every modality,
and the clip is scored again (occlusion; Zeiler and Fergus 2014). Legend: W moments, M streams of the bundle that the
clip has, T time steps.
"""

from collections.abc import Mapping, Sequence
from math import ceil, floor
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from schemas.bundle import BundleManifest
from schemas.features import ClipFeatures, Frames
from schemas.joints import LAYOUTS, convert, layout_named
from schemas.missing_joints import fill_gaps
from schemas.modalities import Modality
from schemas.ports import Float32, ModelRuntime
from schemas.training_distribution import DistanceMeter
from streamer.padding import PaddedBuffer

OCCLUDED_S: Final = 1.0
"""About two beats: the length of what is replaced."""
PART_S: Final = 3.0
"""The length of the parts that are scored by themselves: the shortest clip that is accepted."""
LEAST_STEP_S: Final = 0.5
MOST_MOMENTS: Final = 48
_AT_ONCE: Final = 8

Double = npt.NDArray[np.float64]


class Explanation(NamedTuple):
    """``scores``: of the streams; ``attention``: their weights, which sum to one. ``times_s`` (W,): the middles of the
    moments; ``importance`` (W,) of them for the fused score, and ``stream_importance`` for the score of each stream by
    itself; ``part_scores`` (W,) and ``part_attention`` (W, M): of the part of the clip around each moment.
    ``left_out``: why a modality of the clip is not scored. ``training_distance``: beyond 1 the clip is unlike what the
    bundle learned from, and its scores are not to be trusted; ``None`` where the bundle does not say.
    """

    fused: float
    scores: dict[Modality, float]
    attention: dict[Modality, float]
    times_s: Double
    importance: Double
    stream_importance: dict[Modality, Double]
    part_scores: Double
    part_attention: Double
    left_out: tuple[str, ...]
    training_distance: float | None


class Scored(NamedTuple):
    """Of N variants: ``fused`` (N,), ``scores`` and ``attention`` (N, M)."""

    fused: Double
    scores: Double
    attention: Double


def explain(runtime: ModelRuntime, features: ClipFeatures, duration_s: float) -> Explanation | None:
    """How the model of ``runtime`` comes to the score of a clip; ``None`` if it scores none of its modalities."""
    manifest = runtime.manifest
    frames, left_out = fitted(manifest, features)
    if not frames:
        return None
    times_s = moments(duration_s)
    whole = score_variants(runtime, {modality: [each] for modality, each in frames.items()})
    occluded = score_variants(
        runtime,
        {
            modality: [without(each, second, duration_s) for second in times_s.tolist()]
            for modality, each in frames.items()
        },
    )
    parts = score_variants(
        runtime,
        {
            modality: [part(each, second, duration_s) for second in times_s.tolist()]
            for modality, each in frames.items()
        },
    )
    distances = [
        DistanceMeter(modality, stated, manifest.step_shape(modality)).distance(frames[modality])
        for modality, stated in manifest.training_distribution.items()
        if modality in frames
    ]
    order = list(frames)
    return Explanation(
        float(whole.fused[0]),
        dict(zip(order, whole.scores[0].tolist(), strict=True)),
        dict(zip(order, whole.attention[0].tolist(), strict=True)),
        times_s,
        whole.fused[0] - occluded.fused,
        {modality: whole.scores[0, at] - occluded.scores[:, at] for at, modality in enumerate(order)},
        parts.fused,
        parts.attention,
        left_out,
        max(distances, default=None),
    )


def fitted(manifest: BundleManifest, features: ClipFeatures) -> tuple[dict[Modality, Frames], tuple[str, ...]]:
    """The frames of the modalities that the bundle fuses, in its joint layout, and why others are left out."""
    frames: dict[Modality, Frames] = {}
    left_out = []
    for modality in features.modalities:
        if modality not in manifest.fused_modalities:
            left_out.append(f"{modality}: the model has no such stream")
            continue
        array, channels = features.frames[modality], manifest.stream(modality).input_channels
        if modality.has_joints:
            target = layout_named(manifest.joint_layout or "")
            array = convert(array, LAYOUTS[features.joint_layout or ""], target)[..., :channels]
        if array.shape[-1] != channels:
            left_out.append(f"{modality}: the clip has {array.shape[-1]} channels, the model reads {channels}")
            continue
        frames[modality] = array
    return {modality: frames[modality] for modality in manifest.fused_modalities if modality in frames}, tuple(left_out)


def moments(duration_s: float) -> Double:
    """The middles of the moments of a clip, in seconds: every half second, at most ``MOST_MOMENTS``."""
    count = max(1, min(MOST_MOMENTS, floor(duration_s / LEAST_STEP_S)))
    return (np.arange(count) + 0.5) * duration_s / count


def without(frames: Frames, second: float, duration_s: float) -> Frames:
    """(T, …) with the steps around a moment replaced by a straight line between those before and after."""
    first, end = steps_around(len(frames), second, duration_s)
    known = np.ones(len(frames), np.bool_)
    known[first:end] = False
    if not known.any():
        return np.zeros_like(frames)
    filled: Frames = fill_gaps(frames, known)
    return filled


def part(frames: Frames, second: float, duration_s: float) -> Frames:
    """The steps of the ``PART_S`` seconds around a moment, moved into the clip at its ends."""
    begin = min(max(second - PART_S / 2, 0.0), max(duration_s - PART_S, 0.0))
    first, end = _steps(len(frames), begin, begin + PART_S, duration_s)
    return frames[first:end]


def steps_around(count: int, second: float, duration_s: float) -> tuple[int, int]:
    """The steps of the ``OCCLUDED_S`` seconds around a moment, the last one excluded."""
    return _steps(count, second - OCCLUDED_S / 2, second + OCCLUDED_S / 2, duration_s)


def _steps(count: int, begin_s: float, end_s: float, duration_s: float) -> tuple[int, int]:
    """The steps from ``begin_s`` to ``end_s``, at least one, if ``count`` steps span ``duration_s``."""
    first = min(max(floor(count * begin_s / duration_s), 0), count - 1)
    return first, max(min(ceil(count * end_s / duration_s), count), first + 1)


def score_variants(runtime: ModelRuntime, variants: Mapping[Modality, Sequence[Frames]]) -> Scored:
    """Of N variants of a clip, all with the same modalities; one of which there is a single variant has it in all."""
    manifest = runtime.manifest
    count = max(map(len, variants.values()))
    embeddings = np.zeros((count, manifest.embedding_width), np.float32)
    scores = np.zeros((count, len(manifest.fused_streams)), np.float32)
    present = np.zeros(scores.shape, np.bool_)
    columns = [column for column, modality in enumerate(manifest.fused_modalities) if modality in variants]
    start = 0
    for column, stream in enumerate(manifest.fused_streams):
        if stream.modality in variants:
            present[:, column] = True
            width = slice(start, start + stream.embedding_dim)
            own = len(variants[stream.modality])
            for at in range(0, own, _AT_ONCE):
                # A single variant's result is written to all rows.
                rows = slice(at, min(at + _AT_ONCE, own)) if own > 1 else slice(count)
                embeddings[rows, width], scores[rows, column] = _run(runtime, stream.modality, variants, rows)
        start += stream.embedding_dim
    fused = runtime.run_fusion(embeddings, scores, present)
    return Scored(
        fused.scores.astype(np.float64),
        scores[:, columns].astype(np.float64),
        fused.attention[:, columns].astype(np.float64),
    )


def _run(
    runtime: ModelRuntime, modality: Modality, variants: Mapping[Modality, Sequence[Frames]], rows: slice
) -> tuple[Float32, Float32]:
    padded, lengths = PaddedBuffer().fill(variants[modality][rows])
    result = runtime.run_stream(modality, padded, lengths)
    return result.embeddings, result.scores
