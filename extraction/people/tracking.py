"""Follows one dancer through a video.

The region of the landmarks in a frame follows from the landmarks of the frame before (MediaPipe's scheme), so the
landmark network runs on one frame after the other. Only looks at whole pictures run as batches: every ``CHECK_FRAMES``
frames, to count people and to see who is most prominent. Where no dancer is followed, pictures are searched.
docs/decisions/0040 gives the reasons.
"""

from collections.abc import Sequence
from typing import Final

from extraction.frames import Frame, Image
from extraction.people.choosing import SAME_PLACE, Challenge, by_choice
from extraction.people.cuts import CutDetector
from extraction.people.dancer import Dancer
from extraction.people.detection import Detection, PersonDetector
from extraction.people.landmarks import Body, LandmarkNetwork
from extraction.people.region import Region
from extraction.streams import PeopleSeen, Person

LEAST_PRESENCE: Final = 0.5
"""Below it the region does not show the person who was followed; MediaPipe's."""
SURE_SCORE: Final = 0.65
SURE_PRESENCE: Final = 0.9
"""What a detection, and the landmarks in its region, need for somebody to be followed. With MediaPipe's 0.5 for both,
bushes and bollards were."""
CHECK_FRAMES: Final = 12
"""About half a second between two looks at whole pictures. One costs about as much as two frames' landmarks."""
CROWD_FRAMES: Final = 96
"""About four seconds between two looks at the squares of an oblong picture, which show small people beside the dancer.
"""
WAITED_FRAMES: Final = 12
"""So long after the beginning, a cut or a loss every frame is searched, after a loss at the same place only: gaps of up
to half a second can be filled."""
SEARCH_FRAMES: Final = 6
"""After that every so many frames are searched."""

_TRIES: Final = 2
"""People of one picture whose landmarks are tried."""
_SMALLEST_SIDE: Final = 16.0
_LARGEST_SIDE: Final = 4.0
"""Of a region, as a multiple of the picture's longer side."""


class DancerTracker:
    """``PersonTracker`` by BlazePose. One for each video; the networks may be shared."""

    def __init__(self, detector: PersonDetector, landmarks: LandmarkNetwork) -> None:
        self._detector, self._landmarks = detector, landmarks
        self._cuts, self._challenge = CutDetector(), Challenge()
        self._region: Region | None = None
        self._last: Region | None = None
        self._lost_frames = 0
        self._seen = PeopleSeen()

    @property
    def seen(self) -> PeopleSeen:
        """In all frames so far."""
        return self._seen

    def follow(self, frames: Sequence[Frame]) -> Sequence[Person | None]:
        """The dancer in each frame, ``None`` where no person is seen. Called with every frame, in order."""
        due = [frame for frame in frames if frame.index % CHECK_FRAMES == 0 and not _shows_crowd(frame)]
        looks = self._detector.detect([frame.image for frame in due]) if due else []
        found = {frame.index: people for frame, people in zip(due, looks, strict=True)}
        found |= {frame.index: self._detector.search(frame.image) for frame in frames if _shows_crowd(frame)}
        return [self._next(frame, found.get(frame.index)) for frame in frames]

    def _next(self, frame: Frame, people: Sequence[Detection] | None) -> Person | None:
        height, width = frame.image.shape[:2]
        cut = self._cuts.is_cut(frame.image)
        if cut:
            self._forget()
        if people is not None:
            self._check(people, width, height)
        body = self._body_in(self._region, frame.image, LEAST_PRESENCE)
        if body is None and self._is_searched(frame.index, cut=cut):
            body = self._searched_body(frame.image)
        self._remember(body, width, height)
        return None if body is None else Dancer(body, width, height)

    def _forget(self) -> None:
        self._region = self._last = None
        self._lost_frames = 0
        self._challenge.reset()
        self._seen = self._seen._replace(cuts=self._seen.cuts + 1)

    def _check(self, people: Sequence[Detection], width: int, height: int) -> None:
        seen = self._seen
        self._seen = seen._replace(
            looks=seen.looks + 1,
            crowded=seen.crowded + (len(people) > 1),
            most_people=max(seen.most_people, len(people)),
        )
        if self._region is None:
            return
        sure = [each for each in people if each.score > SURE_SCORE]
        other = self._challenge.check(self._region, sure, width, height)
        if other is not None:
            self._region = other
            self._seen = self._seen._replace(switches=seen.switches + 1)

    def _is_searched(self, index: int, *, cut: bool) -> bool:
        return cut or self._region is not None or self._lost_frames < WAITED_FRAMES or index % SEARCH_FRAMES == 0

    def _body_in(self, region: Region | None, image: Image, least_presence: float) -> Body | None:
        if region is None:
            return None
        (body,) = self._landmarks.locate([image], [region])
        return body if body.presence > least_presence else None

    def _searched_body(self, image: Image) -> Body | None:
        height, width = image.shape[:2]
        sure = [each for each in self._detector.search(image) if each.score > SURE_SCORE]
        self._seen = self._seen._replace(most_people=max(self._seen.most_people, len(sure)))
        if self._last is not None and self._lost_frames < WAITED_FRAMES:
            sure = [each for each in sure if each.region.distance(self._last) < SAME_PLACE]
        for choice in by_choice(sure, width, height, self._last)[:_TRIES]:
            body = self._body_in(choice.region, image, SURE_PRESENCE)
            if body is not None:
                return body
        return None

    def _remember(self, body: Body | None, width: int, height: int) -> None:
        seen = self._seen
        self._seen = seen._replace(frames=seen.frames + 1, followed=seen.followed + (body is not None))
        if body is None:
            self._region = None
            self._lost_frames += 1
            self._challenge.reset()
            return
        if self._region is None and self._last is not None and body.region.distance(self._last) >= SAME_PLACE:
            self._seen = self._seen._replace(switches=seen.switches + 1)
        self._region = body.next_region if _is_usable(body.next_region, width, height) else None
        self._last, self._lost_frames = body.region, 0


def _shows_crowd(frame: Frame) -> bool:
    """Whether the squares of this frame are looked at, too; the first one is searched in any case."""
    return frame.index > 0 and frame.index % CROWD_FRAMES == 0


def _is_usable(region: Region, width: int, height: int) -> bool:
    """Whether the next frame can be looked at there: it has a person's size, and its middle is near the picture."""
    largest = _LARGEST_SIDE * max(width, height)
    outside_x, outside_y = max(-region.x, region.x - width), max(-region.y, region.y - height)
    return _SMALLEST_SIDE <= region.side <= largest and max(outside_x, outside_y) < region.side / 2
