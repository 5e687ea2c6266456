"""Where a face is looked for, and which of several is the dancer's."""

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np

from extraction.faces.detection import Face, View
from extraction.frames import Frame, Image
from extraction.people.tracking import WAITED_FRAMES
from extraction.streams import Person

UPPER_BODY: Final = 1.6
"""Side of the square around the head that is searched, in lengths of the torso: a face takes about a fifth of it."""
BY_SHOULDERS: Final = 2.2
"""Likewise in widths of the shoulders, where these are wider: of someone who sits close to the camera."""
SURE_SCORE: Final = 0.75
"""Of a face where no person is followed. With less, leaves and rocks have faces."""

_HEAD: Final = slice(0, 11)
_SHOULDERS: Final = slice(11, 13)
_HIPS: Final = slice(23, 25)


def upper_body(person: Person) -> View:
    """The square around the head in which a face is large enough to be found."""
    points = person.landmarks[:, :2]
    head, shoulders, hips = (points[part].mean(axis=0) for part in (_HEAD, _SHOULDERS, _HIPS))
    width = float(np.hypot(*(points[_SHOULDERS][1] - points[_SHOULDERS][0])))
    side = max(UPPER_BODY * float(np.hypot(*(hips - shoulders))), BY_SHOULDERS * width, 16.0)
    return View(float(head[0]) - side / 2, float(head[1]) - side / 2, side)


class Sought(NamedTuple):
    """A picture whose dancer's face is looked for. ``head``: the square around the dancer's head or, of a dancer who
    is lost, where it was; ``None`` if nobody was followed.
    """

    image: Image
    person: Person | None
    head: View | None


class Heads:
    """Where the dancer's head is or was, in one frame after the other of a video."""

    def __init__(self) -> None:
        self._last: View | None = None
        self._lost_frames = 0

    def sought(self, frames: Sequence[Frame], people: Sequence[Person | None]) -> list[Sought]:
        """Of each frame. Called with every frame, in order."""
        return [self._next(frame.image, person) for frame, person in zip(frames, people, strict=True)]

    def _next(self, image: Image, person: Person | None) -> Sought:
        if person is not None:
            self._last, self._lost_frames = upper_body(person), 0
            return Sought(image, person, self._last)
        self._lost_frames += 1
        if self._lost_frames > WAITED_FRAMES:  # then somebody else may be followed
            self._last = None
        return Sought(image, None, self._last)


def face_of(sought: Sought, faces: Sequence[Face]) -> Face | None:
    """The dancer's face: the one that holds most points of the head, and is nearest to their middle among equals.
    Without a person the largest face of those that are sure enough; of a dancer who was just lost it has to be where
    the head was.
    """
    person = sought.person
    if person is None:
        sure = [face for face in faces if face.score >= SURE_SCORE]
        if sought.head is not None:
            sure = [face for face in sure if sought.head.holds(face.middle)]
        return max(sure, key=lambda face: face.side, default=None)
    head = person.landmarks[_HEAD, :2]
    middle = head.mean(axis=0)

    def fit(face: Face) -> tuple[int, float]:
        inside = (head >= face.box[:2]) & (head <= face.box[2:])
        return int(inside.all(axis=1).sum()), -float(np.hypot(*(middle - face.middle)))

    best = max(faces, key=fit, default=None)
    return best if best is not None and fit(best)[0] > 0 else None


__all__ = ["Heads", "Sought", "face_of", "upper_body"]
