"""What a network makes of pictures, by other means than the graph under test."""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from extraction.models.manifest import Preparation

Arrays = dict[str, npt.NDArray[Any]]


def prepared(images: npt.NDArray[np.uint8], preparation: Preparation) -> npt.NDArray[np.float32]:
    """(N, H, W, 3) as the network expects them, computed in float64."""
    scaled = images.astype(np.float64) * preparation.scale
    return ((scaled - np.array(preparation.mean)) / np.array(preparation.std)).astype(np.float32)


def run_tflite(file: Path, inputs: npt.NDArray[np.float32]) -> Arrays:
    """Every output of a TensorFlow Lite file, by its name, one input after the other, by its own runtime."""
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    interpreter = Interpreter(
        str(file), num_threads=1, experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    )
    interpreter.allocate_tensors()
    (place,) = interpreter.get_input_details()
    rows: dict[str, list[npt.NDArray[Any]]] = {}
    for one in inputs:
        interpreter.set_tensor(place["index"], one[np.newaxis])
        interpreter.invoke()
        for output in interpreter.get_output_details():
            rows.setdefault(output["name"].split(":")[0], []).append(interpreter.get_tensor(output["index"]))
    return {name: np.concatenate(parts) for name, parts in rows.items()}


def pictures(count: int, height: int, width: int, seed: int = 0) -> npt.NDArray[np.uint8]:
    """Noise with edges of all sizes and a gradient: every colour, and no two alike."""
    generator = np.random.default_rng(seed)
    layers = []
    for cells in (2, 4, 16, height):
        coarse = generator.integers(0, 256, (count, cells, cells, 3))
        rows, columns = np.arange(height) * cells // height, np.arange(width) * cells // width
        layers.append(coarse[:, rows][:, :, columns])
    return np.clip(np.average(layers, axis=0, weights=[3, 2, 2, 1]), 0, 255).astype(np.uint8)


def difference(found: npt.NDArray[Any], expected: npt.NDArray[Any]) -> float:
    """Largest difference of an entry, relative to the largest entry."""
    flat = expected.reshape(found.shape)
    return float(np.abs(found - flat).max() / np.abs(flat).max().clip(min=np.finfo(np.float32).tiny))
