"""The people's arithmetic once more, in plain loops: slow, and written from the papers and MediaPipe's graphs alone."""

import math

import numpy as np


def anchors() -> list[tuple[float, float]]:
    """MediaPipe's ``SsdAnchorsCalculator`` for ``pose_detection_cpu.pbtxt``: of fixed sizes, two a layer and cell."""
    strides = [8, 16, 32, 32, 32]
    result = []
    layer = 0
    while layer < len(strides):
        same = layer
        per_cell = 0
        while same < len(strides) and strides[same] == strides[layer]:
            per_cell += 2
            same += 1
        cells = math.ceil(224 / strides[layer])
        for y in range(cells):
            for x in range(cells):
                result.extend([((x + 0.5) / cells, (y + 0.5) / cells)] * per_cell)
        layer = same
    return result


def decoded(raw, logits):
    """Of one picture: a list of (score, box as x0, y0, x1, y1, four points), in units of the input's side."""
    result = []
    for (x, y), values, (logit,) in zip(anchors(), raw.tolist(), logits.tolist(), strict=True):
        centre_x, centre_y = values[0] / 224 + x, values[1] / 224 + y
        width, height = values[2] / 224, values[3] / 224
        box = (centre_x - width / 2, centre_y - height / 2, centre_x + width / 2, centre_y + height / 2)
        points = [(values[4 + 2 * k] / 224 + x, values[5 + 2 * k] / 224 + y) for k in range(4)]
        result.append((1 / (1 + math.exp(-max(-100.0, min(100.0, logit)))), box, points))
    return result


def intersection_over_union(a, b) -> float:
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    if width <= 0 or height <= 0:
        return 0.0
    area = width * height
    return area / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - area)


def weighted_nms(detections, least_score=0.5, threshold=0.3):
    """``NonMaxSuppressionCalculator`` with ``WEIGHTED``: (score, box, points) without duplicates."""
    left = sorted((each for each in detections if each[0] > least_score), key=lambda each: -each[0])
    result = []
    while left:
        best = left[0]
        near = [each for each in left if each is best or intersection_over_union(best[1], each[1]) > threshold]
        total = sum(each[0] for each in near)
        box = tuple(sum(each[0] * each[1][k] for each in near) / total for k in range(4))
        points = [
            tuple(sum(each[0] * each[2][k][axis] for each in near) / total for axis in range(2)) for k in range(4)
        ]
        result.append((best[0], box, points))
        left = [each for each in left if not any(each is other for other in near)]
    return result


def region(hips, top):
    """``AlignmentPointsRectsCalculator`` and a scale of 1.25: x, y, side, clockwise angle."""
    distance = math.sqrt((top[0] - hips[0]) ** 2 + (top[1] - hips[1]) ** 2)
    angle = math.radians(90) - math.atan2(-(top[1] - hips[1]), top[0] - hips[0])
    while angle >= math.pi:
        angle -= 2 * math.pi
    while angle < -math.pi:
        angle += 2 * math.pi
    return hips[0], hips[1], 1.25 * 2 * distance, angle


def in_picture(u, v, square, cells):
    """The pixel of the picture at (u, v) cells of the rotated ``square`` (x, y, side, angle)."""
    x, y, side, angle = square
    across, down = (u / cells - 0.5) * side, (v / cells - 0.5) * side
    return (
        x + across * math.cos(angle) - down * math.sin(angle),
        y + across * math.sin(angle) + down * math.cos(angle),
    )


def bilinear(picture, x, y):
    """(C,): between the four pixels around (x, y); black beyond the edges."""
    left, top = math.floor(x), math.floor(y)
    total = np.zeros(picture.shape[2])
    for column, row in ((left, top), (left + 1, top), (left, top + 1), (left + 1, top + 1)):
        if 0 <= column < picture.shape[1] and 0 <= row < picture.shape[0]:
            total += (1 - abs(x - column)) * (1 - abs(y - row)) * picture[row, column]
    return total


def crop(picture, square, cells):
    """(cells, cells, C) of the rotated ``square``, as floats."""
    result = np.zeros((cells, cells, picture.shape[2]))
    for v in range(cells):
        for u in range(cells):
            result[v, u] = bilinear(picture, *in_picture(u, v, square, cells))
    return result


def letterboxed(picture):
    """(224, 224, 3) with the picture in the middle, each value the mean over the area of its cell, and the side and
    offset that lead back to the picture's pixels.
    """
    height, width = picture.shape[:2]
    side = max(height, width)

    def shares(length):
        """(224, length): how much of each cell is covered by each pixel."""
        begin = (np.arange(224) * side / 224 - (side - length) / 2)[:, None]
        pixel = np.arange(length)[None, :]
        covered = np.minimum(begin + side / 224, pixel + 1) - np.maximum(begin, pixel)
        return np.clip(covered, 0, None) * 224 / side

    mean = np.einsum("yh,xw,hwc->yxc", shares(height), shares(width), picture.astype(np.float64), optimize=True)
    return np.round(mean).astype(np.uint8), float(side), ((side - width) / 2, (side - height) / 2)


def crop_at_once(picture, square, cells):
    """``crop`` of many cells: the same sums with NumPy's indices, rounded to whole colours."""
    v, u = np.mgrid[:cells, :cells].astype(np.float64)
    x, y, side, angle = square
    across, down = (u / cells - 0.5) * side, (v / cells - 0.5) * side
    at_x = x + across * math.cos(angle) - down * math.sin(angle)
    at_y = y + across * math.sin(angle) + down * math.cos(angle)
    left, top = np.floor(at_x).astype(int), np.floor(at_y).astype(int)
    padded = np.zeros((picture.shape[0] + 2, picture.shape[1] + 2, 3))
    padded[1:-1, 1:-1] = picture
    total = np.zeros((cells, cells, 3))
    for right in (0, 1):
        for below in (0, 1):
            column = np.clip(left + right + 1, 0, padded.shape[1] - 1)
            row = np.clip(top + below + 1, 0, padded.shape[0] - 1)
            weight = (1 - np.abs(at_x - (left + right))) * (1 - np.abs(at_y - (top + below)))
            total += weight[..., None] * padded[row, column]
    return np.round(total).astype(np.uint8)


def follow(detect, locate, pictures, square=None):
    """The landmarks (33, 4) of the surest person of the first picture in each picture, and the side of the square.

    ``detect`` and ``locate`` run the networks on one picture of floats in [-1, 1] and [0, 1], and return their outputs:
    offsets and logits; points, presence and the mask's logits. Ends where the person is lost. ``square``: that of the
    first picture, which is then not looked for.
    """
    for picture in pictures:
        if square is None:
            fitted, side, offset = letterboxed(picture)
            raw, logits = detect(fitted.astype(np.float32) / 127.5 - 1)
            _, _, points = weighted_nms(decoded(raw, logits))[0]
            hips, top = ((x * side - offset[0], y * side - offset[1]) for x, y in points[:2])
            square = region(hips, top)
        cells, presence, _ = locate(crop_at_once(picture, square, 256).astype(np.float32) / 255)
        if presence <= 0.5:
            return
        landmarks = np.zeros((33, 4))
        for number in range(33):
            landmarks[number, :2] = in_picture(cells[number][0], cells[number][1], square, 256)
            landmarks[number, 2] = 1 / (1 + math.exp(-cells[number][3]))
            landmarks[number, 3] = 1 / (1 + math.exp(-cells[number][4]))
        yield landmarks, square[2]
        square = region(in_picture(*cells[33][:2], square, 256), in_picture(*cells[34][:2], square, 256))


def pose(landmarks):
    """MPII's sixteen joints, (16, 2), by the names of the points."""

    def middle(*numbers):
        return sum(landmarks[number, :2] for number in numbers) / len(numbers)

    thorax, ears, nose = middle(11, 12), middle(7, 8), middle(0)
    way = ears - thorax
    width = math.hypot(math.dist(landmarks[7, :2], landmarks[8, :2]), math.dist(nose, ears))
    legs = [middle(number) for number in (28, 26, 24, 23, 25, 27)]
    trunk = [middle(23, 24), thorax, thorax + way / 2, ears + 1.25 * width * way / math.hypot(*way)]
    return np.array([*legs, *trunk, *(middle(number) for number in (16, 14, 12, 11, 13, 15))])
