"""Making cells in several processes, with the time that is left."""

import multiprocessing
import os
import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Final

import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from benchmarks.paper_tables.cells import Cell, Job, made, write_cell
from dancerank.fitting.learning import Clips, open_clips
from vdv.folder import open_data_set

THREADS: Final = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


class Pace:
    """How long jobs take, judged by cells that are done: seconds per training clip of their method, or of any."""

    def __init__(self, cells: Sequence[Cell]) -> None:
        self._seen: dict[str, list[float]] = {}
        for cell in cells:
            self.saw(cell.method, cell.seconds, cell.clips_learned_from)

    def saw(self, method: str, seconds: float, clips: int) -> None:
        """A cell is done."""
        self._seen.setdefault(method, []).append(seconds / clips)

    def left_s(self, waiting: Sequence[Job], running: Sequence[tuple[Job, float]], workers: int) -> float | None:
        """Seconds until all are done; ``running`` jobs come with their start. Absent before any cell is done."""
        if not self._seen:
            return None
        now = time.monotonic()
        rest = [max(self._expected_s(job) - (now - began), 0.0) for job, began in running]
        return max(sum(rest, sum(map(self._expected_s, waiting))) / workers, *rest, 0.0)

    def _expected_s(self, job: Job) -> float:
        means = {method: sum(seen) / len(seen) for method, seen in self._seen.items()}
        return means.get(job.method, sum(means.values()) / len(means)) * len(job.learned)


class Watcher:
    """Shows how it goes: a bar on a terminal, a line per cell elsewhere."""

    def __init__(self, console: Console, bar: Progress | None, total: int) -> None:
        self._console = console
        self._bar = bar
        self._task = bar.add_task("", total=total) if bar else None
        self._total = total
        self._shown: tuple[int, str] = (-1, "")

    def look(self, done: int, running: Sequence[Job], left_s: float | None) -> None:
        """``done`` cells of all; ``left_s`` seconds are left, if that can be said."""
        left = "" if left_s is None else f"; {_duration(left_s)} left"
        what = "; ".join(map(str, running))
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, completed=done, description=what + left)
        elif (done, what) != self._shown:
            text = f"{done} of {self._total} cells; running: {what or 'none'}{left}"
            self._console.print(text, markup=False, highlight=False, soft_wrap=True)
        self._shown = (done, what)


@contextmanager
def watching(console: Console, total: int) -> Iterator[Watcher]:
    """A watcher of ``total`` cells."""
    if not console.is_terminal:
        yield Watcher(console, None, total)
        return
    columns = (BarColumn(), MofNCompleteColumn(), TextColumn("{task.description}", markup=False))
    with Progress(*columns, console=console, transient=True) as bar:
        yield Watcher(console, bar, total)


def make_cells(
    jobs: Sequence[Job], folder: Path, *, workers: int, done: Sequence[Cell], console: Console
) -> dict[str, BaseException]:
    """Make and store the cells of ``jobs`` in ``workers`` processes of one thread each; ``done`` give the expected
    duration of each.

    Returns the errors of those that failed, by the name of the job. When a process dies, all that remain fail. When
    this one does, so do they: a cell is stored whole or not at all.
    """
    failed: dict[str, BaseException] = {}
    if not jobs:
        return failed
    for variable in THREADS:  # read by the libraries when a process starts
        os.environ[variable] = "1"
    folder.mkdir(parents=True, exist_ok=True)
    pace, waiting = Pace(done), deque(jobs)
    running: dict[Future[float], tuple[Job, float]] = {}
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(min(workers, len(jobs)), mp_context=context, initializer=_begin)
    try:
        with watching(console, len(jobs)) as watcher:
            while waiting or running:
                while waiting and len(running) < workers:
                    job = waiting.popleft()
                    running[_submitted(pool, job, folder)] = job, time.monotonic()
                under_way = list(running.values())
                left_s = pace.left_s(waiting, under_way, workers)
                watcher.look(len(jobs) - len(waiting) - len(running), [job for job, _ in under_way], left_s)
                for future in wait(running, timeout=1.0, return_when=FIRST_COMPLETED).done:
                    job, _ = running.pop(future)
                    error = future.exception()
                    if error is None:
                        pace.saw(job.method, future.result(), len(job.learned))
                    else:
                        failed[job.name] = error
            watcher.look(len(jobs), [], None)
    except BaseException:
        for process in multiprocessing.active_children():
            process.kill()  # Lightning would finish its epoch first, if only asked to end
        raise
    finally:
        pool.shutdown(cancel_futures=True)
    return failed


def _submitted(pool: ProcessPoolExecutor, job: Job, folder: Path) -> Future[float]:
    try:
        return pool.submit(_work, job, folder)
    except BrokenProcessPool as error:
        refused: Future[float] = Future()
        refused.set_exception(error)
        return refused


def _begin() -> None:
    torch.set_num_threads(1)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)  # do not wait for the main thread


def _work(job: Job, folder: Path) -> float:
    cell = made(job, _opened(job.folder))
    write_cell(folder, job, cell)
    return cell.seconds


@lru_cache(maxsize=1)
def _opened(folder: Path) -> Clips:
    """Read once per process."""
    return open_clips(open_data_set(folder), lambda what, done, total: None)


def _duration(seconds: float) -> str:
    minutes = round(seconds / 60)
    if minutes == 0:
        return f"{seconds:.0f} s"
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"
