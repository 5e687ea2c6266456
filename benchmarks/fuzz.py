"""A million inputs over every reader: how many are accepted, how many refused by which name, and what else happens.

    python -m benchmarks.fuzz [--inputs 1000000] [--processes 2] [--seed 1] [--only NAME …] [--quick]

The targets are those of ``tests/fuzz``: readers that get one damaged input at a time, sequences of records through both
views, and raw records on a real Kafka. Anything but acceptance or a named refusal is a crash, and so is memory that
grows by more than 512 MiB; a process that finishes no input in two minutes hangs. Each is printed with its seed.
"""

import argparse
import logging
import multiprocessing
import queue
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from multiprocessing.context import SpawnProcess
from pathlib import Path
from random import Random
from typing import Any, Final

from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from benchmarks.figures import OUT, Measured, write_figures

INPUTS: Final = 1_000_000
QUICK: Final = 15_000
CHUNK: Final = 500
"""Inputs of a process between two reports; of a target that takes long, fewer."""
RECORDS: Final = 2_000
"""Likewise of Kafka, where each job starts a broker."""
HANG_S: Final = 120.0
WRITTEN_EVERY_S: Final = 30.0
MOST_GROWTH_MIB: Final = 512.0
SEQUENCES: Final = "sequences of records"
TOPICS: Final = "raw records on Kafka"
_SHARES: Final = {SEQUENCES: 0.25, TOPICS: 1.0}
_KIB: Final = 1024
_SHOWN: Final = 5


@dataclass(frozen=True)
class Job:
    """So many inputs of one target, drawn from one seed."""

    target: str
    inputs: int
    seed: int


@dataclass
class Result:
    """What came of a job, or of all jobs of a target."""

    outcomes: Counter[str] = field(default_factory=Counter)
    crashes: list[str] = field(default_factory=list)
    hangs: list[str] = field(default_factory=list)
    inputs: int = 0
    seconds: float = 0.0
    growth_mib: float = 0.0

    def add(self, other: "Result") -> None:
        self.inputs += other.inputs
        self.outcomes += other.outcomes
        self.crashes += other.crashes
        self.hangs += other.hangs
        self.seconds += other.seconds
        self.growth_mib = max(self.growth_mib, other.growth_mib)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--inputs", type=int, default=INPUTS)
    parser.add_argument("--processes", type=int, default=multiprocessing.cpu_count())
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", nargs="*", help="names of targets")
    parser.add_argument("--quick", action="store_true", help=f"{QUICK:,} inputs, within three minutes")
    chosen = parser.parse_args()
    inputs = QUICK if chosen.quick else chosen.inputs
    jobs = planned(inputs, chosen.seed, chosen.only)
    console = Console(width=160)
    started_s = time.monotonic()

    def written(results: dict[str, Result]) -> None:
        report(results, time.monotonic() - started_s, seed=chosen.seed)

    show(console, run(jobs, chosen.processes, console, written))
    print(f"{OUT}/fuzz.json")


def planned(inputs: int, seed: int, only: Sequence[str] | None) -> list[Job]:
    """The jobs of a run: each target has its share of the inputs, and all targets take turns."""
    shares = {target.name: target.share for target in _targets()} | _SHARES
    if only:
        shares = {name: share for name, share in shares.items() if name in only}
    total = sum(shares.values())
    jobs = []
    for name, share in shares.items():
        left, number = round(inputs * share / total), 0
        most = RECORDS if name == TOPICS else CHUNK
        while left > 0:
            jobs.append(Job(name, min(most, left), seed * 1_000_000 + number))
            left, number = left - most, number + 1
    return sorted(jobs, key=lambda job: job.seed)


def run(
    jobs: Sequence[Job], processes: int, console: Console, written: Callable[[dict[str, Result]], None]
) -> dict[str, Result]:
    """All jobs on so many processes; one that dies or hangs is replaced, and its job counts as a crash or a hang.

    ``written`` gets what was done so far from time to time, and at the end.
    """
    results: dict[str, Result] = {job.target: Result() for job in jobs}
    waiting = list(reversed(jobs))
    workers = [Worker() for _ in range(processes)]
    written_at_s = time.monotonic()
    with Progress(console=console) as progress:
        task = progress.add_task("inputs", total=sum(job.inputs for job in jobs))
        while waiting or any(worker.job for worker in workers):
            for worker in workers:
                if worker.job is None and waiting:
                    worker.give(waiting.pop())
                elif worker.job is not None and (result := worker.result()) is not None:
                    results[worker.job.target].add(result)
                    progress.advance(task, worker.job.inputs)
                    for crash in result.crashes[:1] + result.hangs:
                        progress.console.print(f"{worker.job}: {crash}", markup=False, highlight=False)
                    worker.job = None
            if time.monotonic() - written_at_s > WRITTEN_EVERY_S:
                written_at_s = time.monotonic()
                written(results)
            time.sleep(0.02)
    for worker in workers:
        worker.stop()
    written(results)
    return dict(sorted(results.items()))


class Worker:
    """A process that does one job after another."""

    def __init__(self) -> None:
        self.job: Job | None = None
        self._start()

    def _start(self) -> None:
        context = multiprocessing.get_context("spawn")
        self._jobs: Any = context.Queue()
        self._results: Any = context.Queue()
        self._beats: Any = context.Value("q", 0)
        self._process: SpawnProcess = context.Process(
            target=work, args=(self._jobs, self._results, self._beats), daemon=False
        )
        self._process.start()
        self._seen, self._since_s = -1, time.monotonic()

    def give(self, job: Job) -> None:
        self.job = job
        self._since_s = time.monotonic()
        self._jobs.put(job)

    def result(self) -> Result | None:
        """Of the job, once it is done, or once the process died or made no progress for too long."""
        try:
            found: Result = self._results.get_nowait()
        except queue.Empty:
            pass
        else:
            return found
        if not self._process.is_alive():
            return self._restarted(Result(crashes=[f"the process ended with status {self._process.exitcode}"]))
        beats, now_s = self._beats.value, time.monotonic()
        if beats != self._seen:
            self._seen, self._since_s = beats, now_s
        if now_s - self._since_s > HANG_S:
            self._process.kill()
            return self._restarted(Result(hangs=[f"no input was finished in {HANG_S:g} s"]))
        return None

    def _restarted(self, result: Result) -> Result:
        self._process.join()
        self._start()
        return result

    def stop(self) -> None:
        self._jobs.put(None)
        self._process.join()


def work(jobs: Any, results: Any, beats: Any) -> None:
    """In a process of its own: jobs until there is none."""
    logging.disable(logging.CRITICAL)
    warnings.simplefilter("ignore")

    def beat() -> None:
        beats.value += 1

    _warm_up()
    while (job := jobs.get()) is not None:
        before_mib = resident_mib("VmRSS")
        Path("/proc/self/clear_refs").write_text("5")  # the peak counts from here
        started_s = time.monotonic()
        result = done(job, beat)
        result.seconds = time.monotonic() - started_s
        result.growth_mib = resident_mib("VmHWM") - before_mib
        if result.growth_mib > MOST_GROWTH_MIB:
            result.crashes.append(f"memory grew by {result.growth_mib:.0f} MiB")
        results.put(result)


def _warm_up() -> None:
    """Import all that any target imports, so that no job is charged for it."""
    import dancerank.fitting.recipe  # noqa: F401 - brings torch

    _targets()


def resident_mib(name: str) -> float:
    """This process's resident memory, now (``VmRSS``) or at its peak (``VmHWM``)."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(name)) / _KIB


def done(job: Job, beat: Callable[[], None]) -> Result:
    if job.target == SEQUENCES:
        return sequences(job, beat)
    if job.target == TOPICS:
        return topics(job, beat)
    target = next(target for target in _targets() if target.name == job.target)
    return one_by_one(target, job, beat)


def one_by_one(target: Any, job: Job, beat: Callable[[], None]) -> Result:
    from hypothesis import given, seed, strategies

    from tests.fuzz.outcomes import outcome

    result, kinds = Result(), set[str]()

    def feed(value: Any) -> None:
        try:
            result.outcomes[outcome(target, value)] += 1
        except Exception as error:  # noqa: BLE001 - whatever it is, it is what is looked for
            result.outcomes["crash"] += 1
            place = traceback.extract_tb(error.__traceback__)[-1]
            if (kind := f"{type(error).__name__} in {place.filename}:{place.lineno}") not in kinds:
                kinds.add(kind)
                result.crashes.append(f"{kind}: {str(error)[:200]} for {repr(value)[:500]}")
        result.inputs += 1
        beat()

    if isinstance(target.source, strategies.SearchStrategy):
        seed(job.seed)(_drawing(job.inputs)(given(target.source)(feed)))()
    else:
        for number in range(job.inputs):
            feed(target.source(Random(f"{job.seed} {number}")))
    return result


def sequences(job: Job, beat: Callable[[], None]) -> Result:
    from hypothesis import settings
    from hypothesis.stateful import run_state_machine_as_test

    from tests.fuzz.sequences import Sequences

    result = Result()

    class Beating(Sequences):
        def teardown(self) -> None:
            super().teardown()
            beat()

    records_per_sequence = 10
    try:
        run_state_machine_as_test(
            Beating,
            settings=settings(_drawing(max(1, job.inputs // records_per_sequence)), stateful_step_count=30),
            _min_steps=10,
        )
    except Exception as error:  # noqa: BLE001 - whatever it is, it is what is looked for
        result.crashes.append("".join(traceback.format_exception_only(error))[:1000])
    result.inputs = Beating.sent
    return result


def topics(job: Job, beat: Callable[[], None]) -> Result:
    from tests.fuzz.topics import fuzz_topics
    from tests.servers.kafka import KafkaServer
    from transport.connection import KafkaConnection

    result = Result()
    try:
        with KafkaServer() as server:
            connection = KafkaConnection(servers=(server.address,))
            result.outcomes += fuzz_topics(connection, records=job.inputs, seed=job.seed, progress=beat)
            result.inputs += job.inputs
    except Exception as error:  # noqa: BLE001 - whatever it is, it is what is looked for
        result.crashes.append("".join(traceback.format_exception(error))[-2000:])
    return result


def _drawing(inputs: int) -> Any:
    """Settings that only draw inputs: nothing is kept, shrunk or complained about."""
    from hypothesis import HealthCheck, Phase, settings

    return settings(
        max_examples=inputs,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )


def _targets() -> Sequence[Any]:
    from tests.fuzz.targets import TARGETS

    return TARGETS


def show(console: Console, results: dict[str, Result]) -> None:
    table = Table("target", "inputs", "accepted", "refused by code", "crashes", "hangs", "grew by, MiB", "inputs/s")
    for name, result in results.items():
        counts = Counter(result.outcomes)
        accepted = counts.pop("accepted", 0)
        refused = ", ".join(f"{code} {count:,}" for code, count in counts.most_common(_SHOWN))
        rate = result.inputs / result.seconds if result.seconds else 0.0
        cells = (f"{result.inputs:,}", f"{accepted:,}", refused, str(len(result.crashes)), str(len(result.hangs)))
        table.add_row(name, *cells, f"{result.growth_mib:.0f}", f"{rate:,.0f}")
    console.print(table)


def report(results: dict[str, Result], seconds: float, *, seed: int) -> None:
    """Write ``out/fuzz.json``, also while the run goes on, so that one that is cut short has its figures."""
    whole = Result()
    for result in results.values():
        whole.add(result)
    figures = [
        Measured("inputs", whole.inputs, "inputs", INPUTS),
        Measured("crashes", len(whole.crashes), "crashes", 0, lower_is_better=True),
        Measured("hangs", len(whole.hangs), "hangs", 0, lower_is_better=True),
    ]
    targets = {
        name: {
            "inputs": result.inputs,
            "outcomes": dict(result.outcomes.most_common()),
            "crashes": result.crashes,
            "hangs": result.hangs,
            "growth_mib": round(result.growth_mib, 1),
            "seconds": round(result.seconds, 1),
        }
        for name, result in results.items()
    }
    write_figures("fuzz", figures, seed=seed, seconds=round(seconds, 1), targets=targets)


if __name__ == "__main__":
    main()
