"""Which features score a clip of some length, and of what width they are: for uploads, and for what is learned from.

A clip that is longer than ``MAX_DURATION_S`` is a routine.
"""

from dataclasses import replace

from schemas.errors import FeatureShapeInvalid, NoUsableModality
from schemas.features import ClipFeatures, Frames
from schemas.modalities import MAX_DURATION_S, MODALITIES, Modality


def scored_modalities(features: ClipFeatures, duration_s: float) -> ClipFeatures:
    """What a clip of so many seconds is scored by: up to ``MAX_DURATION_S`` the modalities of the fusion, beyond it, as
    a routine, the others.

    Raises ``NoUsableModality`` if it has none of them.
    """
    is_routine = duration_s > MAX_DURATION_S
    frames = {modality: array for modality, array in features.frames.items() if modality.is_fused != is_routine}
    if not frames:
        kind = "longer than" if is_routine else "of at most"
        wanted = (modality for modality in MODALITIES if modality.is_fused != is_routine)
        raise NoUsableModality(
            f"the clip has only {', '.join(features.modalities)}; a clip {kind} {MAX_DURATION_S:g} s is scored by "
            f"{', '.join(wanted)}: add a tensor of it, or correct duration_s ({duration_s:g})"
        )
    if len(frames) == len(features.frames):
        return features
    with_joints = any(modality.has_joints for modality in frames)
    return replace(
        features,
        frames=frames,
        joint_layout=features.joint_layout if with_joints else None,
        missing=features.missing if with_joints else None,
        filled_joints=features.filled_joints if with_joints else 0.0,
    )


def check_channels(modality: Modality, frames: Frames, channels: int) -> None:
    """Raise ``FeatureShapeInvalid``, naming the tensor, if its last axis is not of so many ``channels``."""
    if frames.shape[-1] != channels:
        raise FeatureShapeInvalid(
            f"tensor {str(modality)!r} has {frames.shape[-1]} channels; this model reads {channels}: extract such "
            f"features, or leave {modality} out",
            field=modality,
        )
