"""The rules of plausible features as docs/decisions/0029 defines them, computed in full: all pairs of steps.

Slow and apart from ``schemas.plausibility``, which takes shortcuts; only the limits are shared.
"""

import numpy as np

from schemas import plausibility as limits

Values = dict[str, float]


def pose_values(pose: np.ndarray) -> Values:
    """The value of each rule for (T, V, K) in float64; rules that need more steps or a body are left out."""
    greatest = float(np.abs(pose).max())
    size = float(np.median(np.linalg.norm(np.ptp(pose, axis=1), axis=1)))
    if not greatest or size < limits.LEAST_EXTENT * greatest:
        return {"extent": size / greatest if greatest else 0.0}
    widths = []
    for step in pose:
        axes = np.linalg.svd(step - step.mean(axis=0), compute_uv=False)
        widths.append(axes[1] / axes[0] if axes[0] else 0.0)
    values = {"extent": size / greatest, "width": float(np.median(widths))}
    if len(pose) < 4:
        return values
    distances = np.concatenate(
        [np.linalg.norm(pose - np.roll(pose, places, axis=1), axis=2) for places in (1, 2, 3)], axis=1
    )
    scale = np.sqrt((distances**2).mean(axis=1, keepdims=True))
    shape = distances / np.where(scale > 0, scale, 1)
    speeds = np.linalg.norm(np.diff(pose, axis=0), axis=2).mean(axis=1) / size
    values["movement"] = float(np.sqrt(shape.var(axis=0).mean()))
    values["speed"] = float(np.median(speeds[speeds > 0])) if speeds.any() else 0.0
    return values | repetition_values(pose.reshape(len(pose), -1))


def vector_values(frames: np.ndarray) -> Values:
    """The value of each rule for (T, C); without contrast, or without change, the further rules are left out."""
    steps = frames[:, :: max(1, frames.shape[1] // 64)].astype(np.float64)
    size = np.sqrt((steps**2).mean(axis=1))
    values = {"contrast": float(np.median(steps.std(axis=1) / np.where(size > 0, size, 1)))}
    if values["contrast"] < limits.LEAST_CONTRAST or len(steps) < 4:
        return values
    values["variation"] = float(np.sqrt(steps.var(axis=0).mean() / (size**2).mean()))
    if values["variation"] < limits.LEAST_VARIATION:
        return values
    return values | repetition_values(steps)


def repetition_values(steps: np.ndarray) -> Values:
    changes = np.linalg.norm(np.diff(steps, axis=0), axis=1)
    same = changes <= (0.1 * np.median(changes[changes > 0]) if changes.any() else 0)
    values = {"duplicates": float(same.mean())}
    kept = steps[np.concatenate([[True], ~same])]
    if values["duplicates"] > limits.LARGEST_DUPLICATES or len(kept) < 4:
        return values
    near = 0.1 * np.median(np.linalg.norm(np.diff(kept, axis=0), axis=1))
    found = [
        bool((np.linalg.norm(kept[: max(later - 1, 0)] - kept[later], axis=1) <= near).any())
        for later in range(len(kept))
    ]
    return values | {"repeats": float(np.mean(found))}


def broken(values: Values) -> set[str]:
    """The rules that ``values`` break."""
    least = {
        "extent": limits.LEAST_EXTENT,
        "width": limits.LEAST_WIDTH,
        "movement": limits.LEAST_MOVEMENT,
        "contrast": limits.LEAST_CONTRAST,
        "variation": limits.LEAST_VARIATION,
    }
    most = {
        "speed": limits.GREATEST_SPEED,
        "duplicates": limits.LARGEST_DUPLICATES,
        "repeats": limits.LARGEST_REPEATS,
    }
    too_small = {rule for rule, limit in least.items() if values.get(rule, limit) < limit}
    return too_small | {rule for rule, limit in most.items() if values.get(rule, limit) > limit}
