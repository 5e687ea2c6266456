from pathlib import Path

import pytest

from dancerank.clip_folder import ClipFolderError, ClipRow, count_clips, read_uploads, write_clip_folder
from dancerank.synthetic import synthesize
from schemas.bundle import sha256_hex
from schemas.codec import decode, encode
from schemas.events import ClipUploaded, FeatureFile, InlineFeatures
from schemas.features import decode_features


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    clips = (
        ClipRow(c.clip_id, c.dancer.dancer_id, c.challenge_id, c.duration_s, c.features) for c in synthesize(3, seed=1)
    )
    assert len(list(write_clip_folder(tmp_path, clips))) == 3
    return tmp_path


def test_a_written_folder_reads_back_as_uploads_with_checksums(folder: Path) -> None:
    uploads = list(read_uploads(folder, now_ms=5))
    assert count_clips(folder) == len(uploads) == 3
    for upload, clip in zip(uploads, synthesize(3, seed=1), strict=True):
        assert (upload.clip_id, upload.dancer_id, upload.uploaded_at_ms) == (clip.clip_id, clip.dancer.dancer_id, 5)
        assert isinstance(upload.features, FeatureFile)
        content = Path(upload.features.uri.removeprefix("file://")).read_bytes()
        assert sha256_hex(content) == upload.features.sha256
        assert decode_features(content).modalities == clip.features.modalities


def test_inline_uploads_carry_the_features(folder: Path) -> None:
    upload = decode(encode(next(read_uploads(folder, now_ms=5, inline=True))), ClipUploaded)
    assert isinstance(upload.features, InlineFeatures)
    assert decode_features(upload.features.content).frames.keys() == next(synthesize(3, seed=1)).features.frames.keys()


@pytest.mark.parametrize(
    ("table", "named"),
    [
        ("clip_id,dancer_id,challenge_id,features\n", "duration_s"),
        ("clip_id,dancer_id,challenge_id,duration_s,features\na,b,c,soon,x\n", "row 2"),
        ("clip_id,dancer_id,challenge_id,duration_s,features\na,b,c\n", "row 2"),
        ("clip_id,dancer_id,challenge_id,duration_s,features\na,b,c,9,absent.safetensors\n", "absent.safetensors"),
        ("clip_id,dancer_id,challenge_id,duration_s,features\na,b,c,900,clips.csv\n", "duration_s"),
    ],
)
def test_a_wrong_table_is_refused_with_the_place_named(tmp_path: Path, table: str, named: str) -> None:
    (tmp_path / "clips.csv").write_text(table)
    with pytest.raises(ClipFolderError, match=named):
        list(read_uploads(tmp_path, now_ms=0))


def test_a_table_saved_by_a_spreadsheet_reads_like_any_other(folder: Path) -> None:
    plain = list(read_uploads(folder, now_ms=5))
    table = folder / "clips.csv"
    table.write_bytes(b"\xef\xbb\xbf" + table.read_bytes())
    assert list(read_uploads(folder, now_ms=5)) == plain


@pytest.mark.parametrize("place", ["clip_id", "caf\xe9"])
def test_a_table_that_is_no_utf_8_is_refused_with_the_remedy(tmp_path: Path, place: str) -> None:
    rows = f"{place},dancer_id,challenge_id,duration_s,features\ncaf\xe9,b,c,9,x\n"
    (tmp_path / "clips.csv").write_bytes(rows.encode("latin-1"))
    with pytest.raises(ClipFolderError, match=r"clips\.csv.*0xe9.*UTF-8"):
        count_clips(tmp_path)


def test_a_table_that_is_no_csv_is_refused(tmp_path: Path) -> None:
    (tmp_path / "clips.csv").write_text("clip_id,dancer_id,challenge_id,duration_s,features\n" + "a" * 200_000)
    with pytest.raises(ClipFolderError, match="no CSV"):
        count_clips(tmp_path)


def test_a_folder_without_a_table_is_refused_with_the_columns_it_needs(tmp_path: Path) -> None:
    with pytest.raises(ClipFolderError, match=r"clips\.csv.*challenge_id"):
        count_clips(tmp_path)
