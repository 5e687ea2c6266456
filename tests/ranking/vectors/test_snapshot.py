import os
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import msgspec
import pytest

import ranking.vectors.snapshots
from ranking.vectors.manifest import FORMAT, MANIFEST, Position, SnapshotManifest
from ranking.vectors.snapshots import CURRENT, read_snapshot, write_snapshot
from schemas.errors import SnapshotError, SnapshotNotWritten

Write = Callable[[Path], None]


def manifest(offset: int) -> SnapshotManifest:
    position = Position("t", 0, offset)
    return SnapshotManifest(index="numpy", positions=(position,), spaces=(), deleted=0, created_at_ms=1)


def files(offset: int) -> dict[str, bytes]:
    return dict.fromkeys(("a.bin", "b.bin"), f"content at {offset}".encode())


@dataclass(frozen=True)
class SegmentContent:
    """``SegmentFile`` of bytes in memory."""

    content: bytes

    @property
    def size_bytes(self) -> int:
        return len(self.content)

    def write(self, path: Path) -> None:
        path.write_bytes(self.content)


class Segment(SegmentContent):
    """Counts how often each content is written."""

    written: ClassVar[Counter[bytes]] = Counter()

    def write(self, path: Path) -> None:
        self.written[self.content] += 1
        super().write(path)


class Huge(SegmentContent):
    """Larger than any disk."""

    @property
    def size_bytes(self) -> int:
        return 1 << 60


class Failing(SegmentContent):
    """The disk refuses its second half."""

    def __init__(self, error: BaseException) -> None:
        super().__init__(bytes(1 << 20))
        self.__dict__["error"] = error

    def write(self, path: Path) -> None:
        super().write(path)
        raise self.__dict__["error"]


def segments_of(folder: Path) -> list[str]:
    return list(msgspec.json.decode((folder / MANIFEST).read_bytes())["segments"])


def segments(*names: str) -> dict[str, Segment]:
    return {name: Segment(f"segment {name}".encode()) for name in names}


def write(root: Path, offset: int) -> Path:
    """A snapshot with two files, a segment that it shares with others and one of its own."""
    return write_snapshot(root, manifest(offset), files(offset), segments("shared", f"own-{offset}"))


def offset_in(root: Path) -> int | None:
    """The offset of the snapshot that is found; its files belong to it."""
    found = read_snapshot(root)
    if found is None:
        return None
    offset = found.manifest.positions[0].next_offset
    assert all((found.folder / name).read_text() == f"content at {offset}" for name in ("a.bin", "b.bin"))
    assert {name: path.read_text() for name, path in found.segments.items()} == {
        name: f"segment {name}" for name in ("shared", f"own-{offset}")
    }
    return offset


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


@pytest.mark.parametrize("other", ["index-snapshot/4", "index-snapshot/6"])
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


class Killed(BaseException):
    """The process dies here; handlers do not run."""


def steps(monkeypatch: pytest.MonkeyPatch, die_at: int) -> Iterator[int]:
    """Count the steps that reach the disk; die in place of step ``die_at``."""
    taken = 0

    def dying(original: Callable[..., object]) -> Callable[..., object]:
        def step(*args: object, **options: object) -> object:
            nonlocal taken
            taken += 1
            if taken >= die_at:
                raise Killed
            return original(*args, **options)

        return step

    monkeypatch.setattr(os, "fsync", dying(os.fsync))
    for name in ("replace", "mkdir", "write_text", "write_bytes", "rmdir", "unlink"):
        monkeypatch.setattr(Path, name, dying(getattr(Path, name)))
    monkeypatch.setattr(ranking.vectors.snapshots.shutil, "rmtree", dying(ranking.vectors.snapshots.shutil.rmtree))
    while True:
        yield taken


@pytest.mark.tried(
    kind="leftovers", given="a writer killed between any two steps", outcome="the next one removes what is left"
)
def test_a_writer_may_be_killed_between_any_two_steps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    survived = 0
    for die_at in range(1, 100):
        root = tmp_path / str(die_at)
        for offset in (1, 2):
            write(root, offset)
        with monkeypatch.context() as patched:
            counter = steps(patched, die_at)
            next(counter)
            try:
                write(root, 3)
            except Killed:
                survived += 1
            else:
                break
        assert offset_in(root) in (2, 3)
        write(root, 4)
        assert offset_in(root) == 4
        assert [path for path in root.rglob("*") if path.name.startswith(".partial")] == []
        kept = {name for folder in root.glob("snapshot-*") for name in segments_of(folder)}
        assert {path.name for path in (root / "segments").iterdir()} == kept
    assert survived > 20


def test_a_first_writer_may_be_killed_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for die_at in range(1, 20):
        root = tmp_path / str(die_at)
        with monkeypatch.context() as patched, suppress(Killed):
            next(steps(patched, die_at))
            write(root, 1)
        assert offset_in(root) in (None, 1)


@pytest.mark.tried(
    kind="leftovers", given="a disk that fills up while a snapshot is written", outcome="the current snapshot stays"
)
def test_a_full_disk_leaves_the_current_snapshot(tmp_path: Path) -> None:
    write(tmp_path, 1)

    with pytest.raises(SnapshotNotWritten, match="No space left"):
        write_snapshot(tmp_path, manifest(2), files(2), {"full": Failing(OSError(28, "No space left on device"))})
    assert offset_in(tmp_path) == 1


@pytest.mark.tried(
    kind="leftovers", given="a snapshot that fails or is interrupted in mid-write", outcome="nothing of it is left"
)
@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt(), RuntimeError("faiss")])
def test_a_snapshot_that_fails_leaves_nothing_of_itself(tmp_path: Path, error: BaseException) -> None:
    write(tmp_path, 1)
    before = sorted(tmp_path.rglob("*"))

    with pytest.raises((SnapshotNotWritten, type(error))):
        write_snapshot(tmp_path, manifest(2), files(2), {**segments("shared", "new"), "c": Failing(error)})
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.tried(
    kind="leftovers",
    given="a disk that is full when a snapshot is made current",
    outcome="nothing of it is left, however often it is tried",
)
def test_a_snapshot_that_cannot_be_made_current_leaves_nothing_however_often_it_is_tried(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, 1)
    before = sorted(tmp_path.rglob("*"))

    def full(path: Path, text: str) -> int:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(Path, "write_text", full)
        for offset in (2, 3):
            with pytest.raises(SnapshotNotWritten, match="No space left"):
                write(tmp_path, offset)
            assert sorted(tmp_path.rglob("*")) == before
    write(tmp_path, 4)
    assert offset_in(tmp_path) == 4


@pytest.mark.tried(
    kind="leftovers", given="less room than a snapshot needs", outcome="refused with the room needed, nothing written"
)
def test_room_is_checked_before_anything_is_written_and_named(tmp_path: Path) -> None:
    write(tmp_path, 1)
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(SnapshotNotWritten, match=r"needs about [\d,]+\.\d MiB and [\d,]+\.\d MiB are free"):
        write_snapshot(tmp_path, manifest(2), files(2), {**segments("shared"), "huge": Huge(b"")})
    assert sorted(tmp_path.rglob("*")) == before
    write_snapshot(tmp_path, manifest(2), files(2), {"shared": Huge(b""), **segments("own-2")})
    assert offset_in(tmp_path) == 2, "what is there already takes no room"
