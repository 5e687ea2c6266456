"""Features of a network for each step of a clip, one NumPy array in a file. Legend: T steps."""

from pathlib import Path

import numpy as np
import numpy.typing as npt

from schemas.escaping import shortened
from vdv.errors import DataSetError, Finding, refusal


def read_steps(path: Path, width: int, *, owner: str, fewest: int = 1) -> npt.NDArray[np.float32]:
    """(T, ``width``) of one ``.npy`` file; nothing is unpickled. Axes of length one after the width, as pooling leaves
    them, are dropped.

    ``owner`` says whose features they are, for messages. Raises ``DataSetError`` naming the file for one that is absent
    or not an array of finite numbers, of another width, or of fewer than ``fewest`` steps.
    """

    def refused(problem: str, remedy: str) -> DataSetError:
        return refusal([Finding(path, f"{owner}: {problem}", remedy)])

    try:
        array = np.load(path, allow_pickle=False)
    except OSError as error:
        reason = error.strerror or str(error)
        raise refused(f"cannot be read ({reason})", "extract the features, or leave the clip out") from error
    except (ValueError, EOFError, MemoryError) as error:
        raise refused(f"is not a NumPy array ({shortened(str(error))})", "extract the features again") from error
    if not isinstance(array, np.ndarray) or array.dtype.kind not in "fiu":
        raise refused("does not hold numbers", "extract the features again")
    if array.ndim > 2 and array.shape[2:] == (1,) * (array.ndim - 2):
        array = array.reshape(array.shape[:2])
    if array.ndim != 2 or array.shape[1] != width or len(array) < fewest:
        remedy = f"extract them with the network that gives {width}"
        raise refused(f"has shape {array.shape}, expected (T ≥ {fewest}, {width})", remedy)
    with np.errstate(over="ignore"):
        narrow: npt.NDArray[np.float32] = array.astype(np.float32)
    if not np.isfinite(narrow).all():
        raise refused("holds values that are not finite as float32", "extract the features again")
    return narrow
