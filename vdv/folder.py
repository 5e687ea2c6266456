"""A data set on disk: ``clips.csv`` beside ``features/*.safetensors``. Features are read one clip at a time."""

import os
import stat
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from schemas.decoder_messages import of_msgspec
from schemas.errors import FeatureError, FeatureFileForbidden, FeatureFileMissing, FeatureFileOversized
from schemas.features import DEFAULT_MAX_BYTES, ClipFeatures, decode_features, encode_features
from schemas.local_files import exists
from vdv.annotations import TABLE_NAME, Annotation, read_table, write_table
from vdv.errors import DataSetError, Finding, refusal

FEATURES_FOLDER: Final = "features"


class Clip(NamedTuple):
    """A clip to be written. The writer sets ``annotation.features``."""

    annotation: Annotation
    features: ClipFeatures


@dataclass(frozen=True)
class DataSet:
    """The table of a data set in memory; everything else stays on disk. ``annotations`` are in the table's order."""

    folder: Path
    annotations: tuple[Annotation, ...]

    def __len__(self) -> int:
        return len(self.annotations)

    @property
    def table(self) -> Path:
        return self.folder / TABLE_NAME

    @property
    def challenges(self) -> tuple[str, ...]:
        """The challenges, sorted."""
        return tuple(sorted({annotation.challenge_id for annotation in self.annotations}))

    def path(self, annotation: Annotation) -> Path:
        """The feature file, absolute. Raises ``FeatureFileForbidden`` if it lies outside the folder, links resolved."""
        return confined(self.folder, annotation.features)

    def file(self, annotation: Annotation) -> Path:
        """The feature file, absolute, not read yet. Raises ``FeatureFileForbidden``, ``FeatureFileMissing`` or
        ``FeatureFileOversized``."""
        path = self.path(annotation)
        try:
            status = path.stat()
            if not (stat.S_ISREG(status.st_mode) and os.access(path, os.R_OK)):
                reason = "no permission" if stat.S_ISREG(status.st_mode) else "not a file"
                raise _unreadable(annotation, reason)
        except OSError as error:
            raise _unreadable(annotation, error.strerror or str(error)) from error
        if status.st_size > DEFAULT_MAX_BYTES:
            raise FeatureFileOversized(
                f"{annotation.features} has {status.st_size} bytes, over the limit of {DEFAULT_MAX_BYTES}; shorten the "
                "clip or use float16",
                field="features",
            )
        return path

    def content(self, annotation: Annotation) -> bytes:
        """The bytes of the feature file, unverified. Raises what ``file`` raises."""
        path = self.file(annotation)
        try:
            return path.read_bytes()
        except OSError as error:
            raise _unreadable(annotation, error.strerror or str(error)) from error

    def features(self, annotation: Annotation) -> ClipFeatures:
        """The verified features of a clip. Raises a ``DataSetError`` that names row and file."""
        try:
            return decode_features(self.content(annotation))
        except FeatureError as error:
            raise refusal([self.finding_of(annotation, error)]) from error

    def finding_of(self, annotation: Annotation, error: FeatureError) -> Finding:
        """A finding for an error of a clip's features; the error's message already says the remedy."""
        problem = error.message if error.field == "features" else f"{annotation.features}: {error.message}"
        return Finding(self.table, problem, "", row=annotation.row, field=error.field or "features")


def _unreadable(annotation: Annotation, reason: str) -> FeatureFileMissing:
    return FeatureFileMissing(
        f"{annotation.features} cannot be read ({reason}); extract the clip's features or remove the row",
        field="features",
    )


def confined(folder: Path, relative: str) -> Path:
    """``relative`` within ``folder``, absolute, with links resolved.

    Raises ``FeatureFileForbidden`` if it leads outside, ``FeatureFileMissing`` if it cannot be followed.
    """
    root = folder.resolve()
    try:
        path = (root / relative).resolve()
    except (OSError, RuntimeError, ValueError) as error:  # a loop of links, a zero byte
        raise FeatureFileMissing(f"{relative!r} is not a path ({error}); correct it", field="features") from error
    if not path.is_relative_to(root):
        raise FeatureFileForbidden(
            f"{relative!r} leads outside {folder}; move the file into the folder", field="features"
        )
    return path


def open_data_set(folder: Path) -> DataSet:
    """The data set in ``folder``. Raises one ``DataSetError`` with all findings about its table."""
    annotations, findings = read_table(folder)
    if findings:
        raise refusal(findings)
    return DataSet(folder, tuple(annotations))


def write_data_set(folder: Path, clips: Iterable[Clip]) -> DataSet:
    """Write clips as they come, one in memory at a time; the table appears when all are written.

    Raises ``DataSetError`` if the folder holds a data set already or something cannot be written, and one with all
    clips whose id comes twice, whose annotation or features would not read back, and what ``clips`` raises at its end;
    the table is then not written.
    """
    if exists(folder / TABLE_NAME):
        raise DataSetError(f"{folder / TABLE_NAME} is there already; choose a folder without a data set")
    try:
        (folder / FEATURES_FOLDER).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataSetError(f"{folder} cannot be made ({error.strerror}); choose another folder") from error
    annotations: dict[str, Annotation] = {}
    findings: list[Finding] = []
    try:
        for row, clip in enumerate(clips, start=2):
            try:
                annotation = _checked(folder, clip.annotation, row=row)
                if annotation.clip_id in annotations:
                    raise DataSetError(f"two clips are called {annotation.clip_id!r}; give each an id of its own")
                content = encode_features(clip.features)
            except (DataSetError, FeatureError) as error:
                problem = f"clip {clip.annotation.clip_id}: {error.message}"
                findings.append(Finding(folder, problem, "", field=error.field))
                continue
            _write(folder / annotation.features, content)
            annotations[annotation.clip_id] = annotation
    except DataSetError as error:
        if not findings:
            raise
        findings += error.findings or [Finding(folder, error.message, "", field=error.field)]
    if findings:
        raise refusal(findings)
    write_table(folder, annotations.values())
    return DataSet(folder, tuple(annotations.values()))


def _write(path: Path, content: bytes) -> None:
    try:
        path.write_bytes(content)
    except OSError as error:
        remedy = "choose another folder, or a shorter clip id if it is the name"
        raise DataSetError(f"{path} cannot be written ({error.strerror}); {remedy}") from error


def rewrite_annotations(data: DataSet, annotations: Sequence[Annotation]) -> DataSet:
    """``data`` with other annotations of the same clips, in the same order, on disk too."""
    write_table(data.folder, annotations)
    return DataSet(data.folder, tuple(annotations))


def _checked(folder: Path, annotation: Annotation, *, row: int) -> Annotation:
    """The annotation with its place in the data set, verified as the table's reader would."""
    try:
        path = os.fsdecode(f"{FEATURES_FOLDER}/{annotation.clip_id}.safetensors".encode())
        placed = msgspec.structs.replace(annotation, features=path, row=row)
        msgspec.convert(msgspec.structs.asdict(placed), Annotation)
    except UnicodeEncodeError:
        remedy = "give it an id in UTF-8, such as a new name of the file that it is called after"
        raise DataSetError(f"{folder}: clip id {annotation.clip_id!r} is not text; {remedy}") from None
    except msgspec.ValidationError as error:
        raise DataSetError(
            f"{folder}: clip {annotation.clip_id!r} cannot be written: {of_msgspec(str(error))}"
        ) from error
    return placed
