"""A real Prometheus (Debian's package): the server with a given configuration, and promtool."""

import os
import shutil
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Self

from tests.servers import ServerFailed, ServerUnavailable, free_port, log_tail

VARIABLE = "DANCERANK_TEST_PROMETHEUS"
REMEDY = (
    "run deploy/test-servers.sh as root on Debian or Ubuntu (apt-get install prometheus), "
    f"or set {VARIABLE} to the path of a prometheus binary"
)
_START_TIMEOUT_S = 30.0


def prometheus() -> Path:
    """The server's binary. Raises ``ServerUnavailable``."""
    return _binary(os.environ.get(VARIABLE), "prometheus")


def promtool() -> Path:
    """The checker of rules and configurations, beside the server's binary or on PATH. Raises ``ServerUnavailable``."""
    named = os.environ.get(VARIABLE)
    return _binary(str(Path(named).with_name("promtool")) if named else None, "promtool")


def _binary(named: str | None, name: str) -> Path:
    found = named or shutil.which(name)
    if found is None or not os.access(found, os.X_OK):
        raise ServerUnavailable(f"Prometheus: no {name} at {found or 'any folder of PATH'}; {REMEDY}")
    return Path(found)


class PrometheusServer:
    """A server that runs ``configuration`` (YAML). Use as a context manager; ``url`` is its root."""

    def __init__(self, configuration: str, *, files: dict[str, str] | None = None) -> None:
        self._binary = prometheus()
        self._folder = Path(tempfile.mkdtemp(prefix="dancerank-prometheus-"))
        (self._folder / "prometheus.yml").write_text(configuration)
        for name, content in (files or {}).items():
            (self._folder / name).write_text(content)
        self._log = self._folder / "server.log"
        self.url = f"http://127.0.0.1:{free_port()}"

    def __enter__(self) -> Self:
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [
                    self._binary,
                    f"--config.file={self._folder / 'prometheus.yml'}",
                    f"--storage.tsdb.path={self._folder / 'data'}",
                    f"--web.listen-address={self.url.removeprefix('http://')}",
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        deadline_s = time.monotonic() + _START_TIMEOUT_S
        while not self._is_ready():
            if self._process.poll() is not None or time.monotonic() > deadline_s:
                message = f"Prometheus did not start on {self.url}; its log ends:\n{log_tail(self._log)}"
                self.__exit__()
                raise ServerFailed(message)
            time.sleep(0.05)
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.wait(30)
        shutil.rmtree(self._folder, ignore_errors=True)

    def _is_ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}/-/ready", timeout=2) as response:
                return bool(response.status == 200)
        except (urllib.error.URLError, OSError):
            return False
