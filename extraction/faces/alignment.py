"""A face set upright by its eyes."""

from typing import Final

import cv2
import numpy as np
import numpy.typing as npt

from extraction.faces.detection import Face

ENLARGED: Final = 1.4
"""The square that is cut out has this times the longer side of the detector's box: hair and chin belong to a face."""

Image = npt.NDArray[np.uint8]


def aligned(image: Image, face: Face, height: int, width: int) -> Image:
    """(height, width, 3): the square around a face, turned about the middle of its box until the eyes are level. What
    lies beyond the picture repeats its border.
    """
    eyes = face.points[1] - face.points[0]
    length = float(np.hypot(*eyes))
    cosine, sine = (float(eyes[0]) / length, float(eyes[1]) / length) if length > 0 else (1.0, 0.0)
    scale = ENLARGED * max(face.side, 1.0)
    across, down = scale / width, scale / height
    # From the middles of the output's pixels to the picture: scaled, turned, moved to the middle of the box.
    from_output = np.array([[across * cosine, -down * sine, 0], [across * sine, down * cosine, 0]])
    middle = np.array([(width - 1) / 2, (height - 1) / 2])
    from_output[:, 2] = np.array(face.middle) - 0.5 - from_output[:, :2] @ middle
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    turned = cv2.warpAffine(image, from_output, (width, height), flags=flags, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(turned, np.uint8)


__all__ = ["aligned"]
