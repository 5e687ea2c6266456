"""Annotations as upload events, with feature files or with videos: what ``dancerank produce`` sends."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from schemas.bundle import sha256_hex
from schemas.decoder_messages import of_msgspec
from schemas.errors import FeatureError, MalformedEvent
from schemas.events import (
    ClipUploaded,
    ClipUploadedV2,
    ClipUploadedV3,
    FeatureFile,
    InlineFeatures,
    UploadEvent,
    VideoFile,
)
from schemas.modalities import MAX_DURATION_S
from schemas.scored_features import scored_modalities
from schemas.times import check_time
from vdv.annotations import Annotation
from vdv.errors import DataSetError, Finding, refusal
from vdv.folder import DataSet

Upload = TypeVar("Upload", bound=UploadEvent)


def check_uploads(data: DataSet, *, now_ms: int) -> None:
    """Make sure that every clip makes an upload, before the first is sent. Feature files are read of routines alone.

    Raises one ``DataSetError`` with every row whose feature file is absent, or has nothing that a clip of the row's
    length is scored by, or that no upload can say.
    """
    findings: list[Finding] = []
    for annotation in data.annotations:
        try:
            _event(data, annotation, FeatureFile(data.file(annotation).as_uri()), now_ms)
            if annotation.duration_s > MAX_DURATION_S:
                scored_modalities(data.features(annotation), annotation.duration_s)
        except FeatureError as error:
            findings.append(data.finding_of(annotation, error))
        except DataSetError as error:
            findings += error.findings
    if findings:
        raise refusal(findings)


def read_uploads(data: DataSet, *, now_ms: int, inline: bool = False) -> Iterator[UploadEvent]:
    """Every clip as an event, each with its file's checksum, or with the features inside if ``inline``.

    ``now_ms`` stands in for an absent ``uploaded_at_ms``. Raises ``DataSetError`` at the first row without a readable
    feature file, or that no upload can say.
    """
    for annotation in data.annotations:
        try:
            content = data.content(annotation)
            uri = data.path(annotation).as_uri()
        except FeatureError as error:
            raise refusal([data.finding_of(annotation, error)]) from error
        features = InlineFeatures(content) if inline else FeatureFile(uri, sha256_hex(content))
        yield _event(data, annotation, features, now_ms)


def _event(data: DataSet, annotation: Annotation, features: FeatureFile | InlineFeatures, now_ms: int) -> UploadEvent:
    version = ClipUploadedV3 if annotation.duration_s > MAX_DURATION_S else ClipUploaded
    return _checked(data.table, version(**_fields(annotation, now_ms), features=features), annotation, now_ms)


def video_upload(table: Path, annotation: Annotation, video: VideoFile, *, now_ms: int) -> ClipUploadedV2:
    """A clip as an event that names its video. ``now_ms`` stands in for an absent ``uploaded_at_ms``.

    Raises ``DataSetError`` naming ``table`` and the row for one that no upload can say.
    """
    return _checked(table, ClipUploadedV2(**_fields(annotation, now_ms), features=video), annotation, now_ms)


def _fields(annotation: Annotation, now_ms: int) -> dict[str, Any]:
    return {
        "clip_id": annotation.clip_id,
        "dancer_id": annotation.dancer_id,
        "challenge_id": annotation.challenge_id,
        "uploaded_at_ms": now_ms if annotation.uploaded_at_ms is None else annotation.uploaded_at_ms,
        "duration_s": annotation.duration_s,
    }


def _checked(table: Path, event: Upload, annotation: Annotation, now_ms: int) -> Upload:
    try:
        check_time(event.uploaded_at_ms, now_ms, field="uploaded_at_ms")
        return msgspec.convert(msgspec.to_builtins(event, builtin_types=(bytes,)), type(event))
    except (msgspec.ValidationError, MalformedEvent) as error:
        finding = Finding(table, of_msgspec(str(error)), "leave the clip out", row=annotation.row or None)
        raise refusal([finding]) from None
