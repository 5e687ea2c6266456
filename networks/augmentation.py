"""Random changes to poses that leave a dance the dance it is: for training on few clips. The paper names none.

Legend: N clips, T time steps, V joints, C channels.
"""

import torch
from torch import Tensor

from networks.training_settings import PoseAugmentation
from schemas.joints import JointLayout


def augmented(frames: Tensor, layout: JointLayout, augmentation: PoseAugmentation) -> Tensor:
    """``frames`` (N, T, V, C) changed, each clip by its own draws from torch's generator.

    Time is not touched. Steps of padding get noise as well; networks do not read them. Channels after the
    coordinates (a confidence) are kept.
    """
    if augmentation == PoseAugmentation():
        return frames
    position, rest = frames[..., : layout.coordinates], frames[..., layout.coordinates :]
    clips = len(position)
    centre = position.mean((1, 2), keepdim=True)
    position = (position - centre) @ _maps(augmentation, clips, layout, position)[:, None]
    spread = augmentation.noise * position.abs().mean((1, 2, 3), keepdim=True)
    position = position + spread * torch.randn_like(position) + spread * torch.randn_like(position[:, :1])
    return torch.cat((position + centre, rest), dim=3)


def _maps(augmentation: PoseAugmentation, clips: int, layout: JointLayout, like: Tensor) -> Tensor:
    """(N, C, C), to be multiplied from the right: a turn in the image plane after a stretch of each axis."""
    (right, _), (down, _) = layout.image_axes
    angle = augmentation.rotation * torch.randn(clips, device=like.device, dtype=like.dtype)
    turn = torch.eye(layout.coordinates, device=like.device, dtype=like.dtype).repeat(clips, 1, 1)
    turn[:, right, right] = turn[:, down, down] = angle.cos()
    turn[:, right, down], turn[:, down, right] = angle.sin(), -angle.sin()
    stretch = 1 + augmentation.stretch * torch.randn(clips, layout.coordinates, 1, device=like.device, dtype=like.dtype)
    return stretch * turn
