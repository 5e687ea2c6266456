"""Export of observed clips as a data set for training."""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, groupby, islice
from pathlib import Path
from typing import Final

from dancerank.labelling.exclusions import LeftOut, Reason
from dancerank.labelling.features import UploadedFeatures
from dancerank.labelling.uploads import Uploads
from ranking.scores.observations import ObservedClip
from schemas.errors import ConfigurationError, FeatureError, FeaturesImplausible
from schemas.local_files import exists
from schemas.modalities import Modality
from schemas.plausibility import check_plausible
from schemas.virality_target import Target
from transport.reading import Progress
from vdv.annotations import TABLE_NAME, Annotation
from vdv.errors import DataSetError
from vdv.folder import Clip, DataSet, write_data_set
from vdv.splits import ALL
from vdv.targets import REACTIONS, raw_targets

LEAST_DAYS: Final = 1.0
FEWEST_CLIPS: Final = 5
"""By default: of these, a split of the usual share holds one out and leaves four to learn from."""


@dataclass(frozen=True)
class Exported:
    """The data set, what could not become part of it, and how many values of the topic were no uploads."""

    data: DataSet
    left_out: LeftOut
    no_uploads: int


def export_labels(
    folder: Path,
    observed: Iterable[ObservedClip],
    uploads: Iterable[bytes | None],
    features: UploadedFeatures,
    *,
    least_days: float = LEAST_DAYS,
    fewest_clips: int = FEWEST_CLIPS,
    target: Target = Target.EQ1,
    progress: Progress = lambda _done, _total: None,
) -> Exported:
    """Write a data set without a split, which passes ``vdv.checking``, challenge by challenge. The features of at most
    ``fewest_clips`` + 1 clips are in memory at a time.

    ``uploads`` are the values of the uploads topic; they are asked for only if a clip is wanted. Left out, and counted,
    are clips whose reactions were counted before they were ``least_days`` old, those whose features cannot be had or
    are implausible, for the target ``per-view`` those without plausible views, and challenges of fewer than
    ``fewest_clips`` clips or of equal scores, in which there is nothing to rank.

    Raises ``DataSetError`` if the folder holds a data set already or, with nothing written, if no clip is left;
    ``ConfigurationError`` for the target ``audience-adjusted``, since followers are not observed; a
    ``FeatureStoreUnavailable`` if the store does not answer, the table then not being written.
    """
    _check(folder, least_days, fewest_clips, target)
    left_out = LeftOut()
    wanted = {clip.clip_id: clip for clip in _counted(observed, least_days, left_out, target)}
    with Uploads(wanted) as found:
        if wanted:
            for value in uploads:
                found.take(value)
        clips = _Clips(found, features, left_out, fewest_clips, target).of(wanted, progress)
        first = next(clips, None)
        if first is None:
            raise _nothing(left_out)
        return Exported(write_data_set(folder, chain([first], clips)), left_out, found.unreadable)


def _check(folder: Path, least_days: float, fewest_clips: int, target: Target) -> None:
    if target is Target.AUDIENCE_ADJUSTED:
        raise ConfigurationError(
            "followers are not observed, so that no clip can be exported for audience-adjusted; export without "
            "--target and add the column followers to clips.csv",
            field="target",
        )
    if exists(folder / TABLE_NAME):  # the writer would find it too, but after the topic has been read
        raise DataSetError(f"{folder / TABLE_NAME} is there already; choose a folder without a data set")
    if not 0 <= least_days < math.inf:
        raise ConfigurationError(f"least_days is {least_days}; give a number of days, 0 or more", field="least_days")
    if fewest_clips < 2:
        raise ConfigurationError(
            f"fewest_clips is {fewest_clips}; give 2 or more, since a single clip compares with nothing",
            field="fewest_clips",
        )


def _nothing(left_out: LeftOut) -> DataSetError:
    if not left_out.counts:
        return DataSetError(
            "nothing was observed of any such clip: the database holds no counts of them; dancerank pools run writes "
            "them from the engagement topic"
        )
    return DataSetError(
        "\n".join(["no clip is left to learn from, so nothing was written; left out:", *left_out.lines()])
    )


def _counted(
    observed: Iterable[ObservedClip], least_days: float, left_out: LeftOut, target: Target
) -> Iterator[Annotation]:
    """The clips whose counts can be learned from, by id."""
    for clip in observed:
        if clip.upload is None:
            left_out.add(Reason.UNRANKED, clip.clip_id)
        elif clip.days_online < least_days:
            left_out.add(Reason.YOUNG, f"{clip.clip_id}: at {clip.days_online:.2f} days")
        elif clip.upload.challenge_id == ALL:
            left_out.add(Reason.NAMED_ALL, clip.clip_id)
        elif target is Target.PER_VIEW and clip.views is None:
            left_out.add(Reason.NO_VIEWS, clip.clip_id)
        elif target is Target.PER_VIEW and (clip.views or 0) < (reacted := clip.likes + clip.comments + clip.reposts):
            left_out.add(Reason.FEWER_VIEWS, f"{clip.clip_id}: {clip.views} views, {reacted} reactions")
        else:
            yield Annotation(
                clip_id=clip.clip_id,
                dancer_id=clip.upload.dancer_id,
                challenge_id=clip.upload.challenge_id,
                duration_s=clip.upload.duration_s,
                uploaded_at_ms=clip.upload.uploaded_at_ms,
                likes=clip.likes,
                comments=clip.comments,
                reposts=clip.reposts,
                days_online=clip.days_online,
                views=clip.views,
            )


class _Clips:
    """Clips with their features, of challenges in which there is something to rank."""

    def __init__(
        self, uploads: Uploads, features: UploadedFeatures, left_out: LeftOut, fewest_clips: int, target: Target
    ) -> None:
        self._target = target
        self._uploads = uploads
        self._features = features
        self._left_out = left_out
        self._fewest_clips = fewest_clips
        self._pose: tuple[str | None, int] | None = None

    def of(self, wanted: Mapping[str, Annotation], progress: Progress) -> Iterator[Clip]:
        """Challenge by challenge; a challenge that is begun is one of at least ``fewest_clips`` clips."""
        for clip_id in wanted:
            if clip_id not in self._uploads:
                self._left_out.add(Reason.GONE, clip_id)
        there = (clip for clip_id, clip in wanted.items() if clip_id in self._uploads)
        rows = sorted(there, key=lambda clip: (clip.challenge_id, clip.clip_id))
        scores = {row.clip_id: score for row, score in zip(rows, self._scores(rows), strict=True)}
        done = 0
        for _, members in groupby(rows, key=lambda clip: clip.challenge_id):
            challenge = list(members)
            for number, clip in enumerate(self._comparable(challenge, scores), start=1):
                progress(done + number, len(rows))
                yield clip
            done += len(challenge)
            progress(done, len(rows))

    def _scores(self, rows: Sequence[Annotation]) -> list[float]:
        """What tells clips apart: Eq. (1), or the plain rate, since a prior is fitted to training clips only."""
        if self._target is Target.PER_VIEW:
            return [sum(getattr(row, name) for name in REACTIONS) / max(row.views or 0, 1) for row in rows]
        return [float(score) for score in raw_targets(rows)]

    def _comparable(self, rows: Sequence[Annotation], scores: Mapping[str, float]) -> Iterator[Clip]:
        """The clips that can be loaded, if they are enough and not all of one score.

        Two that differ are looked for first, so that equal ones need not be held in memory until one comes.
        """
        unread = iter(rows)
        first = next(self._loaded(unread), None)
        if first is None:
            return
        equal: list[Annotation] = []
        others: list[Annotation] = []
        for row in unread:
            (equal if scores[row.clip_id] == scores[first.annotation.clip_id] else others).append(row)
        differing = iter(others)
        second = next(self._loaded(differing), None)
        rest = self._loaded(chain(differing, equal))
        held = [first] if second is None else [first, second, *islice(rest, self._fewest_clips - 2)]
        if len(held) < self._fewest_clips:
            for row in chain((clip.annotation for clip in held), equal if second is None else ()):
                self._left_out.add(Reason.NOT_COMPARABLE, f"{row.clip_id} in {row.challenge_id}")
            return
        yield from held
        yield from rest

    def _loaded(self, rows: Iterable[Annotation]) -> Iterator[Clip]:
        for row in rows:
            clip = self._load(row)
            if clip is not None:
                yield clip

    def _load(self, row: Annotation) -> Clip | None:
        try:
            features = self._features.read(self._uploads.features_of(row.clip_id))
            check_plausible(features, row.duration_s, whole_video=True)
        except FeaturesImplausible as error:
            self._left_out.add(Reason.IMPLAUSIBLE, f"{row.clip_id}: {error.message}")
            return None
        except FeatureError as error:
            self._left_out.add(Reason.UNREADABLE, f"{row.clip_id}: {error.message}")
            return None
        frames = features.frames.get(Modality.SKELETAL)
        if frames is not None:
            pose = (features.joint_layout, frames.shape[-1])
            self._pose = self._pose or pose
            if pose != self._pose:
                self._left_out.add(Reason.OTHER_POSE, f"{row.clip_id}: {pose[0]} with {pose[1]} channels")
                return None
        return Clip(row, features)
