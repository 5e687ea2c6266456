"""Holes of a picture, filled smoothly from around them."""

import cv2
import numpy as np
import numpy.typing as npt

Image = npt.NDArray[np.uint8]
Mask = npt.NDArray[np.bool_]
Float32 = npt.NDArray[np.float32]


def fill_holes(image: Image, missing: Mask) -> Image:
    """``image`` (H, W, 3) with the pixels that are ``missing``, (H, W), filled by pull and push: means of what is there
    over squares of 2, 4, 8 … pixels, and each missing pixel from the smallest square that has any, interpolated
    bilinearly (S. J. Gortler et al., "The Lumigraph", SIGGRAPH 1996, Section 3.4). Without any pixel it stays as it is.
    """
    if not missing.any() or missing.all():
        return image
    weight = (~missing).astype(np.float32)
    weighted: Float32 = image.astype(np.float32) * weight[..., None]
    filled = image.copy()
    filled[missing] = np.rint(_from_coarse(weighted, weight)[missing]).clip(0, 255).astype(np.uint8)
    return filled


def _filled(weighted: Float32, weight: Float32) -> Float32:
    """Colours (H, W, 3) of all pixels, from colours times weights; weights are 0 to 1."""
    known = weight > 0
    colours: Float32 = weighted / np.maximum(weight, np.float32(1e-30)).astype(np.float32)[..., None]
    return colours if known.all() else np.where(known[..., None], colours, _from_coarse(weighted, weight))


def _from_coarse(weighted: Float32, weight: Float32) -> Float32:
    """Colours (H, W, 3) that are interpolated from the means over squares of 2 pixels."""
    height, width = weight.shape
    half = (height + 1) // 2, (width + 1) // 2
    coarse = _filled(_scaled(weighted, *half, cv2.INTER_AREA), _scaled(weight, *half, cv2.INTER_AREA))
    return _scaled(coarse, height, width, cv2.INTER_LINEAR)


def _scaled(values: Float32, height: int, width: int, method: int) -> Float32:
    scaled = np.asarray(cv2.resize(values, (width, height), interpolation=method), np.float32)
    return scaled.reshape(height, width, *values.shape[2:])


__all__ = ["fill_holes"]
