"""``dancerank keys``: what an operator does about API keys."""

import re
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from dancerank.cli import app
from ranking.serving.api import KeyRing, read_keys


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.setenv("DANCERANK_SERVER__API_KEYS", str(tmp_path / "keys.jsonl"))
    return tmp_path / "keys.jsonl"


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["keys", *arguments])


def test_a_key_is_printed_alone_so_that_it_can_be_piped_and_is_active(path: Path) -> None:
    result = run("create", "dashboard", "--per-minute", "600", "--burst", "20")
    assert result.exit_code == 0
    assert re.fullmatch(r"dr_[\w-]{43}\n", result.stdout)
    assert "not shown again" in result.stderr
    (key,) = read_keys(path)
    assert (key.name, key.requests_per_minute, key.burst) == ("dashboard", 600, 20)
    assert KeyRing(path).find(result.stdout.strip()) == key


def test_the_list_shows_names_and_active_limits_and_no_key(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    secrets = [run("create", "a", "--per-minute", "600").stdout, run("create", "b").stdout]
    output = run("list").output
    assert re.search(r"│ a +│ \d{4}-\d\d-\d\d \d\d:\d\d │ 600 +│ 600 ", output)
    assert re.search(r"│ b +│ .*│ any number +│ any number ", output)
    assert not any(secret.strip() in output or key.digest in output for secret in secrets for key in read_keys(path))
    monkeypatch.setenv("DANCERANK_SERVER__REQUESTS_PER_MINUTE", "90")
    assert re.search(r"│ b +│ .*│ 90 +│ 90 ", run("list").output)


def test_a_revoked_key_is_gone_and_cannot_be_revoked_again(path: Path) -> None:
    run("create", "a")
    assert run("revoke", "a").exit_code == 0
    assert read_keys(path) == []
    again = run("revoke", "a")
    assert (again.exit_code, "no key is called a" in again.stderr) == (1, True)


@pytest.mark.parametrize("command", [("create", "a"), ("list",), ("revoke", "a")])
def test_without_a_file_in_the_settings_each_command_names_the_setting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...]
) -> None:
    monkeypatch.chdir(tmp_path)
    result = run(*command)
    assert (result.exit_code, "DANCERANK_SERVER__API_KEYS" in result.stderr) == (1, True)


@pytest.mark.parametrize("arguments", [("a b",), ("a", "--per-minute", "0"), ("a", "--burst", "0")])
def test_what_is_not_allowed_creates_no_file(path: Path, arguments: tuple[str, ...]) -> None:
    assert run("create", *arguments).exit_code != 0
    assert not path.exists()
