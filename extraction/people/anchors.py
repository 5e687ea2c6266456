"""Anchors of the pose detector's single-shot grid, and the decoding of its output.

Source: MediaPipe 0.10.21, ``pose_detection_cpu.pbtxt`` (``SsdAnchorsCalculator``, ``TensorsToDetectionsCalculator``).
Legend: N pictures, A anchors (2,254), K points of a detection (4).
"""

from typing import Final

import numpy as np

from extraction.people.logits import sigmoid
from schemas.ports import Float32

INPUT_SIZE: Final = 224
"""Pixels of the detector's square input."""
STRIDES: Final = (8, 16, 32, 32, 32)
"""Layers of the grid. A cell has two anchors for each layer of its stride, all at the middle of the cell."""
POINTS: Final = 4
"""Middle of the hips, top of the circle around the whole body, middle of the shoulders, top of the upper body's."""


def anchor_centres() -> Float32:
    """(A, 2): x, y of the anchors, in units of the input's side. Layers of one stride share their cells."""
    layers = []
    for stride in sorted(set(STRIDES)):
        cells = INPUT_SIZE // stride
        row, column = np.divmod(np.arange(cells * cells), cells)
        centres = np.stack([column + 0.5, row + 0.5], axis=1) / cells
        layers.append(np.repeat(centres, 2 * STRIDES.count(stride), axis=0))
    return np.concatenate(layers).astype(np.float32)


def decode(raw: Float32, logits: Float32, centres: Float32) -> tuple[Float32, Float32]:
    """Boxes and points, (N, A, 2 + K, 2), in units of the input's side, and scores (N, A) in [0, 1].

    ``raw``: (N, A, 4 + 2 K) offsets from the anchors in pixels of the input: x, y of the middle, width and height of
    the face's box, then the points. ``logits``: (N, A, 1). Of the boxes the first two rows are the corners x0, y0 and
    x1, y1.
    """
    values = raw.reshape(*raw.shape[:2], -1, 2) / np.float32(INPUT_SIZE)
    middle, half = values[:, :, 0] + centres, values[:, :, 1] / 2
    points = values[:, :, 2:] + centres[:, None]
    placed = np.concatenate([(middle - half)[:, :, None], (middle + half)[:, :, None], points], axis=2)
    return placed, sigmoid(logits[..., 0])
