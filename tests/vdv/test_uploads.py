"""A data set as upload events."""

from pathlib import Path

import pytest

from schemas.bundle import sha256_hex
from schemas.codec import decode, encode
from schemas.events import ClipUploaded, ClipUploadedV3, FeatureFile, InlineFeatures
from schemas.features import decode_features
from schemas.modalities import Modality
from tests.clips import random_features
from tests.vdv.data_sets import annotation, clips, labelled, write_rows, written
from vdv.errors import DataSetError
from vdv.folder import open_data_set, write_data_set
from vdv.uploads import check_uploads, read_uploads


def test_a_data_set_reads_as_uploads_with_checksums(tmp_path: Path) -> None:
    made = clips(labelled(3))
    uploads = list(read_uploads(write_data_set(tmp_path, made), now_ms=5))
    for upload, clip in zip(uploads, made, strict=True):
        found = (upload.clip_id, upload.dancer_id, upload.challenge_id, upload.duration_s, upload.uploaded_at_ms)
        known = clip.annotation
        assert found == (known.clip_id, known.dancer_id, known.challenge_id, 4.0, 5)
        assert isinstance(upload.features, FeatureFile)
        content = Path(upload.features.uri.removeprefix("file://")).read_bytes()
        assert sha256_hex(content) == upload.features.sha256
        assert decode_features(content).modalities == clip.features.modalities


def test_inline_uploads_carry_the_features(tmp_path: Path) -> None:
    data = written(tmp_path, labelled(1))
    upload = decode(encode(next(read_uploads(data, now_ms=5, inline=True))), ClipUploaded)
    assert isinstance(upload.features, InlineFeatures)
    assert decode_features(upload.features.content).modalities == data.features(data.annotations[0]).modalities


def test_an_upload_time_in_the_table_wins(tmp_path: Path) -> None:
    data = written(tmp_path, [annotation("a", uploaded_at_ms=0), annotation("b")])
    assert [upload.uploaded_at_ms for upload in read_uploads(data, now_ms=5)] == [0, 5]


@pytest.mark.parametrize(
    ("row", "named"),
    [("a,b,c,9,absent.safetensors", "absent.safetensors"), ("a,b,c,900,clips.csv", "duration_s")],
)
def test_a_row_that_makes_no_upload_is_refused_with_the_place_named(tmp_path: Path, row: str, named: str) -> None:
    write_rows(tmp_path, "clip_id,dancer_id,challenge_id,duration_s,features", row)
    with pytest.raises(DataSetError, match=rf"clips\.csv, row 2.*{named}"):
        list(read_uploads(open_data_set(tmp_path), now_ms=0))


def test_only_clips_longer_than_a_minute_need_the_version_that_holds_routines(tmp_path: Path) -> None:
    annotations = [annotation("short", duration_s=60.0), annotation("long", duration_s=60.5)]
    data = written(tmp_path, annotations, long=random_features(60.0, modalities=[Modality.ROUTINE]))
    check_uploads(data, now_ms=5)
    assert [type(upload) for upload in read_uploads(data, now_ms=5)] == [ClipUploaded, ClipUploadedV3]


@pytest.mark.tried(
    kind="first steps that fail silently",
    given="`produce` of a clip of 61 s whose feature file has only a skeleton",
    outcome="refused with the row before the first is sent; says that `routine` is needed",
)
def test_a_long_clip_without_features_of_a_routine_is_refused_before_any_is_sent(tmp_path: Path) -> None:
    only_bodies = random_features(60.0, modalities=[Modality.SKELETAL])
    data = written(tmp_path, [annotation("a"), annotation("long", duration_s=61.0)], long=only_bodies)
    with pytest.raises(DataSetError, match=r"row 3.*long\.safetensors: the clip has only .*60 s is scored by routine"):
        check_uploads(data, now_ms=5)
