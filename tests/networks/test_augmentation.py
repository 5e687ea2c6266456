"""Random changes to poses."""

import math

import pytest
import torch

from networks.augmentation import augmented
from networks.training_settings import PoseAugmentation
from schemas.errors import ConfigurationError
from schemas.joints import DANCE_23, MPII_16


def poses(channels: int = 2, joints: int = 16) -> torch.Tensor:
    return torch.rand(3, 11, joints, channels, generator=torch.Generator().manual_seed(1)) * 100


def test_no_augmentation_leaves_poses_and_the_random_state_alone() -> None:
    frames, state = poses(), torch.get_rng_state()
    assert augmented(frames, MPII_16, PoseAugmentation()) is frames
    assert torch.equal(torch.get_rng_state(), state)


def test_a_turn_keeps_all_distances_and_differs_between_clips() -> None:
    frames = poses()
    turned = augmented(frames, MPII_16, PoseAugmentation(rotation=0.5))
    before, after = ((x[:, :, :, None] - x[:, :, None]).norm(dim=-1) for x in (frames, turned))
    torch.testing.assert_close(after, before, atol=1e-3, rtol=1e-4)
    angles = [
        math.atan2(*(turned[i, 0, 1] - turned[i, 0, 0]).tolist())
        - math.atan2(*(frames[i, 0, 1] - frames[i, 0, 0]).tolist())
        for i in range(3)
    ]
    assert len({round(angle, 3) for angle in angles}) == 3


def test_a_stretch_scales_each_coordinate_by_one_factor_per_clip() -> None:
    frames = poses()
    stretched = augmented(frames, MPII_16, PoseAugmentation(stretch=0.2))
    ratio = (stretched - stretched.mean((1, 2), keepdim=True)) / (frames - frames.mean((1, 2), keepdim=True))
    torch.testing.assert_close(ratio, ratio[:, :1, :1].expand_as(ratio), atol=1e-2, rtol=1e-2)
    assert len(ratio[:, 0, 0].flatten().round(decimals=3).unique()) == 6


def test_noise_has_the_spread_that_was_asked_for() -> None:
    torch.manual_seed(0)
    frames = poses(joints=16).repeat(1, 40, 1, 1)
    added = augmented(frames, MPII_16, PoseAugmentation(noise=0.1)) - frames
    deviation = (frames - frames.mean((1, 2), keepdim=True)).abs().mean()
    per_step = added - added.mean(1, keepdim=True)
    assert per_step.std().item() == pytest.approx(0.1 * deviation.item(), rel=0.05)


def test_only_the_image_plane_turns_in_three_dimensions_and_a_confidence_is_kept() -> None:
    torch.manual_seed(0)
    frames = poses(3, 23)
    turned = augmented(frames, DANCE_23, PoseAugmentation(rotation=0.5))
    (right, _), (down, _) = DANCE_23.image_axes
    depth = ({0, 1, 2} - {right, down}).pop()
    torch.testing.assert_close(turned[..., depth], frames[..., depth])
    confident = poses(3)
    changed = augmented(confident, MPII_16, PoseAugmentation(rotation=0.1, stretch=0.1, noise=0.1))
    assert torch.equal(changed[..., 2], confident[..., 2])
    assert not torch.allclose(changed[..., :2], confident[..., :2])


@pytest.mark.parametrize("name", ["rotation", "stretch", "noise"])
@pytest.mark.parametrize("value", [-0.1, 1.0, math.nan])
def test_an_impossible_spread_is_refused_by_name(name: str, value: float) -> None:
    with pytest.raises(ConfigurationError, match=name):
        PoseAugmentation(**{name: value})
