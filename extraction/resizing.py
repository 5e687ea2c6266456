"""Pictures of another size."""

from typing import Final, NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from extraction import kernels

LARGEST_RATIO: Final = 4 / 3
"""Of the longer side to the shorter one, in what a network of single pictures sees."""

Image = npt.NDArray[np.uint8]


def resized(image: Image, height: int, width: int) -> Image:
    """(height, width, 3): an image (H, W, 3) scaled. If it is at least twice as large, means over squares of 2, 3 or
    more pixels come first; the rest is bilinear.
    """
    rows, columns, _ = image.shape
    times = max(1, min(rows // height, columns // width))
    if times > 1:
        image = _averaged(image, times)
    return np.asarray(cv2.resize(image, (width, height), interpolation=cv2.INTER_LINEAR), np.uint8)


def _averaged(image: Image, times: int) -> Image:
    """Means over squares of ``times`` × ``times`` pixels of an image (H, W, 3), without what is left over."""
    height, width = image.shape[0] // times, image.shape[1] // times
    if times == 2 or times > kernels.MOST_ROWS:  # OpenCV is as fast
        whole = image[: height * times, : width * times]
        return np.asarray(cv2.resize(whole, (width, height), interpolation=cv2.INTER_AREA), np.uint8)
    means = np.empty((height, width, 3), np.uint8)
    rows = np.ascontiguousarray(image).reshape(len(image), -1)
    kernels.average_squares(rows, times, np.empty(3 * width * times, np.uint16), means.reshape(height, -1))
    return means


class Crop(NamedTuple):
    """A part of a picture, in pixels."""

    top: int
    left: int
    height: int
    width: int

    def of(self, image: Image) -> Image:
        """The part of ``image`` (H, W, 3), a view."""
        return image[self.top : self.top + self.height, self.left : self.left + self.width]


def crop_of(image: Image) -> Crop:
    """As much of a picture (H, W, 3) as networks of ImageNet are trained to see squeezed into their input: all of it up
    to a ratio of 4:3, else the middle of the longer side (the largest crop of their training, torchvision's
    ``RandomResizedCrop``).
    """
    rows, columns = image.shape[:2]
    kept_rows = min(rows, round(columns * LARGEST_RATIO))
    kept_columns = min(columns, round(rows * LARGEST_RATIO))
    return Crop((rows - kept_rows) // 2, (columns - kept_columns) // 2, kept_rows, kept_columns)


def fitted(image: Image, height: int, width: int) -> Image:
    """(height, width, 3): ``crop_of`` a picture (H, W, 3), scaled."""
    return resized(crop_of(image).of(image), height, width)


__all__ = ["Crop", "crop_of", "fitted", "resized"]
