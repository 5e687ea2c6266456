"""The points and the mask of one person, by the landmark network (BlazePose GHUM; Grishchenko et al. 2022).

Legend: N crops, P points that the network gives (39), S side of its input (256), H, W height and width of a picture.
"""

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

import numpy as np

from extraction.frames import Image
from extraction.networks import Network, run_first
from extraction.people.logits import sigmoid
from extraction.people.region import Region, region_between
from schemas.ports import Float32

INPUT_SIZE: Final = 256
POINTS: Final = 33
"""BlazePose's points of the body; two more say where the next frame's region is."""

_HIPS, _TOP = 33, 34

FOLLOWED_BY: Final = ("landmarks", "presence")
"""The network's outputs that the next frame's region follows from."""
MASK: Final = "mask"


class Body(NamedTuple):
    """One person in one picture.

    ``landmarks``: (33, 4) x, y in pixels of the picture, visibility and presence in [0, 1]; ``presence`` in [0, 1]:
    that the region shows a person at all; ``next_region``: where the points say that the body is; ``mask``: (S, S) over
    ``region``, logits of the probability that the person is seen, or what computes them.
    """

    landmarks: Float32
    presence: float
    region: Region
    next_region: Region
    mask: Float32 | Callable[[], Float32]


class LandmarkNetwork:
    """Finds the points of the person in a region."""

    def __init__(self, network: Network) -> None:
        self._network = network

    def locate(self, images: Sequence[Image], regions: Sequence[Region]) -> list[Body]:
        """The body in one region of each picture. They run as one batch."""
        crops = [region.crop(image, INPUT_SIZE) for image, region in zip(images, regions, strict=True)]
        outputs, rest = run_first(self._network, np.stack(crops))

        def mask(number: int) -> Float32 | Callable[[], Float32]:
            return outputs[MASK][number] if MASK in outputs else lambda: rest()[MASK][number]

        return [
            body_of(outputs["landmarks"][number], float(outputs["presence"][number, 0]), mask(number), region)
            for number, region in enumerate(regions)
        ]


def body_of(points: Float32, presence: float, mask: Float32 | Callable[[], Float32], region: Region) -> Body:
    """``points``: (P, 5) x, y, z in cells of the region, logits of visibility and presence; ``mask``: (S, S) logits,
    or what computes them.
    """
    matrix = region.to_picture(INPUT_SIZE)
    placed = points[:, :2] @ matrix[:, :2].T + matrix[:, 2]
    landmarks = np.concatenate([placed[:POINTS], sigmoid(points[:POINTS, 3:])], axis=1)
    return Body(landmarks, presence, region, region_between(placed[_HIPS], placed[_TOP]), mask)
