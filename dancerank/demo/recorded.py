"""The demonstration on recorded dances: skeletal-only uploads in another joint layout, and retrieval by dance style."""

import os
import socket
from collections import Counter
from itertools import chain
from pathlib import Path
from time import perf_counter
from typing import Final

from rich.progress import track
from rich.table import Table

from dancerank.console.terminal import Console
from dancerank.demo.running import demo_settings, keep_serving, running, show_throughput, show_training
from dancerank.settings import DATA_VARIABLE, Settings
from exporters.prometheus import PrometheusObserver
from ranking.serving.service import RankingService
from schemas.bundle import read_bundle
from schemas.clock import SystemClock
from schemas.errors import ConfigurationError
from schemas.local_files import is_file
from schemas.modalities import Modality
from schemas.questions.retrieval import SimilarQuery
from vdv.folder import write_data_set
from vdv.importers.dance import ARCHIVE_NAME, CLIP_S, cut, read_sequences
from vdv.uploads import read_uploads

_K: Final = 5


def recordings_folder() -> Path | None:
    """The folder that ``DANCERANK_DATA`` names, ``None`` if unset; ``ConfigurationError`` if it holds no archive."""
    value = os.environ.get(DATA_VARIABLE)
    if not value:
        return None
    if not is_file(Path(value) / ARCHIVE_NAME):
        raise ConfigurationError(f"{DATA_VARIABLE} is {value}, which holds no {ARCHIVE_NAME}; correct or unset it")
    return Path(value)


def run_recorded_demo(
    console: Console, recordings: Path, folder: Path, *, bundle: Path, settings: Settings, port: socket.socket | None
) -> None:
    """Stream the sequences as clips and show how often retrieval brings back the same style; serve if given a port."""
    loaded = read_bundle(bundle)
    show_training(console, loaded)
    console.rule("[bold]1. Recorded dances as uploads")
    sequences = read_sequences(recordings)
    style = {sequence.name: sequence.style for sequence in sequences}
    clips = list(chain.from_iterable(map(cut, sequences)))
    data = write_data_set(folder, track(clips, "Writing", console=console, transient=True))
    console.print(
        f"{len(clips)} clips of {CLIP_S:g} s from {len(sequences)} sequences: "
        + ", ".join(
            f"{count} {name}" for name, count in Counter(style[a.dancer_id] for a in data.annotations).most_common()
        )
        + ". Skeletons only, 23 joints in 3-D; the bundle reads them as 16 joints in the picture plane."
    )
    console.rule("[bold]2. Through the broker")
    observer = PrometheusObserver()
    with running(demo_settings(settings, folder), loaded, observer) as system:
        system.await_ready()
        started_s = perf_counter()
        system.send(read_uploads(data, now_ms=SystemClock().now_ms()))
        with console.status("") as status:
            system.await_clips(len(clips), lambda held: status.update(f"{held} of {len(clips)} clips are retrievable"))
        show_throughput(console, system, observer, len(clips), perf_counter() - started_s)
        console.rule("[bold]3. Does “dances like this” bring back the same style?")
        _show_retrieval(console, system.service, {a.clip_id: a.dancer_id for a in data.annotations}, style)
        if port is not None:
            keep_serving(console, system, observer, port, loaded)


def _show_retrieval(
    console: Console, service: RankingService, sequence_of: dict[str, str], style: dict[str, str]
) -> None:
    """Precision at five by style next to chance; clips of the query's own sequence never count, nor come back."""
    table = Table("style", "clips", f"precision@{_K}", "chance", title=f"Same style among the {_K} most similar clips")
    found: dict[str, list[float]] = {}
    chance: dict[str, list[float]] = {}
    for clip_id, sequence in sequence_of.items():
        mine = style[sequence]
        others = [style[other] for other in sequence_of.values() if other != sequence]
        if mine not in others:
            continue  # the style was danced in one sequence only: there is nothing to find
        query = SimilarQuery(clip_id=clip_id, weights={Modality.SKELETAL: 1.0}, k=_K)
        hits = service.similar(query).hits
        if not hits:
            continue
        found.setdefault(mine, []).append(sum(style[hit.dancer_id] == mine for hit in hits) / len(hits))
        chance.setdefault(mine, []).append(others.count(mine) / len(others))
    for name, values in found.items():
        table.add_row(name, str(len(values)), f"{_mean(values):.2f}", f"{_mean(chance[name]):.2f}")
    table.add_section()
    everything, by_chance = list(chain(*found.values())), list(chain(*chance.values()))
    table.add_row("all clips", str(len(everything)), f"{_mean(everything):.2f}", f"{_mean(by_chance):.2f}")
    by_style = [_mean(values) for values in found.values()], [_mean(values) for values in chance.values()]
    table.add_row("mean of styles", "", *(f"{_mean(values):.2f}" for values in by_style))
    console.print(table)


def _mean(values: list[float]) -> float:
    return sum(values) / len(values)
