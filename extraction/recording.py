"""What a pass over a video sees, kept to be drawn: skeletons, outlines, faces, backgrounds.

What is kept of a frame takes a few kilobytes; of a background, four in a second, 150.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from extraction.backgrounds.methods import BackgroundMethod
from extraction.backgrounds.pictures import BackgroundPicture, Backgrounds, open_backgrounds
from extraction.drawing.marks import Box, Outline, outline_of
from extraction.faces.choosing import Heads
from extraction.faces.facial import FaceFinder, due_of, is_due
from extraction.frames import Frame, VideoProperties
from extraction.one_pass import Extractors
from extraction.people.skeleton import mpii_pose
from extraction.streams import PeopleSeen, Person, PersonTracker
from schemas.ports import Float32


@dataclass
class Recording:
    """By the index of a frame: ``poses`` (16, 3) in pixels of the frame, ``outlines`` of the dancer, boxes of the face
    (x0, y0, x1, y1). ``faces_searched``: frames in which a face was looked for.
    """

    poses: dict[int, Float32] = field(default_factory=dict)
    outlines: dict[int, Outline] = field(default_factory=dict)
    faces: dict[int, Box] = field(default_factory=dict)
    faces_searched: int = 0
    backgrounds: list[BackgroundPicture] = field(default_factory=list)
    waiting: Backgrounds | None = None

    def finish(self) -> None:
        """After the pass: take the backgrounds that waited for more frames."""
        if self.waiting is not None:
            self.backgrounds += self.waiting.finish()
            self.waiting = None


def recording(
    extractors: Extractors, faces: FaceFinder | None, background: BackgroundMethod
) -> tuple[Extractors, Recording]:
    """The extractors, whose next pass fills the recording; ``finish`` completes it. ``faces`` finds the dancer's face
    once more.
    """
    record = Recording()

    def people(video: VideoProperties) -> PersonTracker:
        return _Recorder(extractors.people(video), video, faces, background, record)

    return replace(extractors, people=people), record


class _Recorder:
    """A tracker of people that keeps what it and the finder of faces see."""

    def __init__(
        self,
        tracker: PersonTracker,
        video: VideoProperties,
        faces: FaceFinder | None,
        background: BackgroundMethod,
        record: Recording,
    ) -> None:
        self._tracker, self._faces, self._record = tracker, faces, record
        self._heads = Heads()
        self._backgrounds = record.waiting = open_backgrounds(background)(video)

    @property
    def seen(self) -> PeopleSeen:
        return self._tracker.seen

    def follow(self, frames: Sequence[Frame]) -> Sequence[Person | None]:
        people = self._tracker.follow(frames)
        record = self._record
        for frame, person in zip(frames, people, strict=True):
            if person is not None:
                record.poses[frame.index] = mpii_pose(person.landmarks)
                record.outlines[frame.index] = outline_of(person.mask)
        if self._faces is not None:
            self._look_for_faces(self._faces, frames, people)
        record.backgrounds += self._backgrounds.add(frames, people)
        return people

    def _look_for_faces(self, finder: FaceFinder, frames: Sequence[Frame], people: Sequence[Person | None]) -> None:
        sought = due_of(frames, self._heads.sought(frames, people))
        if not sought:
            return
        found = finder.find(sought)
        self._record.faces_searched += len(sought)
        due = (frame.index for frame in frames if is_due(frame.index))
        self._record.faces |= {index: face.box for index, face in zip(due, found, strict=True) if face is not None}
