"""The uploads of the clips that are wanted: of each, the one that its scores and counts belong to."""

import tempfile
from collections.abc import Mapping
from types import TracebackType
from typing import IO, NamedTuple

from schemas.codec import decode_upload
from schemas.errors import ConfigurationError, MalformedEvent, UnknownSchemaVersion
from schemas.events import FeatureFile, FeatureSource, InlineFeatures, VideoFile
from vdv.annotations import Annotation


class _Kept(NamedTuple):
    """Byte range of inline features in the temporary file."""

    start: int
    size: int


class Uploads:
    """The location of the features of each wanted clip, gathered from the values of the uploads topic.

    A clip may have been uploaded several times. Its counts belong to the upload that the ranking holds: the last one
    in the topic with its challenge and its ``uploaded_at_ms``. Inline features wait in a temporary file. To be used as
    a context manager.
    """

    def __init__(self, wanted: Mapping[str, Annotation]) -> None:
        self._wanted = wanted
        self._found: dict[str, FeatureFile | VideoFile | _Kept] = {}
        self.unreadable = 0
        """Values that were no uploads."""

    def __enter__(self) -> "Uploads":
        self._inline: IO[bytes] = tempfile.TemporaryFile(prefix="dancerank-")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._inline.close()

    def take(self, value: bytes | None) -> None:
        """Note one value of the topic; values that are not uploads are counted. Raises ``ConfigurationError`` if the
        temporary file cannot grow.
        """
        if value is None:
            return
        try:
            upload = decode_upload(value)
        except (MalformedEvent, UnknownSchemaVersion):
            self.unreadable += 1  # the streamer dead-lettered it, with the reason
            return
        clip = self._wanted.get(upload.clip_id)
        if clip is None or (upload.challenge_id, upload.uploaded_at_ms) != (clip.challenge_id, clip.uploaded_at_ms):
            return
        features = upload.features
        self._found[clip.clip_id] = self._keep(features.content) if isinstance(features, InlineFeatures) else features

    def __contains__(self, clip_id: str) -> bool:
        """Whether the clip's upload was in the topic."""
        return clip_id in self._found

    def features_of(self, clip_id: str) -> FeatureSource:
        """What the clip's upload said of its features. Raises ``KeyError`` if it was not in the topic."""
        found = self._found[clip_id]
        if not isinstance(found, _Kept):
            return found
        self._inline.seek(found.start)
        return InlineFeatures(self._inline.read(found.size))

    def _keep(self, content: bytes) -> _Kept:
        try:
            start = self._inline.seek(0, 2)
            self._inline.write(content)
        except OSError as error:
            raise ConfigurationError(
                f"features of uploads cannot be kept in {tempfile.gettempdir()} ({error.strerror}); name a folder with "
                "more room in the variable TMPDIR",
                field="TMPDIR",
            ) from error
        return _Kept(start, len(content))
