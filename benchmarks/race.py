"""The streamer against what else scores clips from Kafka with the same graphs, on a real Kafka.

    python -m benchmarks.race [--quick] [--size small|paper] [--rivals PYTHON] [--clips 1000] [--rounds 3]

All contenders run from the beginning and wait; in each round every one gets the same uploads in turn, the next round in
the opposite order. The time runs from before the first upload is sent until the last result can be read; processor time
is shown beside it, which other work on the machine disturbs less.

*Naive loop*: poll, load, run one clip, send, as kafka-python's documentation shows, in sessions as ONNX Runtime opens
them. Their threads spin while they wait, which costs much where cores are shared; so it takes part without that, too.
With ``--size paper`` also with the graphs of the profile *exact*, the only ones before there were profiles. *Bare
sessions*: padded batches in memory, nothing else. Quix Streams and MLServer (Kafka, adaptive batching) need an
environment of their own::

    python -m venv out/rivals && out/rivals/bin/pip install -r benchmarks/rivals-streaming.txt

A rival that is not installed is left out by name. The clips are synthetic, 5 to 15 s.
"""

import argparse
import itertools
import json
import statistics
import subprocess
import tempfile
import time
import uuid
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any, Final

import msgspec
from kafka import KafkaConsumer, KafkaProducer
from rich.console import Console
from rich.table import Table

from benchmarks.figures import OUT, Measured, write_figures
from benchmarks.pipeline import make_uploads
from benchmarks.rivals.contenders import (
    BARE,
    CALM_LOOP,
    LOOP,
    MLSERVER,
    MODEL,
    OLD_LOOP,
    QUIX,
    REPORTED_EVERY_S,
    STREAMER,
    TWICE,
    Bare,
    Contender,
    Spec,
    open_contender,
)
from dancerank.console.progress import counted, working
from dancerank.settings import shipped_bundle
from schemas.codec import encode
from schemas.events import ClipUploaded
from tests.servers.kafka import KafkaServer
from transport.connection import KafkaConnection, open_client
from transport.topics import TopicSpec, ensure_topics

PARTITIONS: Final = 4
WARM_UP: Final = 16
LOGS: Final = OUT / "race-logs"
PYTHON: Final = Path("out/rivals/bin/python")

BARS: Final[Mapping[str, Sequence[tuple[str, float]]]] = {
    "small": ((BARE, 0.90), (LOOP, 2.5), (QUIX, 2.5), (MLSERVER, 2.5)),
    "paper": ((BARE, 0.97), (OLD_LOOP, 3.0), (LOOP, 1.3)),
}
MEMORY_BAR_MIB: Final = 2048.0


def main() -> None:
    arguments = parse()
    console, speeds = Console(), dict[str, list[float]]()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="dancerank-race-")))
        address = arguments.kafka or stack.enter_context(KafkaServer()).address
        with working("making clips"):
            uploads = make_uploads(folder / "clips", arguments.files)
        course = Course((address,), folder, uploads)
        LOGS.mkdir(parents=True, exist_ok=True)
        bundles = bundles_of(arguments)
        contenders = [course.opened(stack, name, bundles, arguments.rivals) for name in names_of(arguments, console)]
        for contender in counted(contenders, "Warming up", len(contenders)):
            course.warm_up(contender)
        memory: dict[str, list[float]] = {}
        profile = Counter[str]()
        cpu_ms: dict[str, list[float]] = {}
        for number in counted(range(arguments.rounds), "Rounds", arguments.rounds):
            for contender in contenders if number % 2 == 0 else reversed(contenders):
                before_s, threads_s = contender.cpu_s(), threads_of(contender)
                speeds.setdefault(contender.name, []).append(course.round(contender, arguments.clips))
                profile.update({name: s - threads_s.get(name, 0.0) for name, s in threads_of(contender).items()})
                spent_ms = 1000 * (contender.cpu_s() - before_s) / arguments.clips
                cpu_ms.setdefault(contender.name, []).append(spent_ms)
                memory.setdefault(contender.name, []).append(contender.resident_mib())
    report(console, arguments, speeds, cpu_ms, memory, profile)


def threads_of(contender: Contender) -> dict[str, float]:
    """Processor seconds so far by thread, of the streamer."""
    if contender.name != STREAMER:
        return {}
    time.sleep(REPORTED_EVERY_S)
    return dict(json.loads(Path(contender.spec.report).read_text()))


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="under three minutes on 2 cores")
    parser.add_argument("--size", choices=("small", "paper"), default="small", help="the shipped bundle, or full width")
    parser.add_argument("--bundles", type=Path, help="folder with paper-fast and paper-exact; default: exported here")
    parser.add_argument("--rivals", type=Path, default=PYTHON, metavar="PYTHON", help="of the rivals' environment")
    parser.add_argument("--only", nargs="+", help="contenders by name, beside the streamer")
    parser.add_argument("--clips", type=int, help="uploads that each gets in a round; default: 1000 or 60")
    parser.add_argument("--rounds", type=int, help="default: 3, quick: 2")
    parser.add_argument("--files", type=int, default=120, help="distinct feature files")
    parser.add_argument("--kafka", metavar="HOST:PORT", help="a Kafka; default: one is started")
    arguments = parser.parse_args()
    clips = {("small", False): 1000, ("small", True): 300, ("paper", False): 100, ("paper", True): 24}
    arguments.clips = arguments.clips or clips[arguments.size, arguments.quick]
    arguments.rounds = arguments.rounds or (2 if arguments.quick else 3)
    return arguments


def bundles_of(arguments: argparse.Namespace) -> dict[str, Path]:
    """The bundle of the profile ``fast`` and, at the paper's width, that of ``exact``."""
    if arguments.size == "small":
        return {"fast": shipped_bundle()}
    from benchmarks.workloads.paper_bundle import write_paper_bundles  # needs torch

    folder = arguments.bundles or Path("out/race")
    return write_paper_bundles(folder, ("fast", "exact"))


def names_of(arguments: argparse.Namespace, console: Console) -> list[str]:
    """Who takes part, by the size and what is installed."""
    names = [BARE, LOOP, CALM_LOOP, STREAMER, TWICE]
    if arguments.size == "paper":
        names.append(OLD_LOOP)
    elif arguments.rivals.exists():
        names += [QUIX, MLSERVER]
        asked = [arguments.rivals, "-m", "pip", "list", "--format=json"]
        installed = json.loads(subprocess.run(asked, capture_output=True, text=True, check=True).stdout)
        versions = {each["name"]: each["version"] for each in installed}
        console.print(f"Quix Streams {versions.get('quixstreams')}, MLServer {versions.get('mlserver')}")
    else:
        console.print(f"{arguments.rivals} is not there: without Quix Streams and MLServer; see --help")
    return [name for name in names if not arguments.only or name in {STREAMER, *arguments.only}]


class Course:
    """The uploads, and how they come to each contender and back."""

    def __init__(self, servers: tuple[str, ...], folder: Path, uploads: Sequence[ClipUploaded]) -> None:
        self._servers, self._folder, self._uploads = servers, folder, uploads
        self._producer, _ = open_client(KafkaProducer, KafkaConnection(servers=servers))
        self._round = itertools.count()
        self._counted: dict[Contender, int] = {}

    def opened(self, stack: ExitStack, name: str, bundles: Mapping[str, Path], rivals: Path) -> Contender:
        """A contender that runs until the ``stack`` ends."""
        run = f"{name.replace(' ', '-').replace(',', '')}-{uuid.uuid4().hex[:6]}"
        spec = Spec(
            servers=self._servers,
            uploads=f"{run}-uploads",
            scored=f"{run}-scored",
            group=run,
            bundle=str(bundles["exact" if name == OLD_LOOP else "fast"].resolve()),
            features=str(self._folder / "clips"),
            report=str(self._folder / f"{run}.json"),
        )
        topics = (spec.uploads, spec.scored, f"{spec.uploads}.dead-letter")
        ensure_topics(
            KafkaConnection(servers=self._servers), [TopicSpec(name=topic, partitions=PARTITIONS) for topic in topics]
        )
        contender = Bare(spec, LOGS) if name == BARE else open_contender(name, spec, rivals, self._folder, LOGS)
        return stack.enter_context(closing(contender))

    def warm_up(self, contender: Contender) -> None:
        """Until a result has come: some begin to read only what is sent after they are up."""
        if isinstance(contender, Bare):
            contender.clips_per_s(WARM_UP)
            return
        before = 0
        while not before:
            self._send(contender, WARM_UP)
            before = self._results(contender, patience_s=3.0)
        while (now := self._results(contender, patience_s=2.0)) > before:
            before = now
        self._counted[contender] = now

    def round(self, contender: Contender, clips: int) -> float:
        """Clips a second."""
        if isinstance(contender, Bare):
            return contender.clips_per_s(clips)
        # On a busy machine reading may pause for longer than the patience: what was counted before is there.
        before = max(self._counted[contender], self._results(contender, patience_s=0.5))
        began_s = time.monotonic()
        self._send(contender, clips)
        self._counted[contender] = self._results(contender, at_least=before + clips)
        return clips / (time.monotonic() - began_s)

    def _send(self, contender: Contender, clips: int) -> None:
        """Spread evenly over the partitions."""
        number = next(self._round)
        for turn, upload in enumerate(itertools.islice(itertools.cycle(self._uploads), clips)):
            clip = msgspec.structs.replace(upload, clip_id=f"{upload.clip_id}-{number}-{turn}")
            value = _request(clip) if contender.json_requests else encode(clip)
            headers = [("mlserver-model", MODEL.encode())] if contender.json_requests else None
            self._producer.send(
                contender.spec.uploads, value, clip.clip_id.encode(), headers, partition=turn % PARTITIONS
            )
        self._producer.flush()

    def _results(self, contender: Contender, *, at_least: int = 0, patience_s: float = 0.0) -> int:
        """How many results can be read: returns once there are so many, or nothing has come for ``patience_s``."""
        consumer, _ = open_client(
            KafkaConsumer,
            KafkaConnection(servers=self._servers),
            auto_offset_reset="earliest",
            isolation_level="read_committed",
            group_id=None,
        )
        consumer.subscribe([contender.spec.scored])
        found = 0
        with closing(consumer):
            quiet_s = time.monotonic() + max(patience_s, 2.0)
            while found < at_least if at_least else time.monotonic() < quiet_s:
                contender.check()
                records = sum(map(len, consumer.poll(500).values()))
                found += records
                if records:
                    quiet_s = time.monotonic() + patience_s
        return found


def _request(clip: ClipUploaded) -> bytes:
    """MLServer's form: the V2 inference protocol in JSON."""
    uri = clip.features.uri  # type: ignore[union-attr]
    return json.dumps(
        {
            "inputs": [
                {
                    "name": "uri",
                    "shape": [1, 1],
                    "datatype": "BYTES",
                    "data": [uri],
                    "parameters": {"content_type": "str"},
                }
            ]
        }
    ).encode()


def report(
    console: Console,
    arguments: argparse.Namespace,
    speeds: Mapping[str, Sequence[float]],
    cpu_ms: Mapping[str, Sequence[float]],
    memory: Mapping[str, Sequence[float]],
    profile: Mapping[str, float],
) -> None:
    medians = {name: statistics.median(found) for name, found in speeds.items()}
    title = f"{arguments.size}: {arguments.clips} clips a round, {arguments.rounds} rounds"
    columns = ("clips/s, median", "range", "streamer over it, median", "range", "processor ms a clip", "MiB")
    table = Table("", *columns, title=title)
    for name, found in speeds.items():
        ratios = [ours / theirs for ours, theirs in zip(speeds[STREAMER], found, strict=True)]
        table.add_row(
            name,
            f"{medians[name]:.1f}",
            f"{min(found):.1f}–{max(found):.1f}",
            f"{statistics.median(ratios):.2f}",
            f"{min(ratios):.2f}–{max(ratios):.2f}",
            f"{statistics.median(cpu_ms[name]):.1f}",
            f"{memory[name][-1]:.0f}",
        )
    console.print(table)
    total = sum(profile.values())
    shares = ", ".join(
        f"{name} {100 * spent / total:.0f} %" for name, spent in sorted(profile.items(), key=lambda x: -x[1])
    )
    console.print(f"processor time of the streamer by thread: {shares}", highlight=False)
    figures = [
        Measured(f"{arguments.size}: streamer over {name}", _ratio(speeds, STREAMER, name), "ratio", bar)
        for name, bar in BARS[arguments.size]
        if name in speeds
    ]
    if TWICE in speeds:
        figures.append(
            Measured(f"{arguments.size}: two processes over one", _ratio(speeds, TWICE, STREAMER), "ratio", 1.0)
        )
    figures += [
        Measured(f"{arguments.size}: resident memory", memory[STREAMER][-1], "MiB", MEMORY_BAR_MIB, True),
        Measured(f"{arguments.size}: growth over the rounds", memory[STREAMER][-1] - memory[STREAMER][0], "MiB"),
    ]
    for figure in figures:
        reached = "" if figure.met is None else ", reached" if figure.met else ", not reached"
        wanted = "" if figure.bar is None else f"; {figure.bar:g} wanted{reached}"
        console.print(f"{figure.name}: {figure.value:.2f} {figure.unit}{wanted}", highlight=False)
    details: dict[str, Any] = {
        "clips_per_s": speeds,
        "cpu_ms_a_clip": cpu_ms,
        "resident_mib": memory,
        "cpu_s_by_thread": profile,
    }
    console.print(f"figures in {write_figures(f'race-{arguments.size}', figures, **details)}", markup=False)


def _ratio(speeds: Mapping[str, Sequence[float]], one: str, other: str) -> float:
    """Median of the rounds' ratios."""
    return statistics.median(a / b for a, b in zip(speeds[one], speeds[other], strict=True))


if __name__ == "__main__":
    main()
