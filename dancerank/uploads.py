"""Sending uploads: for the command that sends a folder, the embedded system, benchmarks and tests."""

from collections.abc import Iterable

from schemas.codec import encode
from schemas.errors import RecordRefused
from schemas.events import UploadEvent
from schemas.ports import OutgoingRecord, RecordSink


def send_clips(sink: RecordSink, topic: str, uploads: Iterable[UploadEvent], timeout_s: float) -> None:
    """Send and flush. A ``RecordRefused`` names the clip, and what to do about features that do not fit a record."""
    clip_id = None
    try:
        for upload in uploads:
            clip_id = upload.clip_id
            send_upload(sink, topic, upload)
        clip_id = None
        sink.flush(timeout_s)
    except RecordRefused as error:
        clip = f"clip {clip_id}: " if clip_id is not None else ""  # a flush names the key, which is the clip
        raise RecordRefused(
            f"{clip}{error.message}. Features in the event have to fit one record: leave out --inline so that they are "
            "read from their files, or send a shorter clip"
        ) from error


def send_upload(sink: RecordSink, topic: str, upload: UploadEvent) -> None:
    """Key and partition as the streamer and the log expect them: by clip, and by challenge."""
    sink.send(OutgoingRecord(topic, upload.clip_id.encode(), encode(upload), partition_by=upload.challenge_id))
