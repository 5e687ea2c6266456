"""A folder of clips: ``clips.csv`` beside the feature files that it names. What ``dancerank produce`` sends.

Columns: ``clip_id``, ``dancer_id``, ``challenge_id``, ``duration_s``, ``features`` (path relative to the folder) and,
optionally, ``uploaded_at_ms``; further columns are passed over.
"""

import csv
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from schemas.bundle import sha256_hex
from schemas.errors import DancerankError
from schemas.events import ClipUploaded, FeatureFile, InlineFeatures
from schemas.features import ClipFeatures, encode_features

TABLE_NAME: Final = "clips.csv"
FEATURES_FOLDER: Final = "features"
COLUMNS: Final = ("clip_id", "dancer_id", "challenge_id", "duration_s", "features")


class ClipFolderError(DancerankError):
    """A folder of clips that cannot be read; the message names file, row and column."""

    code = "clip_folder"


class ClipRow(NamedTuple):
    """One line of ``clips.csv`` with its features, as written by ``write_clip_folder``."""

    clip_id: str
    dancer_id: str
    challenge_id: str
    duration_s: float
    features: ClipFeatures


def write_clip_folder(folder: Path, clips: Iterable[ClipRow]) -> Iterator[ClipRow]:
    """Write clips as they come and yield each once its feature file is written; the table is complete at the end."""
    (folder / FEATURES_FOLDER).mkdir(parents=True, exist_ok=True)
    with (folder / TABLE_NAME).open("w", newline="", encoding="utf-8") as table:
        writer = csv.writer(table)
        writer.writerow(COLUMNS)
        for clip in clips:
            path = Path(FEATURES_FOLDER) / f"{clip.clip_id}.safetensors"
            (folder / path).write_bytes(encode_features(clip.features))
            writer.writerow([clip.clip_id, clip.dancer_id, clip.challenge_id, f"{clip.duration_s:.3f}", path])
            yield clip


def count_clips(folder: Path) -> int:
    return sum(1 for _ in _rows(folder))


def read_uploads(folder: Path, *, now_ms: int, inline: bool = False) -> Iterator[ClipUploaded]:
    """The clips of a folder as upload events, each with its checksum, or with the features inside if ``inline``.

    ``now_ms`` stands in for an absent ``uploaded_at_ms``. Raises ``ClipFolderError`` at the first row that is wrong.
    """
    for number, row in _rows(folder):
        where = f"{folder / TABLE_NAME}, row {number}"
        path = (folder / row["features"]).resolve()
        try:
            content = path.read_bytes()
        except OSError as error:
            raise ClipFolderError(f"{where}, column features: {path} cannot be read ({error.strerror})") from error
        features = InlineFeatures(content) if inline else FeatureFile(path.as_uri(), sha256_hex(content))
        event = {
            "schema": "clip-uploaded/1",
            "clip_id": row["clip_id"],
            "dancer_id": row["dancer_id"],
            "challenge_id": row["challenge_id"],
            "uploaded_at_ms": row.get("uploaded_at_ms") or now_ms,
            "duration_s": row["duration_s"],
            "features": msgspec.to_builtins(features, builtin_types=(bytes,)),
        }
        try:
            yield msgspec.convert(event, ClipUploaded, strict=False)
        except msgspec.ValidationError as error:
            raise ClipFolderError(f"{where}: {error}") from None


def _rows(folder: Path) -> Iterator[tuple[int, dict[str, str]]]:
    path = folder / TABLE_NAME
    try:
        table = path.open(newline="", encoding="utf-8-sig")  # spreadsheets put a byte order mark first
    except OSError as error:
        raise ClipFolderError(
            f"{path}: cannot be read ({error.strerror}); a folder of clips needs this table with the columns "
            f"{', '.join(COLUMNS)}"
        ) from error
    with table:
        reader = csv.DictReader(table)
        try:
            absent = [column for column in COLUMNS if column not in (reader.fieldnames or ())]
            if absent:
                raise ClipFolderError(f"{path}: the columns {', '.join(absent)} are missing")
            for row in reader:
                if None in row.values() or None in row:
                    expected = len(reader.fieldnames or ())
                    raise ClipFolderError(f"{path}, row {reader.line_num}: expected {expected} values")
                yield reader.line_num, row
        except UnicodeDecodeError as error:
            byte = error.object[error.start]
            raise ClipFolderError(
                f"{path}, after row {reader.line_num}: byte 0x{byte:02x} is no UTF-8; save the table as UTF-8"
            ) from error
        except csv.Error as error:
            raise ClipFolderError(f"{path}, row {reader.line_num}: no CSV ({error})") from error
