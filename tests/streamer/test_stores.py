import contextlib
import errno
import os
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFileSystem

from schemas.errors import (
    ConfigurationError,
    FeatureFileCorrupt,
    FeatureFileForbidden,
    FeatureFileMissing,
    FeatureFileOversized,
    FeatureStoreUnavailable,
)
from streamer.roots import FeatureRoots, Location
from streamer.stores import FeatureStore


class Reservations:
    def __init__(self) -> None:
        self.sizes: list[int] = []

    def __call__(self, size_bytes: int) -> None:
        self.sizes.append(size_bytes)


def store(*roots: str, max_bytes: int = 100, patience_s: float = 5.0, stopped: bool = False) -> FeatureStore:
    return FeatureStore(
        FeatureRoots(roots), max_bytes=max_bytes, patience_s=patience_s, options={}, stopped=lambda: stopped
    )


def test_a_file_is_read_after_its_size_was_reserved(feature_root: Path) -> None:
    (feature_root / "a b").write_bytes(b"12345")
    reserved = Reservations()
    assert store(feature_root.as_uri()).read(f"{feature_root.as_uri()}/a%20b", reserved) == b"12345"
    assert reserved.sizes == [5]


def test_a_larger_file_is_refused_without_reading_it(feature_root: Path) -> None:
    (feature_root / "clip").write_bytes(bytes(101))
    reserved = Reservations()
    with pytest.raises(FeatureFileOversized, match="101 bytes, over the limit of 100"):
        store(feature_root.as_uri()).read(f"{feature_root.as_uri()}/clip", reserved)
    assert reserved.sizes == []


def test_a_path_that_is_not_a_readable_file_is_missing_and_not_retried(feature_root: Path) -> None:
    (feature_root / "folder").mkdir()
    os.mkfifo(feature_root / "pipe")
    for name in ("absent", "folder", "pipe", "folder/../absent", "pipe/clip", "x" * 300):
        with pytest.raises(FeatureFileMissing):
            store(feature_root.as_uri(), patience_s=60).read(f"{feature_root.as_uri()}/{name}", Reservations())


@pytest.fixture
def memory() -> Iterator[MemoryFileSystem]:
    files = fsspec.filesystem("memory")
    files.store.clear()
    yield files
    files.store.clear()


def test_another_scheme_is_read_through_fsspec_within_the_same_limits(memory: MemoryFileSystem) -> None:
    memory.pipe_file("/clips/small", b"12345")
    memory.pipe_file("/clips/large", bytes(101))
    memory.pipe_file("/clips/empty", b"")
    reader, reserved = store("memory://clips"), Reservations()
    assert reader.read("memory://clips/small", reserved) == b"12345"
    assert reader.read("memory://clips/empty", reserved) == b""
    assert reserved.sizes == [5, 0]
    with pytest.raises(FeatureFileOversized):
        reader.read("memory://clips/large", reserved)
    with pytest.raises(FeatureFileMissing):
        reader.read("memory://clips/absent", reserved)
    with pytest.raises(FeatureFileForbidden):
        reader.read("memory://others/small", reserved)


def test_a_store_that_hides_sizes_is_read_no_further_than_the_limit(
    memory: MemoryFileSystem, monkeypatch: pytest.MonkeyPatch
) -> None:
    memory.pipe_file("/clips/large", bytes(10_000))
    monkeypatch.setattr(MemoryFileSystem, "info", lambda self, path: {"type": "file", "size": None})
    reserved = Reservations()
    with pytest.raises(FeatureFileOversized, match="101 bytes"):
        store("memory://clips").read("memory://clips/large", reserved)
    assert reserved.sizes == [101]


class Flaky:
    """A store whose first calls fail."""

    def __init__(self, *failures: Exception) -> None:
        self.failures = list(failures)
        self.calls = 0

    def info(self, path: str) -> dict[str, object]:
        self.calls += 1
        if self.failures:
            raise self.failures.pop(0)
        return {"type": "file", "size": 3}

    def cat_file(self, path: str, start: int, end: int) -> bytes:
        return b"abc"


class ClientError(Exception):
    """What the client of an object store may raise: none of Python's own types."""


@pytest.mark.parametrize(
    "failure", [TimeoutError("timed out"), OSError(errno.EIO, "input/output error"), ClientError("503 slow down")]
)
def test_reading_is_retried_until_the_store_answers(failure: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    flaky = Flaky(failure)
    monkeypatch.setattr(fsspec, "filesystem", lambda scheme: flaky)
    assert store("memory://clips").read("memory://clips/clip", Reservations()) == b"abc"
    assert flaky.calls == 2


def test_a_store_that_never_answers_is_unavailable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fsspec, "filesystem", lambda scheme: Flaky(*[TimeoutError("timed out")] * 1000))
    with pytest.raises(FeatureStoreUnavailable, match=r"did not answer within 0\.2 s \(timed out\)"):
        store("memory://clips", patience_s=0.2).read("memory://clips/clip", Reservations())


def test_reading_is_not_retried_after_loading_was_abandoned(monkeypatch: pytest.MonkeyPatch) -> None:
    flaky = Flaky(*[TimeoutError("timed out")] * 1000)
    monkeypatch.setattr(fsspec, "filesystem", lambda scheme: flaky)
    with pytest.raises(FeatureStoreUnavailable):
        store("memory://clips", patience_s=60, stopped=True).read("memory://clips/clip", Reservations())
    assert flaky.calls == 1


def test_a_root_whose_scheme_cannot_be_read_here_is_a_configuration_error() -> None:
    with pytest.raises(ConfigurationError, match="nowhere") as caught:
        store("nowhere://bucket")
    assert caught.value.field == "feature_roots"


@pytest.mark.parametrize("scheme", ["http", "https", "ftp", "sftp", "local", "zip", "simplecache", "data", "github"])
def test_a_scheme_that_may_refer_to_other_places_is_refused_as_a_root(scheme: str) -> None:
    with pytest.raises(
        ConfigurationError, match=f"{scheme}.*may refer to other places; allowed are file, .*s3"
    ) as caught:
        store(f"{scheme}://place/clips")
    assert caught.value.field == "feature_roots"


def test_no_request_is_sent_to_a_host_that_an_upload_names(feature_root: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        host, port = server.getsockname()
        for uri in (f"http://{host}:{port}/clip", f"HTTP://{host}:{port}/clip", f"file://{host}:{port}/clip"):
            with pytest.raises(FeatureFileForbidden):
                store(feature_root.as_uri()).read(uri, Reservations())
        server.settimeout(0.05)
        with pytest.raises(TimeoutError):
            server.accept()


@pytest.mark.parametrize("swapped", ["folder", "folder/inner", "folder/inner/clip"])
def test_a_part_of_the_path_that_becomes_a_link_after_it_was_resolved_is_not_followed(
    tmp_path: Path, feature_root: Path, monkeypatch: pytest.MonkeyPatch, swapped: str
) -> None:
    secret = tmp_path / "elsewhere" / "inner"
    for folder in (secret, feature_root / "folder" / "inner"):
        folder.mkdir(parents=True)
        (folder / "clip").write_bytes(folder.name.encode())
    reader, resolve = store(feature_root.as_uri()), FeatureRoots.resolve

    def resolve_and_lose_the_race(roots: FeatureRoots, uri: str) -> Location:
        location = resolve(roots, uri)
        target = tmp_path / "elsewhere" / Path(swapped).relative_to("folder")
        (feature_root / swapped).rename(tmp_path / "moved")
        (feature_root / swapped).symlink_to(target)
        return location

    uri = f"{feature_root.as_uri()}/folder/inner/clip"
    assert reader.read(uri, Reservations()) == b"inner"
    monkeypatch.setattr(FeatureRoots, "resolve", resolve_and_lose_the_race)
    with pytest.raises(FeatureFileMissing):
        reader.read(uri, Reservations())


def test_reading_leaves_no_descriptor_open(feature_root: Path) -> None:
    (feature_root / "clip").write_bytes(b"12345")
    reader, before = store(feature_root.as_uri()), len([*Path("/proc/self/fd").iterdir()])
    for name in ("clip", "absent", "clip/below", "folder/absent"):
        with contextlib.suppress(FeatureFileMissing):
            reader.read(f"{feature_root.as_uri()}/{name}", Reservations())
    assert len([*Path("/proc/self/fd").iterdir()]) == before


def test_a_named_pipe_does_not_hold_the_thread(feature_root: Path) -> None:
    os.mkfifo(feature_root / "pipe")

    def read() -> None:
        with pytest.raises(FeatureFileMissing, match="not a regular file"):
            store(feature_root.as_uri()).read(f"{feature_root.as_uri()}/pipe", Reservations())

    thread = threading.Thread(target=read, daemon=True)
    thread.start()
    thread.join(timeout=60)
    assert not thread.is_alive()


@pytest.mark.tried(
    kind="bounds on compressed bytes",
    given="a feature file that an object store keeps with Content-Encoding gzip",
    outcome="refused unread",
)
def test_a_file_that_its_store_would_decompress_is_refused_unread(
    memory: MemoryFileSystem, monkeypatch: pytest.MonkeyPatch
) -> None:
    memory.pipe_file("/clips/small", b"12345")
    known = memory.info("/clips/small") | {"contentEncoding": "gzip"}
    monkeypatch.setattr(MemoryFileSystem, "info", lambda *_: known)
    monkeypatch.setattr(MemoryFileSystem, "cat_file", lambda *_, **__: pytest.fail("it was read"))
    with pytest.raises(FeatureFileCorrupt, match=r"Content-Encoding gzip.*store the file as it is"):
        store("memory://clips").read("memory://clips/small", Reservations())
