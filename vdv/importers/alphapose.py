"""AlphaPose results: one JSON file per clip, as skeletal sequences at 25 Hz. Legend: V joints.

The source folder holds ``clips.csv``, the table of a data set with ``poses`` (path of the clip's JSON file, relative to
the folder) in place of ``features``; ``duration_s`` may be absent, and ``fps`` may give each video's frame rate.
"""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

from schemas.errors import FeatureError
from schemas.features import ClipFeatures
from schemas.joints import COCO_17, MPII_16, OPENPOSE_18, JointLayout
from schemas.missing_joints import fill_gaps
from schemas.modalities import Modality
from vdv.annotations import TABLE_NAME, Annotation, Cells, annotation_of, read_cells
from vdv.errors import DataSetError, Finding, refusal
from vdv.folder import Clip, confined
from vdv.resampling import POSE_HZ, resample

LONGEST_GAP_S: Final = 0.5
REQUIRED: Final = ("clip_id", "dancer_id", "challenge_id", "poses")
LAYOUTS: Final[dict[int, JointLayout]] = {layout.joint_count: layout for layout in (MPII_16, COCO_17, OPENPOSE_18)}
_LEAST_SEEN: Final = 0.5
_LONGEST_S: Final = 86_400.0
_NUMBER: Final = re.compile(r"(\d+)\D*$")


class Person(NamedTuple):
    """One detection: the number of the frame, the track if the results are tracked, a confidence, ``joints`` (V, 3)."""

    frame: int
    track: str | None
    confidence: float
    joints: npt.NDArray[np.float32]


class _Entry(msgspec.Struct):
    """An element of the default format's list."""

    image_id: str | int
    keypoints: list[float]
    score: float | None = None
    idx: Any = None


class _Body(msgspec.Struct):
    joints: list[float] | None = None
    pose_keypoints_2d: list[float] | None = None


class _Image(msgspec.Struct):
    """A value of the formats ``cmu`` (``bodies``) and ``open`` (``people``), which are objects by image name."""

    bodies: list[_Body] = []
    people: list[_Body] = []


def read_clips(
    source: Path, *, fps: float, longest_gap_s: float = LONGEST_GAP_S, confidence: bool = False
) -> Iterator[Clip]:
    """The clips of a folder of AlphaPose results; ``confidence`` keeps the third channel.

    ``fps`` is the frame rate of videos without a value in the column ``fps``. Of several people the longest track is
    taken, or, without tracks, the most confident person of each frame. Frames before the first and after the last with
    that person are left out; frames in between without are interpolated, up to ``longest_gap_s`` in a row.
    Raises one ``DataSetError`` with everything that is wrong, after the last clip.
    """
    if not longest_gap_s >= 0:
        raise DataSetError(f"the longest gap is {longest_gap_s} s; give 0 or more", field="longest_gap_s")
    path = source / TABLE_NAME
    rows, findings = read_cells(path, REQUIRED)
    for cells in rows:
        try:
            yield _clip(source, cells, fps, longest_gap_s, confidence)
        except DataSetError as error:
            findings += error.findings or [Finding(path, error.message, "", row=cells.row)]
        except FeatureError as error:
            findings.append(Finding(path, error.message, "", row=cells.row, field="poses"))
    if findings:
        raise refusal(findings)


def read_people(path: Path) -> list[Person]:
    """The detections in a result file of the default, ``cmu`` or ``open`` format, by frame number.

    Raises ``DataSetError`` for a file that is none, for frames without a number, and for numbers of joints other than
    16 (MPII), 17 (COCO) and 18 (OpenPose), or differing ones.
    """
    try:
        content = path.read_bytes()
        if content.lstrip().startswith(b"["):
            entries = msgspec.json.decode(content, type=list[_Entry])
            people = [_person(path, e.image_id, e.keypoints, e.score, _track(path, e.idx)) for e in entries]
        else:
            images = msgspec.json.decode(content, type=dict[str, _Image])
            people = [
                _person(path, name, body.joints or body.pose_keypoints_2d or [], None, None)
                for name, image in images.items()
                for body in (*image.bodies, *image.people)
            ]
    except OSError as error:
        raise DataSetError(f"{path} cannot be read ({error.strerror}); correct the column poses") from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise DataSetError(f"{path} is no AlphaPose result ({error}); run AlphaPose again") from error
    joint_counts = sorted({len(person.joints) for person in people})
    if len(joint_counts) != 1:
        found = f"poses of {' and '.join(map(str, joint_counts))} joints" if people else "no person"
        raise DataSetError(f"{path} holds {found}; leave the clip out, or run AlphaPose again")
    return sorted(people, key=lambda person: person.frame)


def one_person(people: Sequence[Person]) -> dict[int, Person]:
    """The dancer in each frame with one: of the longest track (then the most confident), or, unless all are tracked,
    the most confident of each frame."""
    if all(person.track is not None for person in people):
        tracks: dict[str | None, dict[int, Person]] = {}
        for person in people:
            _keep_best(tracks.setdefault(person.track, {}), person)
        return max(tracks.values(), key=lambda track: (len(track), sum(p.confidence for p in track.values())))
    best: dict[int, Person] = {}
    for person in people:
        _keep_best(best, person)
    return best


def _keep_best(frames: dict[int, Person], person: Person) -> None:
    held = frames.get(person.frame)
    if held is None or person.confidence > held.confidence:
        frames[person.frame] = person


def _clip(source: Path, cells: Cells, fps: float, longest_gap_s: float, confidence: bool) -> Clip:
    table = source / TABLE_NAME
    values = dict(cells.values)
    rate_hz = _rate(table, cells.row, values.pop("fps", ""), fps)
    poses = values.pop("poses")
    frames = one_person(read_people(confined(source, poses)))
    numbers = np.array(sorted(frames))
    gap_s = (int(np.diff(numbers).max(initial=1)) - 1) / rate_hz
    if gap_s > longest_gap_s:
        problem = (
            f"clip {values['clip_id']}: the dancer is lost for {gap_s:.2f} s, over the limit of {longest_gap_s:g} s"
        )
        raise refusal([Finding(table, problem, "leave the clip out, or raise the limit", row=cells.row, field="poses")])
    lasted_s = float(numbers[-1] - numbers[0]) / rate_hz
    if lasted_s > _LONGEST_S:
        problem = f"clip {values['clip_id']}: at {rate_hz:g} frames per second it lasts {lasted_s:g} s, over a day"
        raise refusal([Finding(table, problem, "correct fps or the frames' numbers", row=cells.row, field="fps")])
    known = np.zeros(numbers[-1] - numbers[0] + 1, bool)
    known[numbers - numbers[0]] = True
    joints = np.zeros((len(known), *frames[numbers[0]].joints.shape), np.float32)
    joints[known] = np.stack([frames[number].joints for number in numbers])
    sequence = resample(fill_gaps(joints, known), rate_hz)
    if not values.get("duration_s", "").strip():
        values["duration_s"] = repr(len(sequence) / POSE_HZ)
    read = annotation_of(table, Cells(cells.row, values | {"features": poses}))
    if not isinstance(read, Annotation):
        raise refusal(read)
    seen_s = len(sequence) / POSE_HZ
    if seen_s < _LEAST_SEEN * read.duration_s:
        problem = f"clip {read.clip_id}: the dancer is seen in {seen_s:.2f} s of {read.duration_s:g} s"
        raise refusal([Finding(table, problem, "leave the clip out, or correct fps", row=cells.row, field="poses")])
    layout = LAYOUTS[joints.shape[1]]
    kept = np.ascontiguousarray(sequence if confidence else sequence[..., :2], np.float32)
    return Clip(read, ClipFeatures({Modality.SKELETAL: kept}, layout.name, {Modality.SKELETAL: "alphapose"}))


def _person(path: Path, image_id: str | int, keypoints: list[float], score: float | None, track: str | None) -> Person:
    number = _NUMBER.search(Path(str(image_id)).stem)
    if number is None:
        raise DataSetError(f"{path}: frame {image_id!r} has no number; name the frames 0.jpg, 1.jpg, …")
    with np.errstate(over="ignore"):  # an infinity is refused below
        joints = np.array(keypoints, np.float32)
    if len(joints) % 3 or len(joints) // 3 not in LAYOUTS:
        known = ", ".join(f"{count} ({layout.name})" for count, layout in LAYOUTS.items())
        raise DataSetError(
            f"{path}: frame {image_id!r} has {len(joints)} keypoint values; expected three per joint of {known} joints"
        )
    joints = joints.reshape(-1, 3)
    if not np.isfinite(joints).all():
        raise DataSetError(f"{path}: frame {image_id!r} has a coordinate that is no number; run AlphaPose again")
    return Person(int(number[1]), track, float(joints[:, 2].mean()) if score is None else score, joints)


def _track(path: Path, idx: Any) -> str | None:
    """Trackers write a number, or a list of one."""
    while isinstance(idx, list) and len(idx) == 1:
        idx = idx[0]
    if idx is None or isinstance(idx, int | float | str):
        return None if idx is None else str(idx)
    raise DataSetError(f"{path}: idx {idx!r} is no track; run AlphaPose again, with one tracker")


def _rate(table: Path, row: int, text: str, default: float) -> float:
    try:
        rate_hz = float(text) if text.strip() else default
    except ValueError:
        rate_hz = float("nan")
    if not 0 < rate_hz < float("inf"):
        finding = Finding(
            table,
            f"{(text.strip() or str(default))!r} is no frame rate",
            "give frames per second",
            row=row,
            field="fps",
        )
        raise refusal([finding])
    return rate_hz
