"""Clips for the other examples: random movement in random places."""

import time

import numpy as np

from schemas import ClipFeatures, ClipUploaded, InlineFeatures, Modality, encode_features


def random_features(seed: int) -> ClipFeatures:
    """Twelve seconds: (300, 16, 2) poses in MPII order, and (48, 512) features of the background."""
    rng = np.random.default_rng(seed)
    poses = rng.normal(size=(300, 16, 2)).cumsum(axis=0).astype(np.float32)
    scenes = rng.normal(size=(48, 512)).astype(np.float32)
    return ClipFeatures({Modality.SKELETAL: poses, Modality.SCENIC: scenes}, joint_layout="mpii-16")


def random_upload(number: int) -> ClipUploaded:
    """An upload that carries its features; a platform would name a file with ``FeatureFile``."""
    return ClipUploaded(
        clip_id=f"clip-{number}",
        dancer_id=f"dancer-{number % 3}",
        challenge_id="renegade",
        uploaded_at_ms=time.time_ns() // 1_000_000,
        duration_s=12.0,
        features=InlineFeatures(encode_features(random_features(number))),
    )
