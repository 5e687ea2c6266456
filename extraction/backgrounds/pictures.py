"""Pictures of the background, four in a second, without the dancer.

Legend: H, W of ``Frame.image``; h, w of the pictures, whose longer side is at most ``LONGEST_SIDE``.
"""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Final, NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from extraction.backgrounds.filling import fill_holes
from extraction.backgrounds.medians import median_of_allowed
from extraction.backgrounds.methods import BackgroundMethod
from extraction.backgrounds.vibe import RADIUS, ViBe
from extraction.frames import FRAME_RATE_HZ, Frame, VideoProperties
from extraction.resizing import resized
from extraction.streams import Person
from schemas.modalities import Modality

LONGEST_SIDE: Final = 256
WINDOW_FRAMES: Final = 120
"""The paper's sliding window."""
MEDIAN_FRAMES: Final = 8
"""The median takes an image every so many frames of its window."""
LEAST_PROBABILITY: Final = 0.2
"""Where the mask exceeds it the person may be, and nothing is learned."""
MARGIN: Final = 0.025
"""By this share of the longer side the mask is dilated: limbs that move fast leave it, and shadows lie beside it."""
LATE_FRAMES: Final = 12
"""So many frames with nobody before one with a dancer: there the tracker has found the dancer late."""
STAYED_SHARE: Final = 0.6
"""Likewise if more of what the mask covers looks as it did while nobody was seen."""
CUT_SHARE: Final = 0.3
"""If less of what is visible fits to the model, the picture shows another scene."""

Image = npt.NDArray[np.uint8]
Mask = npt.NDArray[np.bool_]


class BackgroundPicture(NamedTuple):
    """The background at ``time_s``. ``image``: (h, w, 3) uint8, RGB; ``unseen``: (h, w), what no frame of the window
    showed, and was filled from around it.
    """

    time_s: float
    image: Image
    unseen: Mask


class Backgrounds:
    """Makes the pictures of one video while its frames come: picture k shows the background at k/4 seconds."""

    def __init__(self, method: BackgroundMethod, seed: int) -> None:
        self._method = method
        self._seed = seed
        self._model: _ViBePictures | _MedianPictures | None = None

    def add(self, frames: Sequence[Frame], people: Sequence[Person | None]) -> list[BackgroundPicture]:
        """The pictures that the next frames complete, in order. A person's mask forbids to learn from its pixels."""
        pictures: list[BackgroundPicture] = []
        for frame, person in zip(frames, people, strict=True):
            image = small(frame.image)
            if self._model is None:
                vibe = self._method == "vibe"
                height, width, _ = image.shape
                self._model = _ViBePictures(height, width, self._seed) if vibe else _MedianPictures()
            forbidden = forbidden_by(person, image.shape[0], image.shape[1])
            pictures += self._model.add(frame.index, image, forbidden, seen=person is not None)
        return pictures

    def finish(self) -> list[BackgroundPicture]:
        """The last pictures, which wait for frames that do not come."""
        return list(self._model.finish()) if self._model else []


def open_backgrounds(method: BackgroundMethod) -> Callable[[VideoProperties], Backgrounds]:
    """Backgrounds of a video, whose random numbers follow from the video's bytes."""
    return lambda properties: Backgrounds(method, seed=int(properties.sha256[:16] or "0", 16))


def forbidden_by(person: Person | None, height: int, width: int) -> Mask:
    """(h, w): where the person may be; nowhere without one."""
    if person is None:
        return np.zeros((height, width), np.bool_)
    radius = max(1, round(MARGIN * max(height, width)))
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1))
    covered = (person.mask_at(height, width) > LEAST_PROBABILITY).astype(np.uint8)
    return cv2.dilate(covered, disc).astype(np.bool_)


def small(image: Image) -> Image:
    """(h, w, 3): a frame at the size of the pictures."""
    height, width = image.shape[:2]
    scale = min(1.0, LONGEST_SIDE / max(height, width))
    return image if scale == 1 else resized(image, max(1, round(height * scale)), max(1, round(width * scale)))


def _due(number: int) -> int:
    """The first frame at or after the time of a picture."""
    return -int(-number * FRAME_RATE_HZ // Modality.SCENIC.rate_hz)


class _Waiting(NamedTuple):
    number: int
    image: Image
    unseen: Mask


class _ViBePictures:
    """The latest value of each pixel that ViBe took for background: samples come from neighbours too, and their median
    is ragged at edges. What the person has covered until a picture's time is taken from the next ``WINDOW_FRAMES``
    frames.

    The model forgets pixels that were visible and have not fitted it within a window, and at a cut all of them; and the
    dancer, where it learned them before the tracker found them. Therefore a picture waits until a dancer is seen.
    """

    def __init__(self, height: int, width: int, seed: int) -> None:
        self._vibe = ViBe(height, width, seed)
        self._visible = np.zeros((height, width), np.bool_)
        self._fitted = np.zeros((height, width), np.bool_)
        self._unguarded = np.zeros((height, width), np.bool_)
        self._seen_at = -1
        self._next = 0
        self._waiting: deque[_Waiting] = deque()

    def add(self, index: int, image: Image, forbidden: Mask, *, seen: bool) -> Iterator[BackgroundPicture]:
        if seen:
            self._forget_dancer(index, image, forbidden)
            self._seen_at = index
            self._unguarded[:] = False
        known = self._vibe.known.copy()
        compared = known & ~forbidden
        background = self._vibe.update(image, forbidden)
        if np.count_nonzero(background & compared) < CUT_SHARE * np.count_nonzero(compared):
            yield from self.finish()
            self._vibe.forget(np.ones_like(forbidden))
            self._vibe.update(image, forbidden)
        if not seen:
            self._unguarded |= background & ~known
        self._visible |= ~forbidden
        self._fitted |= background
        if (index + 1) % WINDOW_FRAMES == 0:
            self._vibe.forget(self._visible & ~self._fitted)
            self._visible[:] = self._fitted[:] = False
        while _due(self._next) <= index:
            self._waiting.append(_Waiting(self._next, self._vibe.latest, ~self._vibe.known))
            self._next += 1
        while self._waiting and self._ready(self._waiting[0], index):
            yield self._completed(self._waiting.popleft())

    def finish(self) -> Iterator[BackgroundPicture]:
        while self._waiting:
            yield self._completed(self._waiting.popleft())

    def _forget_dancer(self, index: int, image: Image, forbidden: Mask) -> None:
        """Forget what was learned, with nobody seen, where the dancer is, if it was the dancer already."""
        suspects = forbidden & self._unguarded
        if not suspects.any():
            return
        stayed = self._vibe.fits(image, suspects).sum() > STAYED_SHARE * suspects.sum()
        if stayed or index - self._seen_at <= LATE_FRAMES:
            self._vibe.forget(suspects)
            for waiting in self._waiting:
                waiting.unseen[suspects] = True

    def _ready(self, waiting: _Waiting, index: int) -> bool:
        if index - _due(waiting.number) >= WINDOW_FRAMES:
            return True
        return self._seen_at == index and not (waiting.unseen & ~self._vibe.known).any()

    def _completed(self, waiting: _Waiting) -> BackgroundPicture:
        late = waiting.unseen & self._vibe.known
        if self._seen_at >= 0:
            late &= ~self._unguarded
        image = np.where(late[..., None], self._vibe.latest, waiting.image) if late.any() else waiting.image
        unseen = waiting.unseen & ~late
        return BackgroundPicture(waiting.number / Modality.SCENIC.rate_hz, fill_holes(image, unseen), unseen)


class _Taken(NamedTuple):
    at: int
    image: Image
    forbidden: Mask
    seen: bool


class _MedianPictures:
    """The median of what the person leaves visible in the window around the picture's time. A frame with nobody
    just before or after one with the dancer, or that looks the same where the dancer is then, has the dancer's mask.
    """

    def __init__(self) -> None:
        self._taken: deque[_Taken] = deque()
        self._next = 0
        self._last = -1

    def add(self, index: int, image: Image, forbidden: Mask, *, seen: bool) -> Iterator[BackgroundPicture]:
        self._last = index
        if index % MEDIAN_FRAMES == 0:
            self._taken.append(_Taken(index, image, forbidden, seen))
        while _due(self._next) + WINDOW_FRAMES // 2 <= index:
            yield self._picture()

    def finish(self) -> Iterator[BackgroundPicture]:
        while _due(self._next) <= self._last:
            yield self._picture()

    def _picture(self) -> BackgroundPicture:
        number, self._next = self._next, self._next + 1
        first, last = _due(number) - WINDOW_FRAMES // 2, _due(number) + WINDOW_FRAMES // 2
        while self._taken[0].at <= first and len(self._taken) > 1:
            self._taken.popleft()
        window = [taken for taken in self._taken if taken.at <= last]
        dancers = [taken for taken in window if taken.seen]
        allowed = [~_hidden(taken, dancers) for taken in window]
        image, shown = median_of_allowed([taken.image for taken in window], allowed)
        return BackgroundPicture(number / Modality.SCENIC.rate_hz, fill_holes(image, ~shown), ~shown)


def _hidden(taken: _Taken, dancers: Sequence[_Taken]) -> Mask:
    if taken.seen or not dancers:
        return taken.forbidden
    nearest = min(dancers, key=lambda other: abs(other.at - taken.at))
    alike = cv2.absdiff(taken.image, nearest.image).max(axis=2) <= RADIUS
    stayed = (nearest.forbidden & alike).sum() > STAYED_SHARE * nearest.forbidden.sum()
    return nearest.forbidden if stayed or abs(nearest.at - taken.at) <= LATE_FRAMES else taken.forbidden


__all__ = ["BackgroundPicture", "Backgrounds", "forbidden_by", "open_backgrounds", "small"]
