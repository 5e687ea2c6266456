"""How long ``POST /v1/guidance`` takes for a clip of 15 s, over HTTP, with the bundle that ships.

    python -m benchmarks.guided.latency [--quick]

A service on a port and a client, in one process on the same cores; one request at a time. Synthetic clips of 15 s, a
different one each time, so that nothing is answered from memory: with their skeleton inline, with all features inline
(which the service has to parse), and by the URI of a file. The rival of each is the service's own ``POST /v1/score`` of
the same request, which runs the networks forward only. Processor time is that of service and client together, and
stays the same on a busy machine. Writes ``out/guidance_latency.json``.
"""

import argparse
import base64
import http.client
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks.figures import Measured, write_figures
from dancerank.listening import answer_on_thread, bound
from dancerank.processes import Processes
from dancerank.settings import Settings
from dancerank.synthetic import synthesize
from exporters.prometheus import PrometheusObserver
from ranking.database.connection import Database
from ranking.scores.store import ScoreStore
from ranking.serving.api import create_app
from ranking.serving.service import RankingService
from schemas.features import ClipFeatures, encode_features
from schemas.modalities import Modality
from streamer.settings import StreamerSettings

LENGTH_S: Final = 15.0
BAR_MS: Final = 200.0
WARM_UP: Final = 3
HEADERS: Final = {"Content-Type": "application/json"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="ten clips instead of sixty")
    rounds = 10 if parser.parse_args().quick else 60
    with tempfile.TemporaryDirectory(prefix="dancerank-guidance-") as name:
        folder = Path(name)
        clips = [lasting(LENGTH_S, clip.features) for clip in synthesize(rounds + WARM_UP, seed=5)]
        sources = [list(sources_of(clip, folder, number)) for number, clip in enumerate(clips)]
        with served(folder) as client:
            took = measure(client, sources)
    figures, table = (
        [],
        Table("request", "median ms", "95 % ms", "processor ms", "of scoring it", title=f"{rounds} clips of 15 s"),
    )
    for (what, path), taken in took.items():
        if path == "/v1/score":
            continue
        times, busy = [each[0] for each in taken], statistics.median(each[1] for each in taken)
        median, high = statistics.median(times), float(np.percentile(times, 95))
        scored = took[what, "/v1/score"]
        ratio = statistics.median(one[1] / other[1] for one, other in zip(taken, scored, strict=True))
        bar = None if what.startswith("fused") else BAR_MS
        figures += [
            Measured(f"{what}: median", median, "ms", bar, lower_is_better=True),
            Measured(f"{what}: 95 %", high, "ms", bar, lower_is_better=True),
            Measured(f"{what}: processor time", busy, "ms", bar, lower_is_better=True),
            Measured(f"{what}: processor time over scoring the same", ratio, "times"),
        ]
        table.add_row(what, f"{median:.0f}", f"{high:.0f}", f"{busy:.0f}", f"{ratio:.2f}")
    Console().print(table)
    print(write_figures("guidance_latency", figures, rounds=rounds, seconds=LENGTH_S))


def lasting(seconds: float, features: ClipFeatures) -> ClipFeatures:
    """The clip to and fro until it lasts so long: there is no jump in it, and no frame twice in a row."""
    frames = {}
    for modality, each in features.frames.items():
        there_and_back = np.concatenate([each, each[-2:0:-1]]) if len(each) > 2 else each
        count = round(seconds * modality.rate_hz)
        frames[modality] = np.concatenate([there_and_back] * -(-count // len(there_and_back)))[:count]
    return replace(features, frames=frames)


def sources_of(clip: ClipFeatures, folder: Path, number: int) -> Iterator[tuple[str, dict[str, Any]]]:
    skeleton = replace(clip, frames={Modality.SKELETAL: clip.frames[Modality.SKELETAL]})
    for what, features in (("skeleton inline", skeleton), ("all features inline", clip)):
        yield what, {"features": {"kind": "inline", "content": base64.b64encode(encode_features(features)).decode()}}
    path = folder / f"{number}.safetensors"
    path.write_bytes(encode_features(clip))
    by_uri = {"features": {"kind": "file", "uri": path.as_uri()}}
    yield "by URI", by_uri
    yield "fused, by URI", by_uri | {"of": "fused"}


@contextmanager
def served(folder: Path) -> Iterator[http.client.HTTPConnection]:
    settings = Settings(streamer=StreamerSettings(feature_roots=(folder.as_uri(),)))
    processes = Processes(settings)
    database = Database(f"sqlite:///{folder / 'ranking.db'}")
    database.migrate()
    with processes.scoring() as scoring, bound("127.0.0.1", 0) as taken:
        app = create_app(
            RankingService(ScoreStore(database)),
            PrometheusObserver().render,
            scoring=scoring,
            feedback=processes.feedback(scoring),
        )
        stop = answer_on_thread(app, taken)
        client = http.client.HTTPConnection(*taken.getsockname())
        try:
            yield client
        finally:
            client.close()
            stop()
            database.close()


def measure(
    client: http.client.HTTPConnection, sources: list[list[tuple[str, dict[str, Any]]]]
) -> dict[tuple[str, str], list[tuple[float, float]]]:
    """Milliseconds by request and path, elapsed and of the processor, without those of the warm-up."""
    took: dict[tuple[str, str], list[tuple[float, float]]] = {}
    for number, requests in enumerate(sources):
        for what, body in requests:
            for path in ("/v1/guidance", "/v1/score"):
                asked = {name: value for name, value in body.items() if name != "of" or path == "/v1/guidance"}
                content = msgspec.json.encode(asked)
                busy_s, started_s = time.process_time(), time.perf_counter()
                client.request("POST", path, content, HEADERS)
                answer = client.getresponse()
                said = answer.read()
                elapsed_s, busy_s = time.perf_counter() - started_s, time.process_time() - busy_s
                if answer.status != 200:
                    raise SystemExit(f"{path}: {answer.status} {said[:500]!r}")
                if number >= WARM_UP:
                    took.setdefault((what, path), []).append((1000 * elapsed_s, 1000 * busy_s))
    return took


if __name__ == "__main__":
    main()
