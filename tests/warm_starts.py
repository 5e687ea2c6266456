"""Processes that start without importing anything: forked from one that has imported the whole system.

Imports cost two seconds of a processor, most of what a test costs that starts and kills processes a hundred times.
``tests/integration`` and ``benchmarks`` run the commands as an operator does.
"""

import multiprocessing
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from functools import cache
from importlib import import_module
from multiprocessing.context import ForkServerContext
from pathlib import Path
from types import MappingProxyType
from typing import Final

from dancerank_installation import run_command

IMPORTED: Final = (
    "confluent_kafka",
    "dancerank.cli",
    "faiss",
    "kafka",
    "onnxruntime",
    "psycopg",
    "schemas.arrays.kernels",
    "tests.faults.snapshot_writer",
)


@cache
def warm() -> ForkServerContext:
    """Starts processes as ``multiprocessing`` does."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([*IMPORTED])
    return context


class WarmCommand:
    """``dancerank`` with ``arguments``; to a test it is what ``subprocess.Popen`` is."""

    def __init__(
        self,
        arguments: Sequence[str],
        log: Path,
        variables: Mapping[str, str],
        *,
        output: Path | None = None,
        without: Sequence[str] = (),
        constants: Mapping[str, float] = MappingProxyType({}),
    ) -> None:
        """Standard error is appended to ``log``, and so is standard output if it has no file of its own. The modules
        ``without`` cannot be imported; ``constants``, which are named with their module, have other values.
        """
        of_run = (arguments, log, output or log, dict(variables), without, dict(constants))
        self._process = warm().Process(target=_run, args=of_run)
        self._process.start()

    @property
    def pid(self) -> int:
        assert self._process.pid is not None
        return self._process.pid

    @property
    def returncode(self) -> int | None:
        """The exit status, negative after a signal; ``None`` while it runs."""
        return self._process.exitcode

    def poll(self) -> int | None:
        return self.returncode

    def send_signal(self, number: signal.Signals) -> None:
        os.kill(self.pid, number)

    def wait(self, timeout: float) -> int:
        self._process.join(timeout)
        if self.returncode is None:
            raise TimeoutError(f"process {self.pid} did not end within {timeout:g} s")
        return self.returncode


def _run(
    arguments: Sequence[str],
    log: Path,
    output: Path,
    variables: Mapping[str, str],
    without: Sequence[str],
    constants: Mapping[str, float],
) -> None:
    """In the new process: all that ``subprocess.Popen`` and the interpreter would have done."""
    os.environ.clear()
    os.environ.update(variables)
    for stream, path in ((sys.stdout, output), (sys.stderr, log)):
        stream.flush()
        with path.open("ab") as file:
            os.dup2(file.fileno(), stream.fileno())
    for name in without:
        assert name not in sys.modules, f"{name} is imported already"
        sys.modules[name] = None  # type: ignore[assignment]
    for name, value in constants.items():
        module, _, constant = name.rpartition(".")
        assert hasattr(import_module(module), constant), name
        setattr(import_module(module), constant, value)
    sys.argv = ["dancerank", *arguments]
    run_command()
