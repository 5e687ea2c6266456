"""Format of log lines, and which are suppressed."""

import json
import logging
import warnings

import pytest
import stamina
import typer
from typer.testing import CliRunner

from dancerank import cli
from dancerank.logs import configure_logs
from dancerank.settings import LogSettings
from schemas.errors import TransportError


def fail_with_a_secret() -> None:
    secret = "open sesame"
    raise ValueError(len(secret))


def retry_once() -> None:
    for attempt in stamina.retry_context(on=OSError, attempts=2, wait_initial=0.0, wait_jitter=0.0, wait_max=0.0):
        with attempt:
            if attempt.num == 1:
                raise OSError("unreachable")


@pytest.mark.parametrize("format", ["console", "json"])
def test_a_traceback_shows_where_and_no_local_variables(capsys: pytest.CaptureFixture[str], format: str) -> None:
    configure_logs(LogSettings.model_validate({"format": format}))
    try:
        fail_with_a_secret()
    except ValueError:
        logging.getLogger("ranking.views.loop").exception("the loop ended")
    written = capsys.readouterr().err
    assert "fail_with_a_secret" in written
    assert "open sesame" not in written


def test_as_json_every_line_parses_whoever_writes_it(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs(LogSettings(format="json", level="debug"))
    try:
        fail_with_a_secret()
    except ValueError:
        logging.getLogger("uvicorn.error").exception("a request failed")
    logging.getLogger("transport").warning("odd", extra={"at": object()})
    logging.getLogger("kafka.client").error("unreachable")
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.warn("deprecated", stacklevel=1)
    retry_once()
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert len(lines) == 5
    assert all({"event", "level", "logger", "timestamp"} <= line.keys() for line in lines)
    assert "unreachable" in lines[-1]["event"]


def test_as_json_the_error_that_ends_a_command_is_a_line_with_its_code() -> None:
    app = typer.Typer()

    def ending() -> None:
        configure_logs(LogSettings(format="json"))
        raise TransportError("no broker")

    app.command()(cli._reporting(ending))
    result = CliRunner().invoke(app, [])
    line = json.loads(result.stderr)
    assert (result.exit_code, line["event"], line["code"]) == (1, "no broker", "transport")


def test_an_outage_fills_no_log_with_the_clients_lines(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs(LogSettings())
    for attempt in range(300):
        logging.getLogger("kafka.conn").error("attempt %d", attempt)
        logging.getLogger("kafka.cluster").warning("attempt %d", attempt)
    logging.getLogger("transport").warning("ours")
    logging.getLogger("kafka.conn").critical("the end")
    later = logging.makeLogRecord({"name": "kafka.conn", "levelno": logging.ERROR, "msg": "attempt %d", "args": (300,)})
    later.created += 61
    logging.getLogger("kafka.conn").handle(later)
    lines = capsys.readouterr().err.splitlines()
    expected = ["attempt 0", "attempt 0", "ours", "the end", "attempt 300 (299 lines before"]
    assert len(lines) == len(expected)
    for line, part in zip(lines, expected, strict=True):
        assert part in line


@pytest.mark.parametrize(
    ("logger", "level", "line"),
    [
        (
            "kafka.net.selector",
            logging.WARNING,
            "Task <kafka.net.selector.Task object at 0x7f37a1751a10> ran for 0.101s (>0.100s threshold). It is "
            "blocking the event loop -- likely a tight sync loop inside a coroutine. Other pollers will time out.",
        ),
        ("kafka.net.transport", logging.ERROR, "<KafkaTCPTransport [IPv4 ('127.0.0.1', 9092)]>: socket disconnected"),
        (
            "kafka.net.transport",
            logging.ERROR,
            "<KafkaTCPTransport [none] (closed)>: Error receiving network data closing socket",
        ),
        (
            "kafka.net.transport",
            logging.ERROR,
            "<KafkaTCPTransport [127.0.0.1:9092<-44392]>: Abort (KafkaConnectionError: socket disconnected)",
        ),
        (
            "kafka.net.connection",
            logging.ERROR,
            "<KafkaConnection node_id=2 (disconnected)>: Connection lost: KafkaConnectionError: socket disconnected",
        ),
    ],
    ids=["late task", "closed socket", "failed read", "aborted transport", "lost connection"],
)
@pytest.mark.parametrize("format", ["console", "json"])
def test_lines_of_the_client_that_tell_an_operator_nothing_are_dropped_and_hide_no_other(
    capsys: pytest.CaptureFixture[str], logger: str, level: int, line: str, format: str
) -> None:
    configure_logs(LogSettings.model_validate({"format": format}))
    logging.getLogger(logger).log(level, line)
    assert capsys.readouterr().err == ""
    logging.getLogger("transport").log(level, "ours: %s", line)
    logging.getLogger(logger).log(level, "Connection failed: 111 ECONNREFUSED")
    ours, theirs = capsys.readouterr().err.splitlines()
    assert "ours: " in ours
    assert "ECONNREFUSED" in theirs
    assert "left out" not in theirs


@pytest.mark.parametrize(
    "forged", ["\n2026-01-01 [error] forged", "\x1b[2J", "\r", "\u202e", "\x9b31m", "\ud800", "\u2028"]
)
def test_a_text_from_outside_forges_no_line_and_steers_no_terminal(
    capsys: pytest.CaptureFixture[str], forged: str
) -> None:
    configure_logs(LogSettings())
    log = logging.getLogger("ranking")
    log.warning("clip a%sb skipped", forged)
    log.warning("skipped", extra={"clip": f"a{forged}b", f"x{forged}": 1})
    assert len(lines := capsys.readouterr().err.splitlines()) == 2
    assert all("ranking" in line and line.isprintable() for line in lines)
    try:
        raise ValueError(f"a{forged}b")
    except ValueError:
        log.exception("failed")
    first, *traceback = capsys.readouterr().err.rstrip().split("\n")
    assert "failed" in first
    assert all(line.isprintable() for line in traceback)
    assert all(line.startswith("    ") for line in traceback if line)
