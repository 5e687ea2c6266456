"""The frame number of each image in the video, from the image's name."""

import re
from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path
from typing import Final

from vdv.errors import DataSetError

_DIGITS: Final = re.compile(r"([0-9]+)")
_SUFFIX: Final = re.compile(r"\.[A-Za-z][A-Za-z0-9]*$")
_MOST_DIGITS: Final = 18
_REMEDY: Final = "name the frames 0.jpg, 1.jpg, …"


def frame_numbers(path: Path, names: Iterable[str], rate_hz: float) -> dict[str, int]:
    """The frame number of each image of the result file ``path``.

    The number is the last one in the name that differs between the images (``00007_1080p.png`` is frame 7), or a time
    in seconds if the digits before and after a point differ (``t0.04.jpg`` is frame 1 at 25 Hz). Raises
    ``DataSetError``, naming the images, for a name without a number or with one of more than 18 digits, for two images
    with one number, and where the numbers contradict the natural order of the whole names.
    """
    pieces = {name: _DIGITS.split(_SUFFIX.sub("", name)) for name in names}  # text and digits in turn
    for name, parts in pieces.items():
        if len(parts) < 3:
            raise DataSetError(f"{path}: image {name!r} has no number; {_REMEDY}")
        longest = max(map(len, parts[1::2]))
        if longest > _MOST_DIGITS:
            raise DataSetError(
                f"{path}: image {name[:80]!r} has a number of {longest} digits, expected a frame number of at most "
                f"{_MOST_DIGITS}; {_REMEDY}"
            )
    digits = {name: parts[1::2] for name, parts in pieces.items()}
    varying: list[int] = []
    if len({tuple(parts[::2]) for parts in pieces.values()}) == 1:
        varying = [i for i, found in enumerate(zip(*digits.values(), strict=True)) if len(set(found)) > 1]
    numbers = (
        {name: _frame_at(path, name, digits[name][varying[0] :], rate_hz) for name in pieces}
        if _is_time(pieces, digits, varying)
        else {name: int(found[varying[-1] if varying else -1]) for name, found in digits.items()}
    )
    _check_order(path, {name: _natural(parts) for name, parts in pieces.items()}, numbers)
    return numbers


def _is_time(pieces: dict[str, list[str]], digits: dict[str, list[str]], varying: list[int]) -> bool:
    """Whether the differing part is a decimal number with the same number of decimals in all names."""
    if len(varying) != 2 or varying[1] != varying[0] + 1:
        return False
    whole, decimals = varying
    first = next(iter(pieces.values()))
    return first[2 * whole + 2] == "." and len({len(found[decimals]) for found in digits.values()}) == 1


def _frame_at(path: Path, name: str, time: list[str], rate_hz: float) -> int:
    frames = float(f"{time[0]}.{time[1]}") * rate_hz
    rounding = 10.0 ** -len(time[1]) * rate_hz  # of the name, to its decimals
    if abs(frames - round(frames)) > rounding + 1e-6:
        raise DataSetError(
            f"{path}: image {name!r} lies between two frames of a video with {rate_hz:g} frames per second; correct "
            f"fps, or {_REMEDY}"
        )
    return round(frames)


def _natural(parts: list[str]) -> tuple[str | int, ...]:
    return tuple(int(part) if i % 2 else part for i, part in enumerate(parts))


def _check_order(path: Path, keys: dict[str, tuple[str | int, ...]], numbers: dict[str, int]) -> None:
    by_number: dict[int, str] = {}
    for name, number in numbers.items():
        other = by_number.setdefault(number, name)
        if other != name:
            raise DataSetError(f"{path}: images {other!r} and {name!r} both have the frame number {number}; {_REMEDY}")
    for before, after in pairwise(sorted(keys, key=keys.__getitem__)):
        if numbers[before] > numbers[after]:
            raise DataSetError(
                f"{path}: image {before!r} comes before {after!r} by name, but its frame number {numbers[before]} is "
                f"greater than {numbers[after]}; {_REMEDY}"
            )
