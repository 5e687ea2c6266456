"""Uploads and their features for tests of the streamer: random, but the same for the same seed."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from schemas.events import MIN_DURATION_S, ClipUploaded, FeatureFile, InlineFeatures
from schemas.features import ClipFeatures, encode_features
from schemas.joints import LAYOUTS
from schemas.modalities import FUSED_MODALITIES, Modality

UPLOADED_AT_MS = 1_700_000_000_000


def random_features(
    duration_s: float,
    *,
    modalities: Sequence[Modality] = FUSED_MODALITIES,
    seed: int = 0,
    joint_layout: str = "mpii-16",
    joint_channels: int = 2,
    dtype: type[np.floating] = np.float16,
) -> ClipFeatures:
    """Features of a clip of this length, standard normal; a confidence is positive, so every joint is detected.

    Poses are one standard normal pose that trembles, as no body is elsewhere in the next frame.
    """
    rng = np.random.default_rng(seed)
    pose = (LAYOUTS[joint_layout].joint_count, joint_channels)
    shapes = {m: (m.channels,) if m.channels is not None else pose for m in modalities}
    frames = {
        m: rng.standard_normal((max(1, round(duration_s * m.rate_hz)), *shapes[m])).astype(dtype) for m in modalities
    }
    if Modality.SKELETAL in frames:
        frames[Modality.SKELETAL] *= dtype(0.3)
        frames[Modality.SKELETAL] += rng.standard_normal(pose).astype(dtype)
        confidence = frames[Modality.SKELETAL][..., LAYOUTS[joint_layout].coordinates :]
        np.maximum(np.abs(confidence), dtype(0.01), out=confidence)
    return ClipFeatures(frames, joint_layout if any(m.has_joints for m in frames) else None)


def trembling(rng: np.random.Generator, joints: int, steps: int = 40) -> npt.NDArray[np.float32]:
    """One random pose of (joints, 2) that trembles, (T, V, 2): as little as the rules of plausible features admit."""
    pose = rng.standard_normal((joints, 2)) + 0.3 * rng.standard_normal((steps, joints, 2))
    return pose.astype(np.float32)


def upload(
    clip_id: str,
    features: ClipFeatures | FeatureFile | InlineFeatures,
    *,
    duration_s: float | None = None,
    challenge_id: str = "challenge-1",
) -> ClipUploaded:
    """An upload event; features are carried inline unless a file is named. It lasts as long as they, or 4 s."""
    if duration_s is None:
        duration_s = 4.0
        if isinstance(features, ClipFeatures):
            duration_s = max(MIN_DURATION_S, *(len(a) / m.rate_hz for m, a in features.frames.items()))
    content = InlineFeatures(encode_features(features)) if isinstance(features, ClipFeatures) else features
    return ClipUploaded(
        clip_id=clip_id,
        dancer_id=f"dancer-of-{clip_id}",
        challenge_id=challenge_id,
        uploaded_at_ms=UPLOADED_AT_MS,
        duration_s=duration_s,
        features=content,
    )
