"""Feature files of a data set: read on demand, confined to the folder, written one at a time."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from schemas.features import ClipFeatures
from schemas.modalities import Modality
from tests.clips import random_features
from tests.vdv.data_sets import annotation, clips, labelled, values_of, write_rows, written
from vdv.errors import DataSetError
from vdv.folder import Clip, open_data_set, rewrite_annotations, write_data_set

HEADER = "clip_id,dancer_id,challenge_id,duration_s,features"


def test_a_written_data_set_opens_as_it_was_written(tmp_path: Path) -> None:
    made = clips(labelled(4))
    data = write_data_set(tmp_path, made)
    again = open_data_set(tmp_path)
    assert again == data
    assert len(again) == 4
    assert again.challenges == ("challenge-0", "challenge-1")
    for read, clip in zip(again.annotations, made, strict=True):
        assert values_of(read, "features", "row") == values_of(clip.annotation, "features", "row")
        found = again.features(read)
        np.testing.assert_array_equal(found.frames[Modality.SKELETAL], clip.features.frames[Modality.SKELETAL])
        assert found.joint_layout == "mpii-16"


def test_clips_are_written_as_they_come_and_the_table_at_the_end(tmp_path: Path) -> None:
    made = clips(labelled(3))

    def watched() -> Iterator[Clip]:
        for done, clip in enumerate(made):
            assert len(list(tmp_path.glob("features/*"))) == done
            assert not (tmp_path / "clips.csv").exists()
            yield clip

    write_data_set(tmp_path, watched())
    assert (tmp_path / "clips.csv").exists()


@pytest.mark.tried(kind="leftovers", given="a data set whose writer is interrupted", outcome="no table is left")
def test_an_interrupted_writer_leaves_no_table(tmp_path: Path) -> None:
    def interrupted() -> Iterator[Clip]:
        yield from clips(labelled(2))
        raise RuntimeError

    with pytest.raises(RuntimeError):
        write_data_set(tmp_path, interrupted())
    assert not (tmp_path / "clips.csv").exists()


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        (annotation("../a"), r"'\.\./a' cannot be written"),
        (annotation("a", likes=-1), "likes"),
        (annotation("a", duration_s=0.0), "duration_s"),
        (annotation("é" * 128), r"shorter clip id"),
    ],
)
def test_what_would_not_read_back_is_not_written(tmp_path: Path, wrong: object, named: str) -> None:
    with pytest.raises(DataSetError, match=named):
        write_data_set(tmp_path, [Clip(wrong, random_features(1.0))])  # type: ignore[arg-type]
    assert not (tmp_path / "clips.csv").exists()


def test_features_that_no_file_can_hold_name_the_clip(tmp_path: Path) -> None:
    bad = ClipFeatures({Modality.SKELETAL: np.full((3, 16, 2), np.nan, np.float32)}, "mpii-16")
    with pytest.raises(DataSetError, match=r"clip a: .*NaN"):
        write_data_set(tmp_path, [Clip(annotation("a"), bad)])


def test_two_clips_of_one_name_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataSetError, match="two clips are called 'a'"):
        write_data_set(tmp_path, clips([annotation("a"), annotation("a")]))


def test_a_data_set_is_never_written_over(tmp_path: Path) -> None:
    written(tmp_path, labelled(2))
    with pytest.raises(DataSetError, match=r"clips\.csv is there already; choose"):
        write_data_set(tmp_path, [])


def test_annotations_are_rewritten_without_touching_the_rest(tmp_path: Path) -> None:
    data = written(tmp_path, labelled(2, extra={"note": "kept, quoted"}))
    changed = [annotation("a", features="x.safetensors", fold=1, extra=data.annotations[0].extra)]
    assert rewrite_annotations(data, changed).annotations == tuple(changed)
    assert open_data_set(tmp_path).annotations[0].extra == {"note": "kept, quoted"}


def test_all_that_is_wrong_with_a_table_is_one_error(tmp_path: Path) -> None:
    write_rows(tmp_path, HEADER, *(f"clip {i},b,c,9,x" for i in range(30)))
    with pytest.raises(DataSetError) as caught:
        open_data_set(tmp_path)
    lines = caught.value.message.splitlines()
    assert lines[0] == "30 things are wrong:"
    assert len(lines) == 22
    assert lines[-1].strip() == "and 10 more"
    assert "row 2, clip_id" in lines[1]
    assert len(caught.value.findings) == 30


@pytest.mark.parametrize("place", ["../outside.safetensors", "/etc/hostname", "features/link.safetensors"])
def test_features_outside_the_folder_are_refused_links_followed(tmp_path: Path, place: str) -> None:
    folder = tmp_path / "data"
    (folder / "features").mkdir(parents=True)
    (tmp_path / "outside.safetensors").write_bytes(b"secret")
    (folder / "features" / "link.safetensors").symlink_to(tmp_path / "outside.safetensors")
    write_rows(folder, HEADER, f"a,b,c,9,{place}")
    data = open_data_set(folder)
    with pytest.raises(DataSetError, match=r"clips\.csv, row 2, features: .*leads outside"):
        data.features(data.annotations[0])


@pytest.mark.parametrize(
    ("place", "content", "named"),
    [
        ("absent.safetensors", None, "absent.safetensors cannot be read"),
        (".", None, "cannot be read"),
        ("loop", "loop", "loop"),
        ("a.safetensors", b"12345678901", r"a\.safetensors: .*truncated|header"),
    ],
)
def test_features_that_cannot_be_read_are_named_with_row_and_file(
    tmp_path: Path, place: str, content: bytes | str | None, named: str
) -> None:
    write_rows(tmp_path, HEADER, "a,b,c,9," + place)
    if isinstance(content, bytes):
        (tmp_path / place).write_bytes(content)
    elif content is not None:
        (tmp_path / place).symlink_to(tmp_path / content)
    data = open_data_set(tmp_path)
    with pytest.raises(DataSetError, match=rf"(?s)row 2.*{named}"):
        data.features(data.annotations[0])


@pytest.mark.parametrize("target", ["file", "file/below"])
def test_a_folder_that_cannot_be_made_is_refused(tmp_path: Path, target: str) -> None:
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(DataSetError, match=f"{target} cannot be made"):
        write_data_set(tmp_path / target, clips(labelled(1)))
