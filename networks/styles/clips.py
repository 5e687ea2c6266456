"""Labelled clips of dances: what is checked before anything learns from them, and how they are divided.

Legend: N clips, T time steps.
"""

import warnings
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.model_selection import StratifiedGroupKFold
from torch import Tensor

from networks.errors import UnusableSamples

SHARES: Final = (0.8, 0.1, 0.1)
"""Of training, validation and test, counted in videos (Bendit-Shtull et al. 2020, Section 4)."""

FEWEST_FRAMES: Final = 2


class StyleClip(NamedTuple):
    """A clip and its ``style``. Clips of one ``group``, a video or a recording, stay on one side of every division;
    ``frames`` (T, …)."""

    name: str
    group: str
    style: str
    frames: NDArray[np.floating]


class Split(NamedTuple):
    """Indices of clips."""

    train: list[int]
    validation: list[int]
    test: list[int]


class Batch(NamedTuple):
    """Padded frames (N, T, …), their lengths (N,), and the styles as indices (N,)."""

    frames: Tensor
    lengths: Tensor
    styles: Tensor


def styles_of(clips: Sequence[StyleClip]) -> list[str]:
    """The styles, sorted: index k is class k. Raises ``UnusableSamples`` naming the first clip that cannot be used.

    Refused are: no clip, one style only, a style that is empty or has spaces around it (it would be another style),
    fewer than two frames, frames of another shape than the first clip's, and values that are not finite.
    """
    if not clips:
        raise UnusableSamples("there is no clip to tell styles apart with", field="style")
    for row, clip in enumerate(clips, start=1):
        where = f"clip {row} ({clip.name})"
        if clip.style != clip.style.strip() or not clip.style:
            raise UnusableSamples(
                f"{where}: the style {clip.style!r} has to be a name without spaces around it; correct it",
                field="style",
            )
        if len(clip.frames) < FEWEST_FRAMES:
            raise UnusableSamples(
                f"{where} has {len(clip.frames)} frames, fewer than {FEWEST_FRAMES}; leave it out, or sub-sample less",
                field="frames",
            )
        if clip.frames.shape[1:] != clips[0].frames.shape[1:]:
            raise UnusableSamples(
                f"{where} has frames of shape {clip.frames.shape[1:]}, clip 1 has {clips[0].frames.shape[1:]}; extract "
                "both alike",
                field="frames",
            )
        if not np.isfinite(clip.frames).all():
            raise UnusableSamples(
                f"{where} holds values that are not finite; fill missing joints first, or leave it out", field="frames"
            )
    styles = sorted({clip.style for clip in clips})
    if len(styles) == 1:
        raise UnusableSamples(
            f"all {len(clips)} clips are of the style {styles[0]!r}; there is nothing to tell apart", field="style"
        )
    return styles


def split_by_group(clips: Sequence[StyleClip], *, seed: int = 0, shares: tuple[float, float, float] = SHARES) -> Split:
    """Training, validation and test clips, drawn group by group within every style.

    A style with few groups fills training first. Raises ``UnusableSamples`` if groups mix styles so that a style has no
    training clip, or if a part is empty.
    """
    parts: dict[str, int] = {}
    generator = np.random.default_rng(seed)
    for style in styles_of(clips):
        groups = sorted({clip.group for clip in clips if clip.style == style} - set(parts))
        held = [round(share * len(groups)) for share in shares[1:]]
        for place, group in enumerate(generator.permutation(groups).tolist()):
            parts[group] = 1 if place < held[0] else 2 if place < sum(held) else 0
    split = Split(*([row for row, clip in enumerate(clips) if parts[clip.group] == part] for part in range(3)))
    for name, rows in split._asdict().items():
        if not rows:
            raise UnusableSamples(
                f"the {name} part is empty: {len(parts)} videos are too few to divide; add videos, or use folds",
                field="split",
            )
    check_training(clips, split.train)
    return split


def folds_by_group(clips: Sequence[StyleClip], folds: int, *, seed: int = 0) -> list[tuple[list[int], list[int]]]:
    """Training and held-out clips of each fold; a group is held out whole, styles are spread over the folds.

    Raises ``UnusableSamples`` if there are fewer groups than folds, or if a style has no training clip in a fold.
    """
    names = styles_of(clips)
    styles, groups = [clip.style for clip in clips], [clip.group for clip in clips]
    most = min(len(set(groups)), max(Counter(styles).values()))
    if not 2 <= folds <= most:
        raise UnusableSamples(
            f"{len(set(groups))} recordings of {len(clips)} clips do not make {folds} folds; give 2 to {most}",
            field="folds",
        )
    for style in names:
        recordings = {clip.group for clip in clips if clip.style == style}
        if len(recordings) == 1:
            raise UnusableSamples(
                f"there is one recording of the style {style!r} only, {recordings.pop()}; held out, it leaves no "
                "training clip of it: add recordings, or leave the style out",
                field="style",
            )
    drawn = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # a style with fewer clips than folds is absent from some
        for train, test in StratifiedGroupKFold(folds, shuffle=True, random_state=seed).split(clips, styles, groups):
            check_training(clips, train.tolist())
            drawn.append((train.tolist(), test.tolist()))
    return drawn


def check_training(clips: Sequence[StyleClip], train: Iterable[int]) -> None:
    """Raise ``UnusableSamples`` naming the styles that no clip of ``train`` shows."""
    seen = Counter(clips[row].style for row in train)
    absent = sorted({clip.style for clip in clips} - set(seen))
    if absent:
        raise UnusableSamples(
            f"no training clip shows the style {absent[0]!r}; add recordings of it, leave the style out, or draw the "
            "parts again",
            field="style",
        )


def batches(clips: Sequence[StyleClip], styles: Sequence[str], size: int) -> Iterator[Batch]:
    """Padded batches of ``size`` clips in the given order."""
    for start in range(0, len(clips), size):
        yield collate(clips[start : start + size], styles)


def collate(clips: Sequence[StyleClip], styles: Sequence[str]) -> Batch:
    """Pad ``clips`` to a float32 batch."""
    frames: NDArray[Any] = np.zeros(
        (len(clips), max(len(clip.frames) for clip in clips), *clips[0].frames.shape[1:]), np.float32
    )
    for row, clip in enumerate(clips):
        frames[row, : len(clip.frames)] = clip.frames
    lengths = torch.tensor([len(clip.frames) for clip in clips])
    return Batch(torch.from_numpy(frames), lengths, torch.tensor([styles.index(clip.style) for clip in clips]))
