"""The file of API keys: its contents, its changes, and its errors."""

import hmac
import logging
import os
import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from ranking.serving.api import keys
from ranking.serving.api.keys import KeyRing, create_key, read_keys, revoke_key
from schemas.errors import ConfigurationError

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "keys.jsonl"


def create(path: Path, name: str, **limits: Any) -> str:
    return create_key(path, name, created=NOW, **limits)


def found(ring: KeyRing, secret: str) -> str | None:
    key = ring.find(secret)
    return None if key is None else key.name


def test_a_key_is_known_by_its_hash_and_stands_nowhere(path: Path) -> None:
    secrets = [create(path, f"k{n}") for n in range(3)]
    content = path.read_text()
    assert all(secret not in content and secret[3:] not in content for secret in secrets)
    ring = KeyRing(path)
    assert [found(ring, secret) for secret in secrets] == ["k0", "k1", "k2"]
    for wrong in (
        "",
        secrets[0][:-1],
        secrets[0] + "x",
        secrets[0].lower(),
        "dr_",
        read_keys(path)[0].digest,
        "é",
        "\udc80",
    ):
        assert found(ring, wrong) is None


def test_keys_are_256_random_bits_and_no_two_are_alike(path: Path) -> None:
    secrets = {create(path, f"k{n}") for n in range(50)}
    assert len(secrets) == 50
    assert {len(secret) for secret in secrets} == {len("dr_") + 43}


def test_every_key_is_compared_in_constant_time_also_after_a_match(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = create(path, "first")
    for n in range(4):
        create(path, f"k{n}")
    ring, compared, in_constant_time = KeyRing(path), [], hmac.compare_digest

    def compare(one: bytes, other: bytes) -> bool:
        compared.append((one, other))
        return in_constant_time(one, other)

    monkeypatch.setattr(keys.hmac, "compare_digest", compare)
    for secret in (first, "wrong"):
        compared.clear()
        ring.find(secret)
        assert len(compared) == 5
        assert {len(side) for pair in compared for side in pair} == {32}


def test_a_file_that_changes_is_followed_without_a_restart(path: Path) -> None:
    old = create(path, "old")
    ring = KeyRing(path)
    new = create(path, "new", requests_per_minute=7)
    assert [found(ring, old), found(ring, new)] == ["old", "new"]
    revoke_key(path, "old")
    assert [found(ring, old), found(ring, new)] == [None, "new"]
    revoke_key(path, "new")
    assert found(ring, new) is None
    assert path.read_bytes() == b""


def test_a_version_that_cannot_be_read_leaves_the_one_before_active_and_is_logged_once(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    secret = create(path, "k")
    ring = KeyRing(path)
    for spoil in (lambda: path.write_text("no key\n"), path.unlink):
        caplog.clear()
        spoil()
        assert [found(ring, secret) for _ in range(3)] == ["k"] * 3
        assert [record.levelno for record in caplog.records] == [logging.ERROR]
        assert str(path) in caplog.text
        assert "no key" not in caplog.text


@pytest.mark.parametrize(
    ("line", "named"),
    [
        ("planted", r"line 2: it is not JSON"),
        ('{"name": "planted"}', r"line 2: .*digest"),
        ('{"name": "a b", "digest": "%s", "created": "2026-03-01T12:00:00Z"}' % ("0" * 64), "line 2: .*name"),
        ('{"name": "b", "digest": "planted", "created": "2026-03-01T12:00:00Z"}', "line 2: .*digest"),
        ('{"name": "b", "digest": "%s", "created": "2026-03-01T12:00:00"}' % ("0" * 64), "line 2: .*created"),
        ('{"name": "b", "digest": "%s", "created": "2026-03-01T12:00:00Z", "more": 1}' % ("0" * 64), "line 2: .*more"),
        (
            '{"name": "b", "digest": "%s", "created": "2026-03-01T12:00:00Z", "burst": 0}' % ("0" * 64),
            "line 2: .*burst",
        ),
        ('{"name": "a", "digest": "%s", "created": "2026-03-01T12:00:00Z"}' % ("0" * 64), "line 2: .*called a above"),
        ("\xff", "line 2"),
    ],
)
def test_a_wrong_line_is_named_and_not_quoted(path: Path, line: str, named: str) -> None:
    create(path, "a")
    with path.open("ab") as file:
        file.write(line.encode("latin-1") + b"\n")
    with pytest.raises(ConfigurationError, match=named) as caught:
        KeyRing(path)
    assert caught.value.field == "server.api_keys"
    assert "planted" not in caught.value.message


def test_a_file_that_is_absent_is_an_error_that_says_how_to_make_it(path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"server\.api_keys.*dancerank keys create"):
        KeyRing(path)


@pytest.mark.parametrize("name", ["", "a b", "a/b", "a\n", "é", "x" * 65])
def test_a_name_is_one_that_can_be_logged(path: Path, name: str) -> None:
    with pytest.raises(ConfigurationError, match="name"):
        create(path, name)
    assert not path.exists()


def test_a_name_is_given_once_and_only_one_that_was_given_is_revoked(path: Path) -> None:
    create(path, "a")
    before = path.read_bytes()
    with pytest.raises(ConfigurationError, match="called a"):
        create(path, "a")
    with pytest.raises(ConfigurationError, match="no key is called b"):
        revoke_key(path, "b")
    assert path.read_bytes() == before


def test_only_its_owner_reads_a_new_file_and_a_file_that_is_there_keeps_its_mode(path: Path) -> None:
    create(path, "a")
    assert path.stat().st_mode & 0o777 == 0o600
    path.chmod(0o640)
    create(path, "b")
    assert path.stat().st_mode & 0o777 == 0o640
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]


def test_a_link_to_the_file_stays_a_link(path: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    link = tmp_path / "elsewhere" / "keys"
    create(path, "a")
    link.symlink_to(path)
    create(link, "b")
    assert link.is_symlink()
    assert [key.name for key in read_keys(path)] == ["a", "b"]


def test_commands_at_once_lose_no_key_and_a_reader_never_sees_half_a_file(path: Path) -> None:
    create(path, "first")
    stop, failures = threading.Event(), []

    def read() -> None:
        while not stop.is_set():
            try:
                read_keys(path)
            except ConfigurationError as error:
                failures.append(error)

    reader = threading.Thread(target=read)
    reader.start()
    writers = [
        threading.Thread(target=lambda n=n: [create(path, f"{n}-{m}") for m in range(8)])  # type: ignore[misc]
        for n in range(4)
    ]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    stop.set()
    reader.join()
    assert not failures
    assert len(read_keys(path)) == 33


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, os.strerror(13))

    monkeypatch.setattr(keys.tempfile, "NamedTemporaryFile", refuse)
    with pytest.raises(ConfigurationError, match=r"keys\.jsonl.*Permission denied"):
        create(tmp_path / "keys.jsonl", "a")
    with pytest.raises(ConfigurationError, match="No such file"):
        create(tmp_path / "absent" / "keys.jsonl", "a")
