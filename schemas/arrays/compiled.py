"""Functions that Numba compiles to machine code once for a machine: the next process reads the result from the disk."""

import logging
from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba

log = logging.getLogger(__name__)

F = TypeVar("F", bound=Callable[..., Any])


def compiled(*signatures: str) -> Callable[[F], F]:
    """Compile the function for the types of ``signatures``, in Numba's notation, while its module is imported.

    It runs without the interpreter lock, and takes sums in any order, which vectors need; NaN and infinity keep their
    meaning. Machine code is kept beside the source, in the user's cache, or in ``NUMBA_CACHE_DIR``; where none of them
    can be written, each process compiles again, which is logged.
    """

    def compile_it(function: F) -> F:
        try:
            return _compiled(function, signatures, cache=True)
        except (OSError, RuntimeError) as error:  # no folder to write to, or a full disk
            log.warning("%s is compiled in each process (%s); set NUMBA_CACHE_DIR", function.__name__, error)
            return _compiled(function, signatures, cache=False)

    return compile_it


def _compiled(function: F, signatures: tuple[str, ...], *, cache: bool) -> F:
    compile_it = numba.njit(
        [*signatures], cache=cache, nogil=True, error_model="numpy", fastmath={"reassoc", "contract", "nsz"}
    )
    return cast(F, compile_it(function))
