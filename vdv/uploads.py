"""The clips of a data set as upload events: what ``dancerank produce`` sends."""

from collections.abc import Iterator

import msgspec

from schemas.bundle import sha256_hex
from schemas.errors import FeatureError, MalformedEvent
from schemas.events import ClipUploaded, FeatureFile, InlineFeatures
from schemas.times import check_time
from vdv.errors import DataSetError, refusal
from vdv.folder import DataSet


def read_uploads(data: DataSet, *, now_ms: int, inline: bool = False) -> Iterator[ClipUploaded]:
    """Every clip as an event, each with its file's checksum, or with the features inside if ``inline``.

    ``now_ms`` stands in for an absent ``uploaded_at_ms``. Raises ``DataSetError`` at the first row without a readable
    feature file, or that is too short or long for an upload.
    """
    for annotation in data.annotations:
        try:
            content = data.content(annotation)
        except FeatureError as error:
            raise refusal([data.finding_of(annotation, error)]) from error
        uri = data.path(annotation).as_uri()
        features = InlineFeatures(content) if inline else FeatureFile(uri, sha256_hex(content))
        event = ClipUploaded(
            clip_id=annotation.clip_id,
            dancer_id=annotation.dancer_id,
            challenge_id=annotation.challenge_id,
            uploaded_at_ms=now_ms if annotation.uploaded_at_ms is None else annotation.uploaded_at_ms,
            duration_s=annotation.duration_s,
            features=features,
        )
        try:
            check_time(event.uploaded_at_ms, now_ms, field="uploaded_at_ms")
            yield msgspec.convert(msgspec.to_builtins(event, builtin_types=(bytes,)), ClipUploaded)
        except (msgspec.ValidationError, MalformedEvent) as error:
            raise DataSetError(f"{data.table}, row {annotation.row}: {error}; leave the clip out") from None
