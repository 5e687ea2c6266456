"""The dancer among the people in a video. Legend: V joints, N people or tracks, M detections."""

from collections.abc import Sequence
from itertools import groupby, pairwise
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from vdv.errors import DataSetError

MOST_PEOPLE: Final = 100
"""Per image; in a larger crowd the dancer cannot be found."""

STEP: Final = 0.5
"""In body sizes: the largest movement of a body between two frames; in a gap at most twice that."""

DUPLICATE: Final = 0.1
"""In body sizes: detections closer than this are one body."""

CLEAR: Final = 2.0
"""The nearest body is the same person if the next one is this many times as far away."""

LEAST_SEEN: Final = 0.5
LARGEST_REST: Final = 0.1
_MOST_FOLLOWED: Final = 200
_REMEDY: Final = "run AlphaPose with tracking (--pose_track), or leave the clip out"


class Person(NamedTuple):
    """One detection: number and name of the image, the track if the results are tracked, a confidence, ``joints``
    (V, 3)."""

    frame: int
    image: str
    track: str | None
    confidence: float
    joints: npt.NDArray[np.float32]


def one_person(path: Path, people: Sequence[Person]) -> dict[int, Person]:
    """The dancer in each frame: of the longest track, or the most confident of several equally long ones.

    Tracks are those of the results if every detection has one and none has two people in an image; otherwise each body
    is followed to the nearest in the next image. People without a detected joint are ignored. Raises ``DataSetError``,
    naming ``path`` and the images, if no joint is detected, if two people are too close to be distinguished, if a track
    of the results leaps to another body, if the longest track is in less than half of the images, or if
    other tracks before or after it have more than 10 % as many images (the dancer may have been lost and found).
    """
    seen = sorted((person for person in people if (person.joints[:, 2] > 0).any()), key=lambda person: person.frame)
    if not seen:
        raise DataSetError(f"{path}: no joint is detected in any image; extract the pose again, or leave the clip out")
    tracked = {(person.track, person.frame) for person in seen}
    tracks: list[list[Person]]
    if all(person.track is not None for person in seen) and len(tracked) == len(seen):
        by_track = sorted(seen, key=lambda person: str(person.track))
        tracks = [list(track) for _, track in groupby(by_track, key=lambda person: person.track)]
        ambiguous: dict[int, str] = {}
    else:
        tracks, ambiguous = _follow(path, seen)
    chosen = max(range(len(tracks)), key=lambda i: (len(tracks[i]), sum(person.confidence for person in tracks[i])))
    if chosen in ambiguous:
        raise DataSetError(
            f"{path}: in image {ambiguous[chosen]!r} another person is too close to tell which one is the dancer; "
            f"{_REMEDY}"
        )
    for before, after in pairwise(tracks[chosen]):
        apart = float(_distances([before], [after])[0, 0])
        if np.isfinite(apart) and apart > _reach(before, after):
            raise DataSetError(
                f"{path}: track {after.track!r} leaps by {apart:.0f} pixels from image {before.image!r} to "
                f"{after.image!r}, to another body; {_REMEDY}"
            )
    images = len({person.frame for person in seen})
    if len(tracks[chosen]) < LEAST_SEEN * images:
        raise DataSetError(
            f"{path}: no person can be followed through half of the {images} images, the longest track has "
            f"{len(tracks[chosen])}; {_REMEDY}"
        )
    first, last = tracks[chosen][0], tracks[chosen][-1]
    rest = [t for t in tracks if t[-1].frame < first.frame or t[0].frame > last.frame]
    if sum(map(len, rest)) > LARGEST_REST * len(tracks[chosen]):
        raise DataSetError(
            f"{path}: the longest track is in images {first.image!r} to {last.image!r}, another one in images "
            f"{rest[0][0].image!r} to {rest[0][-1].image!r}, and nothing says whether both are the dancer; "
            f"cut the clip, or {_REMEDY}"
        )
    return {person.frame: person for person in tracks[chosen]}


def _follow(path: Path, people: Sequence[Person]) -> tuple[list[list[Person]], dict[int, str]]:
    """Tracks by position, and for those with an ambiguous step the first such image."""
    tracks: list[list[Person]] = []
    ambiguous: dict[int, str] = {}
    alive: list[int] = []
    for _, group in groupby(people, key=lambda person: person.frame):
        found = _distinct(path, list(group))
        alive = sorted(alive, key=lambda i: tracks[i][-1].frame)[-_MOST_FOLLOWED:]
        free = set(range(len(found)))
        if alive:
            last = [tracks[i][-1] for i in alive]
            apart = _distances(last, found)
            open_tracks = set(range(len(alive)))
            for flat in np.argsort(apart, axis=None, kind="stable").tolist():
                t, d = divmod(flat, len(found))
                if t not in open_tracks or d not in free or not apart[t, d] <= _reach(last[t], found[d]):
                    continue
                rivals = np.concatenate([np.delete(apart[t], d), np.delete(apart[:, d], t)])
                if rivals.min(initial=np.inf) < CLEAR * apart[t, d]:
                    ambiguous.setdefault(alive[t], found[d].image)
                tracks[alive[t]].append(found[d])
                open_tracks.discard(t)
                free.discard(d)
        for d in sorted(free):
            alive.append(len(tracks))
            tracks.append([found[d]])
    return tracks, ambiguous


def _distinct(path: Path, people: list[Person]) -> list[Person]:
    """One detection per body, the most confident first."""
    if len(people) > MOST_PEOPLE:
        raise DataSetError(
            f"{path}: image {people[0].image!r} has {len(people)} people, over the limit of {MOST_PEOPLE}; leave the "
            "clip out, or give each image a name of its own"
        )
    kept: list[Person] = []
    for person in sorted(people, key=lambda person: -person.confidence):
        if not kept or not (_distances(kept, [person])[:, 0] <= DUPLICATE * _size(person)).any():
            kept.append(person)
    return kept


def _distances(some: Sequence[Person], others: Sequence[Person]) -> npt.NDArray[np.float64]:
    """(N, M): mean distance of the joints that both have detected, in pixels; infinite if there are none."""
    a = np.stack([person.joints for person in some]).astype(np.float64)[:, None]
    b = np.stack([person.joints for person in others]).astype(np.float64)
    shared = (a[..., 2] > 0) & (b[..., 2] > 0)
    apart = np.where(shared, np.linalg.norm(a[..., :2] - b[..., :2], axis=-1), 0.0).sum(axis=-1)
    count = shared.sum(axis=-1)
    return np.where(count > 0, apart / np.maximum(count, 1), np.inf)


def _size(person: Person) -> float:
    """The diagonal of the box around the detected joints, in pixels."""
    points = person.joints[person.joints[:, 2] > 0, :2].astype(np.float64)
    return float(np.linalg.norm(points.max(axis=0) - points.min(axis=0)))


def _reach(before: Person, after: Person) -> float:
    """How far a body may have moved, in pixels."""
    return min(STEP * (after.frame - before.frame), 2 * STEP) * max(_size(before), _size(after))
