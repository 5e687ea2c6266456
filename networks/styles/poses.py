"""Poses as classifiers of a bundle read them: on the body's centre, facing forward, of unit size; on tensors.

Legend: N clips, T time steps, V joints, C coordinates.
"""

import torch
from torch import Tensor

from networks.sequences import masked, time_mask
from schemas.joints import JointLayout


def facing_poses(frames: Tensor, lengths: Tensor, layout: JointLayout) -> Tensor:
    """(N, T, V, C) float64 of (N, T, V, ≥ C) ``frames``, of which the first ``lengths`` (N,) steps are real; zero at
    padding.

    Poses are centred on the body's centre in each frame and divided by the clip's mean absolute coordinate;
    three-dimensional ones are turned so that the hips lie along the first axis. ``networks.styles.preparation`` has the
    same for one clip, in NumPy.
    """
    real = time_mask(lengths, frames.shape[1])
    mask = real[:, :, None, None]
    position = masked(frames[..., : layout.coordinates].double(), mask)
    position = position - position[:, :, list(layout.centre)].mean(2, keepdim=True)
    if layout.coordinates == 3:
        position = _turned(position, layout)
    count = real.sum(1).double()[:, None, None, None]
    size = masked(position.abs(), mask).sum((1, 2, 3), keepdim=True)
    size = size / (count * position.shape[2] * position.shape[3])
    return masked(position / torch.where(size > 0, size, torch.ones_like(size)), mask)


def _turned(position: Tensor, layout: JointLayout) -> Tensor:
    left, right = (layout.joints.index(f"{side} hip") for side in ("left", "right"))
    across = position[:, :, left] - position[:, :, right]
    along, towards = across[..., :1], across[..., 2:]
    length = (along.square() + towards.square()).sqrt()
    unit = torch.where(length > 0, length, torch.ones_like(length))
    cosine = torch.where(length > 0, along / unit, torch.ones_like(length))
    sine = torch.where(length > 0, towards / unit, torch.zeros_like(length))
    x, y, z = position[..., 0], position[..., 1], position[..., 2]
    return torch.stack((x * cosine + z * sine, y, z * cosine - x * sine), dim=-1)
