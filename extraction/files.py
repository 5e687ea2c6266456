"""Feature files of videos: each beside a record of the video and the extractors that it was made of."""

import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec

from extraction.decoding.content import VideoContent
from extraction.one_pass import Extraction, Extractors, Report
from schemas.features import encode_features

FEATURES_SUFFIX: Final = ".safetensors"
RECORD_SUFFIX: Final = ".json"


class Record(msgspec.Struct, frozen=True):
    """What a feature file was made of. ``video_sha256`` and ``extractors`` (``Extractors.identity``) say whether the
    same would come of it again, ``features_sha256`` whether the file is still what was written.
    """

    video: str
    video_sha256: str
    extractors: str
    features_sha256: str
    report: Report


class FeatureFiles:
    """Feature files in one folder, by name."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def path(self, name: str) -> Path:
        return self._folder / f"{name}{FEATURES_SUFFIX}"

    def up_to_date(self, name: str, content: VideoContent, extractors: Extractors) -> Report | None:
        """The report of the file ``name`` if the same video and extractors gave it and it is whole, else ``None``."""
        try:
            record = msgspec.json.decode(self._record(name).read_bytes(), type=Record)
            features = self.path(name).read_bytes()
        except (OSError, msgspec.DecodeError):
            return None
        made_of = record.video_sha256, record.extractors
        is_same = made_of == (content.sha256, extractors.identity)
        return record.report if is_same and hashlib.sha256(features).hexdigest() == record.features_sha256 else None

    def write(self, name: str, video: Path, extraction: Extraction, extractors: Extractors) -> None:
        """Write the features, then the record; a file that is there is replaced in one step. Raises ``OSError``."""
        content = encode_features(extraction.features)
        record = Record(
            os.fsencode(video.name).decode(errors="replace"),
            extraction.properties.sha256,
            extractors.identity,
            hashlib.sha256(content).hexdigest(),
            extraction.report,
        )
        self._folder.mkdir(parents=True, exist_ok=True)
        _replace(self.path(name), lambda draft: draft.write_bytes(content))
        _replace(self._record(name), lambda draft: draft.write_bytes(msgspec.json.format(msgspec.json.encode(record))))

    def _record(self, name: str) -> Path:
        return self._folder / f"{name}{RECORD_SUFFIX}"


def _replace(path: Path, write: Callable[[Path], object]) -> None:
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        write(draft)
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
