"""Progress of training for a person: a bar on a terminal, a line per epoch elsewhere."""

import threading
import time
from typing import Final, Protocol

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from networks.training.history import EpochRow


class TrainingProgress(Protocol):
    """Receives the steps and epochs of a run, from its first device only."""

    def begin(self, epochs: int, steps: int, first_epoch: int) -> None:
        """Epochs ``first_epoch`` to ``epochs`` - 1 of ``steps`` batches each follow."""

    def step(self) -> None:
        """A batch was trained on."""

    def epoch(self, row: EpochRow) -> None:
        """An epoch has ended."""

    def end(self) -> None:
        """Training is over, or has failed."""


class Silence:
    """Says nothing."""

    def begin(self, epochs: int, steps: int, first_epoch: int) -> None: ...
    def step(self) -> None: ...
    def epoch(self, row: EpochRow) -> None: ...
    def end(self) -> None: ...


FIRST_LINE_S: Final = 1.0
LINES_EVERY_S: Final = 10.0


class ConsoleProgress:
    """A bar where ``console`` (absent: standard error) is a terminal. Where it is not, a line per epoch; within an
    epoch one after a second and then every ten, which a thread writes.
    """

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(stderr=True)
        self._epochs = self._steps = self._epoch = self._done = 0
        self._began_s = 0.0
        self._bar: Progress | None = None
        self._task = TaskID(0)
        self._over = threading.Event()
        self._writer: threading.Thread | None = None

    def begin(self, epochs: int, steps: int, first_epoch: int) -> None:
        self._epochs, self._steps, self._epoch, self._done = epochs, steps, first_epoch + 1, 0
        if self._console.is_terminal:
            columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
            self._bar = Progress(*columns, console=self._console, transient=True)
            self._task = self._bar.add_task("training", total=epochs * steps, completed=first_epoch * steps)
            self._bar.start()
        else:
            self._began_s = time.monotonic()
            self._over.clear()
            self._writer = threading.Thread(target=self._write, name="training-progress", daemon=True)
            self._writer.start()

    def step(self) -> None:
        self._done += 1
        if self._bar is not None:
            self._bar.advance(self._task)

    def epoch(self, row: EpochRow) -> None:
        self._epoch, self._done = self._epoch + 1, 0
        if self._bar is not None:
            self._bar.update(self._task, description=_summary(row, self._epochs))
        else:
            self._console.print(_summary(row, self._epochs), highlight=False, soft_wrap=True)

    def end(self) -> None:
        self._over.set()
        if self._writer is not None:
            self._writer.join()
            self._writer = None
        if self._bar is not None:
            self._bar.stop()
            self._bar = None

    def _write(self) -> None:
        wait_s = FIRST_LINE_S
        while not self._over.wait(wait_s):
            wait_s = LINES_EVERY_S
            if self._epoch <= self._epochs:
                batches = f"{self._done:,} of {self._steps:,} batches, {time.monotonic() - self._began_s:.0f} s"
                self._console.print(f"epoch {self._epoch}/{self._epochs}: {batches}", highlight=False, soft_wrap=True)


def _summary(row: EpochRow, epochs: int) -> str:
    validation = "" if row.validation is None else f", validation SRC {row.validation:.3f}"
    return f"epoch {row.epoch}/{epochs}: loss {row.loss:.4g}{validation}, {row.samples_per_s:.0f} clips/s"
