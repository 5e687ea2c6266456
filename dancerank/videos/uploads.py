"""Videos on disk as upload events that name them: what ``dancerank produce`` sends of a folder of videos."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from dancerank.videos.folders import VIDEO_COLUMN, Video, completed
from extraction.decoding.content import open_path
from extraction.decoding.lengths import check_shortest
from extraction.decoding.video import DecodedVideo, DecoderLimits
from extraction.settings import ExtractionSettings
from schemas.errors import ConfigurationError, FeatureError, VideoLengthRefused
from schemas.events import MIN_DURATION_S, ClipUploadedV2, VideoFile
from schemas.modalities import MAX_DURATION_S
from vdv.annotations import TABLE_NAME, Annotation, annotation_of
from vdv.errors import DataSetError, Finding, refusal
from vdv.uploads import video_upload


class Owner(NamedTuple):
    """Whose videos they are that no table names, and which challenge they dance."""

    dancer_id: str
    challenge_id: str


def owner_of(videos: Sequence[Video], dancer: str | None, challenge: str | None) -> Owner | None:
    """The owner of videos without a table; ``None`` for those of a table, which names the owner of each.

    Raises ``ConfigurationError`` for an option that is missing, or that a table leaves no use for.
    """
    if videos[0].cells is not None:
        if dancer is not None or challenge is not None:
            raise ConfigurationError(f"{TABLE_NAME} names dancers and challenges; leave out --dancer and --challenge")
        return None
    if not dancer or not challenge:
        raise ConfigurationError(
            f"no {TABLE_NAME} says who dances what; give --dancer and --challenge, those of all videos, or write "
            f"{TABLE_NAME} beside them with the columns clip_id, dancer_id and challenge_id"
        )
    return Owner(dancer, challenge)


def read_video_uploads(
    videos: Iterable[Video], owner: Owner | None, folder: Path, settings: ExtractionSettings, *, now_ms: int
) -> list[ClipUploadedV2]:
    """Every video as an event with its checksum and length, once it is known that the first picture of each can be
    decoded.

    ``owner``: of videos that are not rows of the table in ``folder``. ``now_ms`` stands in for an absent
    ``uploaded_at_ms``. Raises one ``DataSetError`` with every video that the streamer would refuse, or that no upload
    can say, and ``DecoderUnavailable`` on a machine without memory for a decoder.
    """
    limits = DecoderLimits.of(settings)
    uploads: list[ClipUploadedV2] = []
    findings: list[Finding] = []
    for video in videos:
        table = video.path if video.cells is None else folder / TABLE_NAME
        try:
            uploads.append(_upload(video, owner, table, limits, settings.max_video_bytes, now_ms))
        except FeatureError as error:
            findings.append(_finding(video, table, error.message))
        except DataSetError as error:
            findings += error.findings
    if findings:
        raise refusal(findings)
    return uploads


def _upload(
    video: Video, owner: Owner | None, table: Path, limits: DecoderLimits, max_bytes: int, now_ms: int
) -> ClipUploadedV2:
    if video.problem is not None:
        raise video.problem
    with open_path(video.path, max_bytes=max_bytes) as content, DecodedVideo(content, limits) as decoded:
        length_s = decoded.properties.duration_s
    if length_s:
        check_shortest(length_s)
    elif video.cells is None or not video.cells.values.get("duration_s", "").strip():
        raise VideoLengthRefused(
            f"its container states no length; give it in the column duration_s of {TABLE_NAME}, or write the container "
            "again (ffmpeg -i IN -c copy OUT)"
        )
    # Containers round their lengths.
    annotation = _annotation(video, owner, table, min(max(length_s, MIN_DURATION_S), MAX_DURATION_S))
    source = VideoFile(video.path.resolve().as_uri(), content.sha256)
    return video_upload(table, annotation, source, now_ms=now_ms)


def _annotation(video: Video, owner: Owner | None, table: Path, duration_s: float) -> Annotation:
    if video.cells is None:
        assert owner is not None
        dancer, challenge = owner
        return Annotation(clip_id=video.name, dancer_id=dancer, challenge_id=challenge, duration_s=duration_s)
    read = annotation_of(table, completed(video.cells, duration_s=duration_s))
    if not isinstance(read, Annotation):
        raise refusal(read)
    return read


def _finding(video: Video, table: Path, problem: str) -> Finding:
    """About a video; a problem of the row names its file already."""
    if video.cells is None:
        return Finding(table, problem, "")
    named = problem if video.problem is not None else f"{video.path.name}: {problem}"
    return Finding(table, named, "", row=video.cells.row, field=VIDEO_COLUMN)
