"""Progress of training for a person: a bar on a terminal, a line per epoch elsewhere."""

from typing import Protocol

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


class ConsoleProgress:
    """A bar where ``console`` (absent: standard error) is a terminal, one line per epoch where it is not."""

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(stderr=True)
        self._epochs = 0
        self._bar: Progress | None = None
        self._task = TaskID(0)

    def begin(self, epochs: int, steps: int, first_epoch: int) -> None:
        self._epochs = epochs
        if self._console.is_terminal:
            columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
            self._bar = Progress(*columns, console=self._console, transient=True)
            self._task = self._bar.add_task("training", total=epochs * steps, completed=first_epoch * steps)
            self._bar.start()

    def step(self) -> None:
        if self._bar is not None:
            self._bar.advance(self._task)

    def epoch(self, row: EpochRow) -> None:
        if self._bar is not None:
            self._bar.update(self._task, description=_summary(row, self._epochs))
        else:
            self._console.print(_summary(row, self._epochs), highlight=False, soft_wrap=True)

    def end(self) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None


def _summary(row: EpochRow, epochs: int) -> str:
    validation = "" if row.validation is None else f", validation SRC {row.validation:.3f}"
    return f"epoch {row.epoch}/{epochs}: loss {row.loss:.4g}{validation}, {row.samples_per_s:.0f} clips/s"
