"""A detector that sees red squares with a green and a blue eye as faces, and pictures that hold such."""

import numpy as np

from extraction.faces.detection import anchors
from tests.extraction.made_networks import MadeNetwork

SIDE = 192
RED, GREEN, BLUE = (220, 30, 30), (20, 250, 20), (20, 20, 250)


def draw_face(image, x, y, side, turned=0.0):
    """A face with its middle at x, y; eyes a quarter of the side from it, above, turned clockwise by radians."""
    rows, columns = np.mgrid[: image.shape[0], : image.shape[1]] + 0.5
    image[(abs(columns - x) < side / 2) & (abs(rows - y) < side / 2)] = RED
    for across, colour in ((-0.25, GREEN), (0.25, BLUE)):
        dx, dy = across * side, -0.15 * side
        eye_x = x + dx * np.cos(turned) - dy * np.sin(turned)
        eye_y = y + dx * np.sin(turned) + dy * np.cos(turned)
        image[(columns - eye_x) ** 2 + (rows - eye_y) ** 2 < (side / 10) ** 2] = colour


def red_squares():
    """The detector: one face for each separate run of red columns that is at least 12 pixels wide in its input."""
    centres = anchors(SIDE)

    def outputs(images):
        boxes = np.zeros((len(images), len(centres), 16), np.float32)
        scores = np.full((len(images), len(centres), 1), -20, np.float32)
        for number, image in enumerate(images):
            wide = image.astype(int)
            face = (wide.max(axis=-1) > 200) & (wide.sum(axis=-1) < 450)
            edges = np.flatnonzero(np.diff(np.r_[False, face.any(axis=0), False].astype(int)))
            for left, right in edges.reshape(-1, 2):
                if right - left >= 12:
                    rows = np.flatnonzero(face[:, left:right].any(axis=1))
                    placed(wide, boxes[number], scores[number], left, right, rows[0], rows[-1] + 1)
        return {"boxes": boxes, "scores": scores}

    def placed(image, boxes, scores, left, right, top, bottom):
        part = image[top:bottom, left:right]
        points = [((left + right) / 2, (top + bottom) / 2), (right - left, bottom - top)]
        for channel in (1, 2):
            y, x = np.nonzero((part[..., channel] > 150) & (part[..., 3 - channel] < 100))
            points.append((x.mean() + left + 0.5, y.mean() + top + 0.5) if len(x) else points[0])
        points += [points[0]] * 4
        nearest = np.argmin(((centres * SIDE - points[0]) ** 2).sum(axis=1))
        values = np.array(points) - centres[nearest] * SIDE
        values[1] = points[1]
        boxes[nearest], scores[nearest] = values.ravel(), 4.0

    return MadeNetwork("red-squares", SIDE, outputs, {"boxes": (2304, 16), "scores": (2304, 1)})
