"""AlphaPose results: one JSON file per clip, as skeletal sequences at 25 Hz. Legend: V joints.

The source folder holds ``clips.csv``, the table of a data set with ``poses`` (path of the clip's JSON file, relative to
the folder) in place of ``features``; ``duration_s`` may be absent, and ``fps`` may give each video's frame rate.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, TypeVar

import msgspec
import numpy as np

from schemas.errors import FeatureError
from schemas.escaping import shortened
from schemas.features import ClipFeatures
from schemas.joints import COCO_17, MPII_16, OPENPOSE_18, JointLayout
from schemas.local_files import not_json, read_file
from schemas.missing_joints import LONGEST_GAP_S, fill_missing, missing_joints
from schemas.modalities import Modality
from vdv.annotations import TABLE_NAME, Annotation, Cells, annotation_of, read_cells
from vdv.errors import DataSetError, Finding, refusal
from vdv.folder import Clip, confined
from vdv.importers.image_numbers import frame_numbers
from vdv.importers.people import Person, one_person
from vdv.resampling import POSE_HZ, resample

EXTRACTOR: Final = "alphapose"
REQUIRED: Final = ("clip_id", "dancer_id", "challenge_id", "poses")
LAYOUTS: Final[dict[int, JointLayout]] = {layout.joint_count: layout for layout in (MPII_16, COCO_17, OPENPOSE_18)}
PERSON: Final = 1
"""COCO's number of the category of people; whatever else a detector finds is nobody's pose."""
_LEAST_SEEN: Final = 0.5
_LONGEST_S: Final = 86_400.0
_MOST_FRAMES: Final = 1_000_000


T = TypeVar("T")


class _Entry(msgspec.Struct):
    """An element of the default format's list."""

    image_id: str | int
    keypoints: list[float]
    score: float | None = None
    idx: Any = None
    category_id: int | None = None


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

    ``fps`` is the frame rate of videos without a value in the column ``fps``. The dancer is ``people.one_person``.
    Frames before the first and after the last with that person are left out; frames in between without, and joints
    without confidence, are interpolated, up to ``longest_gap_s`` in a row; the column ``filled_joints`` gives their
    share. Raises one ``DataSetError`` with all findings, after the last clip.
    """
    if not longest_gap_s >= 0:
        raise DataSetError(f"the longest gap is {longest_gap_s} s; give 0 or more", field="longest_gap_s")
    path = source / TABLE_NAME
    rows, findings = read_cells(path, REQUIRED)
    first_with: dict[str, int] = {}
    for cells in rows:
        name = cells.values["clip_id"]
        first = first_with.setdefault(name, cells.row)
        if first != cells.row:
            remedy = "give each clip an id of its own"
            findings.append(
                Finding(path, f"{name!r} is in row {first} already", remedy, row=cells.row, field="clip_id")
            )
            continue
        try:
            yield _clip(source, cells, fps, longest_gap_s, confidence)
        except DataSetError as error:
            findings += error.findings or [Finding(path, error.message, "", row=cells.row, field="poses")]
        except FeatureError as error:
            findings.append(Finding(path, f"clip {name}: {error.message}", "", row=cells.row, field="poses"))
    if findings:
        raise refusal(findings)


def read_people(path: Path, rate_hz: float = POSE_HZ) -> list[Person]:
    """The detections in a result file of the default, ``cmu`` or ``open`` format, by frame number.

    Raises ``DataSetError`` for a file of another form, for images that ``frame_numbers`` refuses, and for numbers of
    joints other than 16 (MPII), 17 (COCO) and 18 (OpenPose), or differing ones.
    """
    try:
        content = read_file(path)
        if content.lstrip().startswith(b"["):
            entries = _decoded(content, list[_Entry])
            people = [
                _person(path, e.image_id, e.keypoints, e.score, _track(path, e.idx))
                for e in entries
                if e.category_id in (None, PERSON)
            ]
        else:
            images = _decoded(content, dict[str, _Image])
            people = [
                _person(path, name, body.joints or body.pose_keypoints_2d or [], None, None)
                for name, image in images.items()
                for body in (*image.bodies, *image.people)
            ]
    except OSError as error:
        raise DataSetError(f"{path} cannot be read ({error.strerror}); correct the column poses") from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        problem = not_json(content) or shortened(str(error))
        raise DataSetError(f"{path} is not an AlphaPose result ({problem}); run AlphaPose again") from error
    joint_counts = sorted({len(person.joints) for person in people})
    if len(joint_counts) != 1:
        found = f"poses of {' and '.join(map(str, joint_counts))} joints" if people else "no person"
        raise DataSetError(f"{path} holds {found}; leave the clip out, or run AlphaPose again")
    numbers = frame_numbers(path, dict.fromkeys(person.image for person in people), rate_hz)
    numbered = [person._replace(frame=numbers[person.image]) for person in people]
    return sorted(numbered, key=lambda person: person.frame)


def _decoded(content: bytes, form: type[T]) -> T:
    """AlphaPose's results as ``form``, names of images that are not UTF-8 included.

    Python's json, which AlphaPose uses, writes such a name with lone surrogates; a strict decoder refuses them.
    """
    try:
        return msgspec.json.decode(content, type=form)
    except msgspec.ValidationError:
        raise
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        try:
            return msgspec.convert(json.loads(content.decode(errors="surrogateescape")), form)
        except msgspec.ValidationError:
            raise
        except (ValueError, RecursionError):  # also a surrogate where it cannot be named, in a key
            raise error from None


def _clip(source: Path, cells: Cells, fps: float, longest_gap_s: float, confidence: bool) -> Clip:
    table = source / TABLE_NAME
    values = dict(cells.values)
    rate_hz = _rate(table, cells.row, values.pop("fps", ""), fps)
    poses = values.pop("poses")
    path = confined(source, poses)
    frames = one_person(path, read_people(path, rate_hz))
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
    span = int(numbers[-1] - numbers[0]) + 1
    if span > _MOST_FRAMES:
        problem = f"clip {values['clip_id']}: its images span {span} frames, over the limit of {_MOST_FRAMES}"
        raise refusal([Finding(table, problem, "correct the frames' numbers", row=cells.row, field="poses")])
    joints = np.zeros((span, *frames[numbers[0]].joints.shape), np.float32)
    joints[numbers - numbers[0]] = np.stack([frames[number].joints for number in numbers])
    layout = LAYOUTS[joints.shape[1]]
    missing = missing_joints(joints, layout)  # a frame without the dancer has no confidence either
    filled = fill_missing(joints, missing, layout.joints, rate_hz, longest_gap_s=longest_gap_s)
    sequence = resample(filled, rate_hz)
    share = float(missing.mean())
    if share:
        values["filled_joints"] = f"{share:.2g}"
    if not values.get("duration_s", "").strip():
        values["duration_s"] = repr(len(sequence) / POSE_HZ)
    read = annotation_of(table, Cells(cells.row, values | {"features": poses}))
    if not isinstance(read, Annotation):
        raise refusal(read)
    seen_s = len(sequence) / POSE_HZ
    if seen_s < _LEAST_SEEN * read.duration_s:
        problem = f"clip {read.clip_id}: the dancer is seen in {seen_s:.2f} s of {read.duration_s:g} s"
        raise refusal([Finding(table, problem, "leave the clip out, or correct fps", row=cells.row, field="poses")])
    kept = np.ascontiguousarray(sequence if confidence else sequence[..., :2], np.float32)
    features = ClipFeatures({Modality.SKELETAL: kept}, layout.name, {Modality.SKELETAL: EXTRACTOR}, filled_joints=share)
    return Clip(read, features)


def _person(path: Path, image_id: str | int, keypoints: list[float], score: float | None, track: str | None) -> Person:
    with np.errstate(over="ignore"):  # an infinity is refused below
        joints = np.array(keypoints, np.float32)
    if len(joints) % 3 or len(joints) // 3 not in LAYOUTS:
        known = ", ".join(f"{count} ({layout.name})" for count, layout in LAYOUTS.items())
        raise DataSetError(
            f"{path}: frame {image_id!r} has {len(joints)} keypoint values; expected three per joint of {known} joints"
        )
    joints = joints.reshape(-1, 3)
    if not np.isfinite(joints).all():
        raise DataSetError(
            f"{path}: frame {image_id!r} has a coordinate that is not a finite number; run AlphaPose again"
        )
    return Person(0, str(image_id), track, float(joints[:, 2].mean()) if score is None else score, joints)


def _track(path: Path, idx: Any) -> str | None:
    """Trackers write a number, whole or with a point, or a list of one."""
    while isinstance(idx, list) and len(idx) == 1:
        idx = idx[0]
    if isinstance(idx, float) and idx.is_integer():
        idx = int(idx)
    if idx is None or isinstance(idx, int | float | str):
        return None if idx is None else str(idx)
    raise DataSetError(f"{path}: idx {idx!r} is not a track; run AlphaPose again, with one tracker")


def _rate(table: Path, row: int, text: str, default: float) -> float:
    try:
        rate_hz = float(text) if text.strip() else default
    except ValueError:
        rate_hz = float("nan")
    if not 0 < rate_hz < float("inf"):
        finding = Finding(
            table,
            f"{(text.strip() or str(default))!r} is not a frame rate",
            "give frames per second",
            row=row,
            field="fps",
        )
        raise refusal([finding])
    return rate_hz
