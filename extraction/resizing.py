"""Pictures of another size."""

import cv2
import numpy as np
import numpy.typing as npt

Image = npt.NDArray[np.uint8]


def resized(image: Image, height: int, width: int) -> Image:
    """(height, width, 3): an image (H, W, 3) scaled, by means over areas where it shrinks and bilinearly elsewhere."""
    shrinks = height * width < image.shape[0] * image.shape[1]
    method = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(np.ascontiguousarray(image), (width, height), interpolation=method), np.uint8)


__all__ = ["resized"]
