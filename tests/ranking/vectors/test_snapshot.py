"""Snapshots: written as a whole or not at all, and read with every damage noticed."""

import json
from pathlib import Path

import pytest

from ranking.vectors.manifest import FORMAT, MANIFEST
from ranking.vectors.snapshots import CURRENT, read_snapshot
from schemas.errors import SnapshotError, SnapshotNotWritten
from schemas.modalities import MODALITIES, PAPER_MODALITIES
from tests.ranking.vectors.written_snapshots import Segment, Write, offset_in, write


def test_the_last_snapshot_is_found_and_one_more_is_kept(tmp_path: Path) -> None:
    root = tmp_path / "made" / "here"
    assert read_snapshot(root) is None
    for offset in range(1, 6):
        write(root, offset)
        assert offset_in(root) == offset
    assert sorted(path.name for path in root.iterdir()) == [
        CURRENT,
        "segments",
        "snapshot-00000004",
        "snapshot-00000005",
    ]
    assert sorted(path.name for path in (root / "segments").iterdir()) == ["own-4", "own-5", "shared"]


def changed_byte(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def truncated(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


@pytest.mark.tried(
    kind="decoding errors",
    given="a file changed by one bit, truncated or missing",
    outcome="the snapshot before it is used",
)
@pytest.mark.parametrize("harm", [changed_byte, truncated, Path.unlink])
@pytest.mark.parametrize("name", ["a.bin", "b.bin", MANIFEST])
def test_damage_is_noticed_and_the_snapshot_before_it_is_used(tmp_path: Path, harm: Write, name: str) -> None:
    write(tmp_path, 1)
    harm(write(tmp_path, 2) / name)
    if harm is changed_byte and name == MANIFEST:
        # Any byte of the manifest may matter; one in the middle of a checksum or a name surely does.
        assert offset_in(tmp_path) in (1, 2)
    else:
        assert offset_in(tmp_path) == 1


@pytest.mark.tried(
    kind="decoding errors", given="all snapshots damaged", outcome="refused with the file and the remedy"
)
@pytest.mark.parametrize("harm", [changed_byte, truncated, Path.unlink])
def test_if_all_are_damaged_the_error_names_the_file_and_the_remedy(tmp_path: Path, harm: Write) -> None:
    for offset in (1, 2):
        harm(write(tmp_path, offset) / "b.bin")
    with pytest.raises(SnapshotError, match=r"snapshot-00000002/b\.bin.*delete the folder to rebuild"):
        read_snapshot(tmp_path)


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(
            b'{"schema": "\xff\xfe"}',
            marks=pytest.mark.tried(
                kind="decoding errors",
                given="a manifest with a byte that is not UTF-8",
                outcome="the snapshot before it is used",
            ),
        ),
        pytest.param(
            b"",
            marks=pytest.mark.tried(
                kind="decoding errors", given="an empty manifest", outcome="the snapshot before it is used"
            ),
        ),
        pytest.param(
            b"schema",
            marks=pytest.mark.tried(
                kind="decoding errors", given="a manifest that is not JSON", outcome="the snapshot before it is used"
            ),
        ),
        pytest.param(
            b"[" * 100_000,
            marks=pytest.mark.tried(
                kind="decoding errors", given="a manifest of 100,000 brackets", outcome="the snapshot before it is used"
            ),
        ),
        pytest.param(
            b"{}",
            marks=pytest.mark.tried(
                kind="decoding errors", given="a manifest without a schema", outcome="the snapshot before it is used"
            ),
        ),
        pytest.param(
            b'{"schema": 4}',
            marks=pytest.mark.tried(
                kind="decoding errors",
                given="a manifest whose schema is a number",
                outcome="the snapshot before it is used",
            ),
        ),
        pytest.param(
            b"[1, 2]",
            marks=pytest.mark.tried(
                kind="decoding errors", given="a manifest that is a list", outcome="the snapshot before it is used"
            ),
        ),
        pytest.param(
            b"null",
            marks=pytest.mark.tried(
                kind="decoding errors", given="a manifest that is null", outcome="the snapshot before it is used"
            ),
        ),
        pytest.param(
            b'{"schema": "%s"}' % FORMAT.encode(),
            marks=pytest.mark.tried(
                kind="decoding errors", given="a manifest without its fields", outcome="the snapshot before it is used"
            ),
        ),
    ],
)
def test_a_manifest_damaged_in_any_form_is_passed_over(tmp_path: Path, content: bytes) -> None:
    for offset in (1, 2):
        folder = write(tmp_path, offset)
    (folder / MANIFEST).write_bytes(content)
    assert offset_in(tmp_path) == 1
    write(tmp_path, 3)
    assert offset_in(tmp_path) == 3


@pytest.mark.tried(
    kind="decoding errors",
    given="a manifest with values of wrong types, and with impossible file names",
    outcome="the snapshot before it is used",
)
@pytest.mark.parametrize(
    ("said", "instead"),
    [
        ("1", '"1"'),
        ('"a.bin"', '"a\\u0000.bin"'),
        ('"a.bin"', f'"{"a" * 300}"'),
        ('"a.bin"', '"."'),
        ('"files"', '"fields"'),
        ('"deleted": 0', '"deleted": null'),
        ('"next_offset": 2', '"next_offset": 2.5'),
        ('"index": "numpy"', '"index": ["numpy"]'),
    ],
)
def test_a_manifest_of_wrong_values_is_passed_over(tmp_path: Path, said: str, instead: str) -> None:
    for offset in (1, 2):
        folder = write(tmp_path, offset)
    text = (folder / MANIFEST).read_text()
    assert said in text
    (folder / MANIFEST).write_text(text.replace(said, instead))
    assert offset_in(tmp_path) == 1


@pytest.mark.tried(
    kind="decoding errors",
    given="a snapshot whose clips are marked by other modalities, as before a package was added or a release had more",
    outcome="the snapshot before it is used: the bit of one modality is not taken for another's",
)
@pytest.mark.parametrize(
    ("named", "offset"),
    [
        ([], 2),
        ([*PAPER_MODALITIES], 2),
        ([*MODALITIES], 2),
        ([*PAPER_MODALITIES, "audio"], 1),
        ([*PAPER_MODALITIES[::-1]], 1),
        ([*MODALITIES, "audio"], 1),
    ],
)
def test_a_snapshot_of_other_modalities_is_passed_over(tmp_path: Path, named: list[str], offset: int) -> None:
    write(tmp_path, 1)
    path = write(tmp_path, 2) / MANIFEST
    path.write_text(json.dumps(json.loads(path.read_text()) | {"modalities": named}))
    assert offset_in(tmp_path) == offset


@pytest.mark.parametrize(("modality", "offset"), [("scenic", 2), ("routine", 1)])
def test_a_snapshot_that_names_no_modalities_is_of_those_of_the_paper(
    tmp_path: Path, modality: str, offset: int
) -> None:
    write(tmp_path, 1)
    path = write(tmp_path, 2) / MANIFEST
    space = {"generation": "g1", "clips": 0, "indexes": [{"modality": modality, "width": 3, "vectors": 0}]}
    path.write_text(json.dumps(json.loads(path.read_text()) | {"modalities": [], "spaces": [space]}))
    assert offset_in(tmp_path) == offset


@pytest.mark.tried(
    kind="decoding errors", given="a damaged pointer to the current snapshot", outcome="the newest intact one is used"
)
@pytest.mark.parametrize("content", [b"\xff\xfe", b"", b"snapshot-99999999", b"..", b"\0"])
def test_a_damaged_pointer_leads_to_the_newest_snapshot(tmp_path: Path, content: bytes) -> None:
    for offset in (1, 2):
        write(tmp_path, offset)
    (tmp_path / CURRENT).write_bytes(content)
    assert offset_in(tmp_path) == 2


def test_a_segment_that_a_snapshot_holds_already_is_not_written_again(tmp_path: Path) -> None:
    Segment.written.clear()
    for offset in (1, 2, 3):
        write(tmp_path, offset)
    assert Segment.written == {b"segment shared": 1, **{b"segment own-%d" % offset: 1 for offset in (1, 2, 3)}}


@pytest.mark.parametrize("harm", [truncated, Path.unlink])
def test_a_segment_that_is_gone_or_of_another_length_is_written_again(tmp_path: Path, harm: Write) -> None:
    write(tmp_path, 1)
    harm(tmp_path / "segments" / "shared")
    write(tmp_path, 2)
    assert offset_in(tmp_path) == 2


@pytest.mark.tried(
    kind="decoding errors",
    given="a segment changed by one bit, truncated or missing",
    outcome="named; an older snapshot is used",
)
@pytest.mark.parametrize("harm", [changed_byte, truncated, Path.unlink])
def test_a_damaged_segment_is_noticed_and_named(tmp_path: Path, harm: Write) -> None:
    for offset in (1, 2):
        write(tmp_path, offset)
    harm(tmp_path / "segments" / "own-2")
    assert offset_in(tmp_path) == 1
    harm(tmp_path / "segments" / "shared")
    found = read_snapshot(tmp_path)
    assert found is not None, "nothing but segments is damaged"
    assert found.folder.name == "snapshot-00000002"
    assert {path.name for path in found.damaged} == {"own-2", "shared"}
    assert all(str(path) in str(problem) for path, problem in found.damaged.items())


@pytest.mark.tried(
    kind="decoding errors",
    given="a segment whose name leads out of its folder",
    outcome="the snapshot before it is used",
)
@pytest.mark.parametrize(
    "name", ["../CURRENT", "/etc/hostname", "..", ".", "", ".partial-a", "a/b", "a\\u0000", "a" * 200]
)
def test_a_segment_name_that_leads_elsewhere_is_refused(tmp_path: Path, name: str) -> None:
    for offset in (1, 2):
        folder = write(tmp_path, offset)
    text = (folder / MANIFEST).read_text()
    (folder / MANIFEST).write_text(text.replace('"own-2"', f'"{name}"'))
    assert offset_in(tmp_path) == 1


def test_a_segment_file_that_no_snapshot_names_goes_with_the_next(tmp_path: Path) -> None:
    write(tmp_path, 1)
    for name in ("left-by-a-kill", ".partial-x"):
        (tmp_path / "segments" / name).write_bytes(b"x")
    write(tmp_path, 2)
    assert sorted(path.name for path in (tmp_path / "segments").iterdir()) == ["own-1", "own-2", "shared"]


def test_a_manifest_that_cannot_be_read_for_now_does_not_cost_its_segments(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, 1)

    def refused(path: Path) -> bytes:
        raise OSError(24, "Too many open files")

    with monkeypatch.context() as patched:
        patched.setattr(Path, "read_bytes", refused)
        with pytest.raises(SnapshotNotWritten, match="Too many open files"):
            write(tmp_path, 2)
    assert offset_in(tmp_path) == 1


def test_a_folder_that_someone_else_put_there_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "snapshot-of-mine").mkdir()
    for offset in (1, 2, 3):
        write(tmp_path, offset)
    assert offset_in(tmp_path) == 3
    assert (tmp_path / "snapshot-of-mine").is_dir()


@pytest.mark.parametrize("other", ["index-snapshot/4", "index-snapshot/7"])
def test_a_snapshot_of_another_format_is_refused_in_one_sentence_or_an_older_one_is_used(
    tmp_path: Path, other: str
) -> None:
    def of_another_release(folder: Path) -> None:
        path = folder / MANIFEST
        path.write_text(path.read_text().replace(FORMAT, other))

    of_another_release(write(tmp_path, 1))
    with pytest.raises(SnapshotError) as refused:
        read_snapshot(tmp_path)
    for part in (
        f"wrote it as {other}; this one reads {FORMAT}",
        "delete the folder to rebuild the index from the log",
    ):
        assert part in refused.value.message
    assert "\n" not in refused.value.message
    write(tmp_path, 2)
    of_another_release(write(tmp_path, 3))
    assert offset_in(tmp_path) == 2


def test_writing_goes_on_after_damage(tmp_path: Path) -> None:
    truncated(write(tmp_path, 1) / "a.bin")
    write(tmp_path, 2)
    assert offset_in(tmp_path) == 2
