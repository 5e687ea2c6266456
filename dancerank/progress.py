"""Progress of steps that come one after the other, on a terminal."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from rich.progress import Progress

from dancerank.terminal import Console

OnProgress = Callable[[str, int, int], None]
"""Called with what is being done, how many of its steps are done, and how many there are."""


@contextmanager
def steps(*, until: str | None = None) -> Iterator[OnProgress]:
    """A progress bar for each activity that is reported; a bar disappears when it is full. Once ``until`` is done no
    more bars are shown.
    """
    with Progress(console=Console(stderr=True), transient=True) as progress:
        tasks: dict[str, Any] = {}

        def on_progress(what: str, done: int, total: int) -> None:
            if what not in tasks:
                tasks[what] = progress.add_task(what, total=total)
            progress.update(tasks[what], completed=done, visible=done < total)
            if what == until and done >= total:
                progress.stop()

        yield on_progress
