"""Random changes to poses that leave a dance the dance it is: for training on few clips. The paper names none.

Legend: N clips, T time steps, V joints, C channels.
"""

import msgspec
import torch
from torch import Tensor

from schemas.errors import ConfigurationError
from schemas.joints import JointLayout


class PoseAugmentation(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Standard deviations; zero leaves poses as they are. Impossible values raise ``ConfigurationError``."""

    rotation: float = 0.0
    """Turn of the whole clip in the image plane, in radians."""
    stretch: float = 0.0
    """Relative change of the scale of each coordinate over the whole clip."""
    noise: float = 0.0
    """Noise of each joint in each step, and once more of each joint over the clip, in mean absolute deviations of the
    clip's joints from their centre."""

    def __post_init__(self) -> None:
        for name in self.__struct_fields__:
            if not 0 <= getattr(self, name) < 1:
                raise ConfigurationError(f"pose_augmentation.{name} must be at least 0 and below 1", field=name)

    def __call__(self, frames: Tensor, layout: JointLayout) -> Tensor:
        """``frames`` (N, T, V, C) changed, each clip by its own draws from torch's generator.

        Time is not touched. Steps of padding get noise as well; networks do not read them. Channels after the
        coordinates (a confidence) are kept.
        """
        if self == PoseAugmentation():
            return frames
        position, rest = frames[..., : layout.coordinates], frames[..., layout.coordinates :]
        clips = len(position)
        centre = position.mean((1, 2), keepdim=True)
        position = (position - centre) @ self._maps(clips, layout, position)[:, None]
        spread = self.noise * position.abs().mean((1, 2, 3), keepdim=True)
        position = position + spread * torch.randn_like(position) + spread * torch.randn_like(position[:, :1])
        return torch.cat((position + centre, rest), dim=3)

    def _maps(self, clips: int, layout: JointLayout, like: Tensor) -> Tensor:
        """(N, C, C), to be multiplied from the right: a turn in the image plane after a stretch of each axis."""
        (right, _), (down, _) = layout.image_axes
        angle = self.rotation * torch.randn(clips, device=like.device, dtype=like.dtype)
        turn = torch.eye(layout.coordinates, device=like.device, dtype=like.dtype).repeat(clips, 1, 1)
        turn[:, right, right] = turn[:, down, down] = angle.cos()
        turn[:, right, down], turn[:, down, right] = angle.sin(), -angle.sin()
        stretch = 1 + self.stretch * torch.randn(clips, layout.coordinates, 1, device=like.device, dtype=like.dtype)
        return stretch * turn
