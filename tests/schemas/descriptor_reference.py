"""The descriptors of docs/decisions/0029, one value after the other. Slow and apart from ``schemas.descriptors``."""

import math

import numpy as np

SMALLEST = 1e-12


def log(value: float) -> float:
    return math.log(max(value, SMALLEST))


def rms(vectors: np.ndarray) -> float:
    """Root mean square length of the vectors in the last axis; 0 of none."""
    return math.sqrt((vectors**2).sum(axis=-1).mean()) if vectors.size else 0.0


def pose_descriptors(pose: np.ndarray, typical: np.ndarray) -> dict[str, float]:
    """Of (T, V, K) in float64."""
    centre = pose.mean(axis=1)
    centred = pose - centre[:, None]
    radius = np.sqrt((centred**2).sum(axis=2).mean(axis=1))
    size = float(np.median(radius**2)) ** 0.5
    some = pose[:: max(1, len(pose) // 64)]
    shapes = []
    for step in some:
        distances = [np.linalg.norm(step[v] - step[v - places]) for places in (1, 2, 3) for v in range(len(step))]
        shapes.append(np.array(distances) / math.sqrt(np.mean(np.square(distances))))
    axes = np.linalg.svd(centred.reshape(-1, pose.shape[2]), compute_uv=False)
    speed = rms(np.diff(pose, axis=0))
    mean = centred.mean(axis=0)
    return {
        "movement": log(math.sqrt(np.var(shapes, axis=0).mean())),
        "speed": log(speed / size),
        "jerk": log(rms(np.diff(pose, n=2, axis=0)) / max(speed, SMALLEST)),
        "width": log(axes[1] / axes[0]),
        "travel": log(rms(centre - centre.mean(axis=0)) / size),
        "breadth": log(radius.std() / size),
        "typical pose": log(1.001 - float(mean.ravel() @ typical) / max(float(np.linalg.norm(mean)), SMALLEST)),
        "spread": log(rms(centred - mean) / size),
    }


def sampled(steps: int, channels: int) -> list[tuple[int, int]]:
    """The (step, channel) whose values are looked at: all, or of more than 2^16 a part, another in each step."""
    parts = 1
    while steps * channels > parts * 2**16 and parts < 16 and channels % (2 * parts) == 0:
        parts *= 2
    looked_at = steps if parts == 1 or steps <= parts else (steps - 1) // parts * parts
    width = channels // (parts if looked_at < steps else 1)
    return [
        (t, c)
        for t in range(looked_at)
        for c in range(t % (channels // width) * width, t % (channels // width) * width + width)
    ]


def vector_descriptors(frames: np.ndarray, typical: np.ndarray) -> dict[str, float]:
    """Of (T, C) in float64."""
    steps, channels = frames.shape
    mean = frames.mean(axis=0)
    at = sampled(steps, channels)
    values = np.array([frames[t, c] for t, c in at])
    changes = np.array([frames[t + 1, c] - frames[t, c] for t, c in at if t + 1 < steps])
    power = (frames**2).mean()
    variance = frames.var(axis=0).mean() * steps / max(steps - 1, 1)
    still = max((mean**2).mean() - variance / steps, SMALLEST)
    size = math.sqrt(power)
    change = (changes**2).mean() if changes.size else 0.0
    return {
        "size": log(size),
        "mean": mean.mean() / size,
        "variation": log(math.sqrt(variance) / size),
        "jerk": log(math.sqrt(change / max(2 * variance, SMALLEST))),
        "share of zeros": (values <= 0).mean(),
        "tail": log((values**4).mean() / power**2),
        "typical vector": float(mean @ typical) / math.sqrt(still * channels),
        "spread": log(math.sqrt(max(mean.var() - variance / steps, 0.0)) / size),
    }
