"""What names styles in a bundle: poses in, logits and familiarity out.

Legend: N clips, T time steps, V joints, C coordinates, K styles.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from networks.styles.clips import StyleClip
from networks.styles.network import StyleNetwork, check_sizes
from schemas.joints import JointLayout

_CLIPS_AT_ONCE: Final = 64

Array = NDArray[np.float64]


class PoseClassifier(StyleNetwork):
    """What can name the styles of a bundle's clips: it reads poses (N, T, V, C) of ``layout`` as they were extracted,
    and says how familiar each clip is. All that it needs is in its graph, which is ``judged``.
    """

    def __init__(self, layout: JointLayout, styles: int) -> None:
        """``styles`` K."""
        super().__init__()
        check_sizes(layout.coordinates, styles, 0.0)
        self.layout, self.styles = layout, styles

    def judged(self, frames: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Logits (N, K), and familiarity (N,): the greater, the nearer a clip is to what was learned."""
        raise NotImplementedError

    def forward(self, frames: Tensor, lengths: Tensor) -> Tensor:
        """Logits (N, K) of (N, T, V, C) poses, of which the first ``lengths`` (N,) steps are real."""
        return self.judged(frames, lengths)[0]


@torch.inference_mode()
def judge(network: PoseClassifier, clips: Sequence[StyleClip]) -> tuple[Array, Array]:
    """Logits (N, K) and familiarity (N,) of the clips; their styles are not read."""
    logits, familiarity = [np.empty((0, network.styles))], [np.empty(0)]
    for frames, lengths in padded_poses(clips):
        found = network.judged(frames, lengths)
        logits.append(found[0].double().numpy())
        familiarity.append(found[1].double().numpy())
    return np.concatenate(logits), np.concatenate(familiarity)


def padded_poses(clips: Sequence[StyleClip]) -> list[tuple[Tensor, Tensor]]:
    """Batches of float32 frames, padded with zeros, and their lengths."""
    batches = []
    for start in range(0, len(clips), _CLIPS_AT_ONCE):
        part = [torch.from_numpy(np.array(clip.frames, np.float32)) for clip in clips[start : start + _CLIPS_AT_ONCE]]
        frames = nn.utils.rnn.pad_sequence(part, batch_first=True)
        batches.append((frames, torch.tensor([len(each) for each in part])))
    return batches
