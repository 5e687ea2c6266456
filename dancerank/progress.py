"""Progress of steps that come one after the other, on a terminal."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import Progress

Told = Callable[[str, int, int], None]
"""Told what is being done, how many steps of it are done, and how many there are."""


@contextmanager
def steps(*, until: str | None = None) -> Iterator[Told]:
    """A bar for every kind of step that is reported; each goes when it is full. After ``until`` there are no more bars:
    what follows it has one of its own.
    """
    with Progress(console=Console(stderr=True), transient=True) as progress:
        tasks: dict[str, Any] = {}

        def told(what: str, done: int, total: int) -> None:
            if what not in tasks:
                tasks[what] = progress.add_task(what, total=total)
            progress.update(tasks[what], completed=done, visible=done < total)
            if what == until and done >= total:
                progress.stop()

        yield told
