"""Progress of commands that take long: a bar on a terminal, elsewhere a line after a second and then every ten.

Everything goes to standard error, so that what a command prints can be read by a program.
"""

import threading
import time
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Final, NamedTuple, TypeVar

from rich.progress import Progress

from dancerank.console.terminal import Console

T = TypeVar("T")

OnProgress = Callable[[str, int, int], None]
"""Called with what is being done, how many of its steps are done, and how many there are; 0: that is not known."""

FIRST_LINE_S: Final = 1.0
LINES_EVERY_S: Final = 10.0


@contextmanager
def steps(*, until: str | None = None) -> Iterator[OnProgress]:
    """Shows each activity that is reported, from its first report until its steps are done. Once ``until`` is done
    nothing more is shown.
    """
    console = Console(stderr=True)
    with _bars(console, until) if console.is_terminal else _lines(console, until) as on_progress:
        yield on_progress


@contextmanager
def working(what: str) -> Iterator[None]:
    """Shows that ``what`` is being done, for work whose length is not known."""
    with steps() as on_progress:
        on_progress(what, 0, 0)
        yield


def counted(items: Iterable[T], what: str, total: int = 0) -> Generator[T, None, None]:
    """The items as they come, shown as steps of ``what`` until the generator is closed."""
    with steps() as on_progress:
        on_progress(what, 0, total)
        for done, item in enumerate(items, start=1):
            yield item
            on_progress(what, done, total)


@contextmanager
def _bars(console: Console, until: str | None) -> Iterator[OnProgress]:
    with Progress(console=console, transient=True) as progress:
        tasks: dict[str, Any] = {}

        def on_progress(what: str, done: int, total: int) -> None:
            if what not in tasks:
                tasks[what] = progress.add_task(what, total=total or None)
            progress.update(tasks[what], completed=done, total=total or None, visible=done < total or not total)
            if what == until and done >= total:
                progress.stop()

        yield on_progress


class _Activity(NamedTuple):
    what: str
    done: int
    total: int
    since_s: float

    def __str__(self) -> str:
        count = f"{self.done:,} of {self.total:,}" if self.total else f"{self.done:,}" if self.done else ""
        return f"{self.what}: {count}{', ' if count else ''}{time.monotonic() - self.since_s:.0f} s"


@contextmanager
def _lines(console: Console, until: str | None) -> Iterator[OnProgress]:
    """A thread writes the lines, so that a step that takes long is shown as well."""
    current: list[_Activity] = []
    over = threading.Event()

    def write() -> None:
        wait_s = FIRST_LINE_S
        while not over.wait(wait_s):
            for activity in current[:1]:
                console.print(str(activity), markup=False, highlight=False, soft_wrap=True)
                wait_s = LINES_EVERY_S

    def on_progress(what: str, done: int, total: int) -> None:
        if what == until and done >= total:
            over.set()
        since_s = current[0].since_s if current and current[0].what == what else time.monotonic()
        current[:] = [_Activity(what, done, total, since_s)]

    writer = threading.Thread(target=write, name="progress", daemon=True)
    writer.start()
    try:
        yield on_progress
    finally:
        over.set()
        writer.join()
