"""Logging of a process: every module writes to the standard library's loggers, structlog gives the lines their form."""

import logging
import re
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from io import StringIO
from math import inf
from typing import Final, TextIO

import stamina
import structlog

from dancerank.settings import LogSettings
from schemas.escaping import escaped

_CLIENT_INTERVAL_S: Final = 60.0
_HICCUP_S: Final = 1.0


class _JsonLines(structlog.stdlib.ProcessorFormatter):
    """One JSON object a line."""


_SAYS_NOTHING: Final = (
    re.compile(r"Task <.*> ran for .* It is blocking the event loop"),
    re.compile(r"socket disconnected\)?$"),
    re.compile(r"Error receiving network data closing socket$"),
)
"""Lines of the Kafka client that report no event of the system: its own network thread was scheduled late, or a broker
closed a connection, which an idle one does too. What cannot be done without it is reported by the transport."""


class _ClientFilter(logging.Filter):
    """Lets through one line of each level of the Kafka client a minute, and says how many it kept back; those that tell
    an operator nothing are dropped.

    During an outage the client writes several lines per attempt and connection; the transport reports the outage too.
    """

    def __init__(self) -> None:
        super().__init__()
        self._passed_s: dict[int, float] = {}
        self._kept_back: Counter[int] = Counter()

    def filter(self, record: logging.LogRecord) -> bool:
        if not record.name.startswith("kafka") or record.levelno >= logging.CRITICAL:
            return True
        if any(line.search(record.getMessage()) for line in _SAYS_NOTHING):
            return False
        level = record.levelno
        if 0 <= record.created - self._passed_s.get(level, -inf) < _CLIENT_INTERVAL_S:
            self._kept_back[level] += 1
            return False
        if kept_back := self._kept_back.pop(level, 0):
            record.msg, record.args = f"{record.getMessage()} ({kept_back} lines before were left out)", ()
        self._passed_s[level] = record.created
        return True


def configure_logs(settings: LogSettings) -> None:
    """Write to standard error, readable or as JSON lines. Libraries are heard from warnings on."""
    shared: list[structlog.typing.Processor] = [
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.stdlib.ExtraAdder(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    if settings.format == "json":
        rendering: list[structlog.typing.Processor] = [
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(default=str),
        ]
    else:
        rendering = [
            _escape,
            structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), exception_formatter=_write_traceback),
        ]
    handler = logging.StreamHandler(sys.stderr)
    handler.addFilter(_ClientFilter())
    formatter = _JsonLines if settings.format == "json" else structlog.stdlib.ProcessorFormatter
    handler.setFormatter(
        formatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *rendering],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(settings.level.upper())
    for chatty in ("alembic", "faiss", "kafka", "uvicorn"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
    logging.captureWarnings(True)
    stamina.instrumentation.set_on_retry_hooks([_log_retry])  # its own prints past the handler


@contextmanager
def client_held_back() -> Iterator[None]:
    """Nothing of the Kafka client is logged meanwhile: whoever connects for the first time reports its failure."""
    logger = logging.getLogger("kafka")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(level)


def _escape(
    _logger: structlog.typing.WrappedLogger, _method: str, line: structlog.typing.EventDict
) -> structlog.typing.EventDict:
    """Keep ids and messages from outside from forging a line or steering the terminal."""
    return {escaped(name): escaped(value) if isinstance(value, str) else value for name, value in line.items()}


def _write_traceback(target: TextIO, raised: structlog.typing.ExcInfo) -> None:
    """Without local variables, which hold secrets and features; indented, so that no line of it looks like one of the
    log.
    """
    written = StringIO()
    structlog.dev.plain_traceback(written, raised)
    target.write(escaped(written.getvalue(), keep="\n").replace("\n", "\n    "))


def writes_json() -> bool:
    """Whether this process writes JSON lines, and nothing else, to standard error."""
    return any(isinstance(handler.formatter, _JsonLines) for handler in logging.getLogger().handlers)


def _log_retry(details: stamina.instrumentation.RetryDetails) -> None:
    level = logging.WARNING if details.waited_so_far + details.wait_for >= _HICCUP_S else logging.DEBUG
    logging.getLogger("dancerank.retries").log(
        level, "attempt %d failed, the next is in %.1f s: %r", details.retry_num, details.wait_for, details.caused_by
    )
