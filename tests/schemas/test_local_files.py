"""Files are read without waiting for a pipe, and what cannot be read says why in words."""

import os
import socket
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from schemas.local_files import not_json, open_file, read_file, read_text


def test_a_file_is_read_and_its_byte_order_mark_left_out(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("größe = 1\n", encoding="utf-8-sig")
    assert read_text(tmp_path / "file") == "größe = 1\n"
    assert read_file(Path(os.devnull)) == b""


def test_a_pipe_is_read_until_its_writer_has_closed_it(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    opened = os.open(tmp_path / "pipe", os.O_RDWR)  # as the shell opens it for <(command)
    written = os.fdopen(os.open(tmp_path / "pipe", os.O_WRONLY), "wb")
    with open_file(tmp_path / "pipe") as read, ThreadPoolExecutor(1) as other:
        os.close(opened)
        with written:
            written.write(b"a = 1\n")
            written.flush()
            reading = other.submit(read.read)
            written.write(b"b = 2\n" * 20_000)
        assert reading.result() == b"a = 1\n" + b"b = 2\n" * 20_000


def pipe(path: Path) -> None:
    os.mkfifo(path)


def listening_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (Path.mkdir, "it is a folder"),
        (pipe, "it is a pipe into which nothing is written"),
        (listening_socket, "No such device or address"),
        (lambda path: path.symlink_to("/dev/zero"), "it is not a file"),
        (lambda path: path.symlink_to(path), "Too many levels of symbolic links"),
        (lambda _: None, "No such file or directory"),
        (lambda path: path.write_text("a = 1", encoding="utf-16"), "it is UTF-16; save it as UTF-8"),
        (lambda path: path.write_bytes(b"a = 1\nb = \xff\n"), "byte 10 (line 2) is not UTF-8; save it as UTF-8"),
    ],
)
def test_what_cannot_be_read_says_why(
    make: Callable[[Path], object], reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # the name of a socket is short
    make(Path("it"))
    before = len([*Path("/proc/self/fd").iterdir()])
    with pytest.raises(OSError) as raised:
        read_text(Path("it"))
    assert raised.value.strerror == reason
    assert len([*Path("/proc/self/fd").iterdir()]) == before


def test_a_name_with_a_nul_character_is_an_error_of_the_file() -> None:
    with pytest.raises(OSError) as raised:
        open_file(Path("a\0b"))
    assert raised.value.strerror == "its name holds a NUL character"


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b'{"a": [1, 2]}\n', None),
        (b"3", None),
        (b" \n", "it is empty"),
        (b'{\n"a": [1,', "it is truncated: it ends after 10 bytes, on line 2"),
        (b'{"a": tru', "it is truncated: it ends after 9 bytes, on line 1"),
        (b"[" * 100_000, "it is nested too deeply"),
        (b"\0" * 40, "it is not JSON: invalid character (byte 0)"),
        (b'{"a": 1} {"b": 2}', "it is not JSON: trailing characters (byte 10)"),
        (b'{"a": "\xff"}', "byte 7 (line 1) is not UTF-8; save it as UTF-8"),
        ('{"a": 1}'.encode("utf-16"), "it is UTF-16; save it as UTF-8"),
    ],
)
def test_a_document_that_is_not_json_says_where_it_ends_or_goes_wrong(content: bytes, problem: str | None) -> None:
    assert not_json(content) == problem
