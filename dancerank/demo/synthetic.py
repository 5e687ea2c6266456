"""The demonstration on synthetic clips: stream them, then hold the answers against what was planted."""

import socket
from collections.abc import Iterator, Sequence
from itertools import zip_longest
from math import isnan, nan
from pathlib import Path
from time import perf_counter
from typing import Final, NamedTuple

from rich.progress import track
from rich.table import Table
from rich.text import Text

from dancerank.console.terminal import Console
from dancerank.demo.pool_rounds import show_pools, show_to_followers
from dancerank.demo.routines import show_routines
from dancerank.demo.running import (
    demo_settings,
    keep_serving,
    running,
    show_dead_letters,
    show_throughput,
    show_training,
)
from dancerank.running.embedded import EmbeddedSystem
from dancerank.settings import Settings
from dancerank.synthetic import CHALLENGES, IMPORTANCE, MOVEMENT_STYLES, ROOMS, Dancer, SyntheticClip, synthesize
from exporters.prometheus import PrometheusObserver
from ranking.monitoring.correlation import spearman
from ranking.serving.service import RankingService
from schemas.bundle import read_bundle
from schemas.clock import SystemClock
from schemas.codec import encode
from schemas.events import ClipUploaded, FeatureFile
from schemas.modalities import PAPER_MODALITIES, Dimension, Modality
from schemas.questions.retrieval import MAX_HITS, SimilarQuery
from schemas.style_classifier import UNKNOWN_STYLE
from vdv.folder import Clip, DataSet, write_data_set
from vdv.uploads import read_uploads

_BROKEN: Final = 2
_TOP: Final = 5
_NONE: Final = "–"


class Planted(NamedTuple):
    """The truth about one clip."""

    dancer: Dancer
    challenge_id: str
    quality: dict[Dimension, float]


def run_synthetic_demo(
    console: Console,
    folder: Path,
    *,
    clips: int,
    seed: int,
    bundle: Path,
    settings: Settings,
    port: socket.socket | None,
) -> None:
    """Make clips, stream every one through the broker, print what came of it, and serve it if given a ``port``."""
    loaded = read_bundle(bundle)
    show_training(console, loaded)
    console.rule("[bold]1. New uploads")
    data, truth = _make_clips(console, folder, clips, seed)
    lacking = sum(Dimension(Modality.FACIAL) not in planted.quality for planted in truth.values())
    console.print(
        f"{clips} clips of 5–15 s by {len({p.dancer.dancer_id for p in truth.values()})} dancers in {CHALLENGES} "
        f"challenges; {lacking} lack a face. {_BROKEN} broken uploads are mixed in."
    )
    console.rule("[bold]2. Through the broker: scored by ONNX streams, indexed, ranked")
    observer = PrometheusObserver()
    with running(demo_settings(settings, folder), loaded, observer) as system:
        system.await_ready()
        started_s = perf_counter()
        _send(system, data)
        with console.status("") as status:
            system.await_clips(clips, lambda held: status.update(f"{held} of {clips} clips are retrievable"))
        show_throughput(console, system, observer, clips, perf_counter() - started_s)
        show_dead_letters(console, system.dead_letters(_BROKEN))
        console.rule("[bold]3. Rankings by each modality, against what was planted")
        _show_rankings(console, system.service, truth)
        console.rule("[bold]4. Which aspect matters most, by challenge")
        _show_attention(console, system.service)
        console.rule("[bold]5. Similar dancers, under two weightings")
        _show_similar(console, system.service, truth)
        console.rule("[bold]6. Rankings by dance style, as the bundle's classifier names it")
        _show_styles(console, system.service, truth)
        console.rule("[bold]7. Traffic pools: who is shown, and what comes of it")
        virality = _virality_percentiles(truth)
        admitted = show_pools(console, system, virality, seed)
        console.rule("[bold]8. Routines: clips longer than a minute, and the seconds that made their score")
        show_routines(console, system, folder / "routines", seed=seed, clips=clips)
        if port is not None:
            show_to_followers(system, virality, admitted, seed)
            keep_serving(console, system, observer, port, loaded)


def _make_clips(console: Console, folder: Path, clips: int, seed: int) -> tuple[DataSet, dict[str, Planted]]:
    truth: dict[str, Planted] = {}

    def rows() -> Iterator[Clip]:
        for clip in track(synthesize(clips, seed=seed), "Filming", clips, console=console, transient=True):
            truth[clip.clip_id] = _planted(clip)
            yield clip.labelled()

    return write_data_set(folder, rows()), truth


def _virality_percentiles(truth: dict[str, Planted]) -> dict[str, float]:
    """Share of each clip's challenge that was planted as less viral."""
    found: dict[str, float] = {}
    for clip_id, planted in truth.items():
        rivals = [p.quality[Dimension.FUSED] for p in truth.values() if p.challenge_id == planted.challenge_id]
        found[clip_id] = sum(rival < planted.quality[Dimension.FUSED] for rival in rivals) / len(rivals)
    return found


def _planted(clip: SyntheticClip) -> Planted:
    quality = {Dimension(m): clip.quality[m] for m in clip.features.modalities}
    return Planted(clip.dancer, clip.challenge_id, quality | {Dimension.FUSED: clip.virality})


def _send(system: EmbeddedSystem, data: DataSet) -> None:
    now_ms = SystemClock().now_ms()
    system.send_raw("broken-1", b'{"schema": "clip-uploaded/1", "clip_id": "broken-1", "dancer_id": 7}')
    absent = FeatureFile((data.folder / "features" / "absent.safetensors").as_uri())
    system.send_raw("broken-2", encode(ClipUploaded(
        clip_id="broken-2", dancer_id="d", challenge_id="c", uploaded_at_ms=now_ms, duration_s=9.0, features=absent
    )))  # fmt: skip
    system.send(read_uploads(data, now_ms=now_ms))


def _show_rankings(console: Console, service: RankingService, truth: dict[str, Planted]) -> None:
    challenge = service.challenges()[0].challenge_id
    dimensions = [d for d in Dimension if any(d in planted.quality for planted in truth.values())]
    table = Table("rank", *dimensions, title=f"Top {_TOP} of {challenge}: clip, and its planted percentile")
    columns = []
    for dimension in dimensions:
        entries = service.ranking(challenge, dimension, k=_TOP).entries
        rivals = [
            p.quality[dimension] for p in truth.values() if p.challenge_id == challenge and dimension in p.quality
        ]
        shares = (sum(q < truth[e.clip_id].quality[dimension] for q in rivals) / len(rivals) for e in entries)
        columns.append([f"{_short(e.clip_id)} {share:.0%}" for e, share in zip(entries, shares, strict=True)])
    for rank, cells in enumerate(zip_longest(*columns, fillvalue=_NONE), start=1):
        table.add_row(str(rank), *cells)
    table.add_section()
    agreements = {d: [_agreement(service, truth, c.challenge_id, d) for c in service.challenges()] for d in dimensions}
    table.add_row("ρ here", *(_number(agreements[d][0]) for d in dimensions))
    table.add_row("ρ all", *(_number(_mean(agreements[d])) for d in dimensions))
    console.print(table)
    console.print(
        "ρ: Spearman's correlation of the scores with the planted quality (fused: with the planted virality), in this "
        "challenge and as the mean of all. These dancers and clips were not in the training data."
    )


def _agreement(service: RankingService, truth: dict[str, Planted], challenge: str, dimension: Dimension) -> float:
    """Spearman's correlation of scores and truth; NaN with fewer than two clips that have the dimension."""
    entries = service.ranking(challenge, dimension, k=MAX_HITS).entries
    if len(entries) < 2:
        return nan
    return spearman([e.score for e in entries], [truth[e.clip_id].quality[dimension] for e in entries])


def _mean(values: Sequence[float]) -> float:
    """The mean of the numbers among ``values``; NaN if there are none."""
    numbers = [value for value in values if not isnan(value)]
    return sum(numbers) / len(numbers) if numbers else nan


def _number(value: float) -> str:
    return _NONE if isnan(value) else f"{value:.2f}"


def _show_attention(console: Console, service: RankingService) -> None:
    table = Table("challenge", "clips", *PAPER_MODALITIES, title="Mean attention (planted importance)")
    matches = 0
    for found in service.challenges():
        attention = service.attention(found.challenge_id).mean_attention
        planted = dict(zip(PAPER_MODALITIES, IMPORTANCE[int(found.challenge_id.rpartition("-")[2]) - 1], strict=True))
        leader = max(attention, key=lambda m: attention[m])
        matches += planted[leader] == max(planted.values())
        cells = (f"{'[bold]' if m is leader else ''}{attention[m]:.2f} ({planted[m]:.2f})" for m in PAPER_MODALITIES)
        table.add_row(found.challenge_id, str(found.clips), *cells)
    console.print(table)
    console.print(
        f"In {matches} of {CHALLENGES} challenges the fusion attends most to what was planted as most important."
    )


def _show_similar(console: Console, service: RankingService, truth: dict[str, Planted]) -> None:
    dancers = {p.dancer.dancer_id: p.dancer for p in truth.values()}
    chosen = next(iter(truth.values())).dancer
    console.print(f"{chosen.dancer_id} moves [bold]{_style(chosen)}[/] and films in the [bold]{_room(chosen)}[/].")
    weightings = {"movement only": {Modality.SKELETAL: 1.0}, "the place only": {Modality.SCENIC: 1.0}}
    for name, weights in weightings.items():
        table = Table("dancer", "all", *PAPER_MODALITIES, "moves", "films in", title=f"Like {chosen.dancer_id}: {name}")
        query = SimilarQuery(dancer_id=chosen.dancer_id, weights=weights, group_by="dancer", k=_TOP)
        for hit in service.similar(query).hits:
            parts = (f"{hit.similarities[m]:.4f}" if m in hit.similarities else "–" for m in PAPER_MODALITIES)
            dancer = dancers[hit.dancer_id]
            table.add_row(_short(hit.dancer_id), f"{hit.similarity:.4f}", *parts, _style(dancer), _room(dancer))
        console.print(table)
    _show_precision(console, service, dancers, weightings)


def _show_precision(
    console: Console, service: RankingService, dancers: dict[str, Dancer], weightings: dict[str, dict[Modality, float]]
) -> None:
    """Over all dancers: how many of the five most similar share the planted style, or the planted room."""
    table = Table("weighting", "same movement style", "same room", title=f"Share of the {_TOP} most similar dancers")
    chance: tuple[list[float], list[float]] = ([], [])
    for name, weights in weightings.items():
        shared: tuple[list[float], list[float]] = ([], [])
        for dancer in dancers.values():
            query = SimilarQuery(dancer_id=dancer.dancer_id, weights=weights, group_by="dancer", k=_TOP)
            hits = [dancers[hit.dancer_id] for hit in service.similar(query).hits]
            others = [other for other in dancers.values() if other is not dancer]
            for index, kind in enumerate((_style, _room)):
                shared[index].append(_mean([kind(hit) == kind(dancer) for hit in hits]))
                chance[index].append(_mean([kind(other) == kind(dancer) for other in others]))
        table.add_row(name, *(_share(_mean(values)) for values in shared))
    table.add_row("chance", *(_share(_mean(values)) for values in chance))
    console.print(table)


def _show_styles(console: Console, service: RankingService, truth: dict[str, Planted]) -> None:
    """The best clips of each style in the largest challenge, and how often the style is the planted one."""
    counts = service.styles()
    if not any(each.style != UNKNOWN_STYLE for each in counts.styles):
        console.print("This bundle has no style classifier, or it knows none of these styles.")
        return
    challenge = service.challenges()[0].challenge_id
    table = Table("style", "clips", "best clips, and how each dancer moves", title=f"Styles in {challenge}")
    for each in service.styles(challenge).styles:
        entries = service.ranking(challenge, style=each.style, k=_TOP).entries
        best = (f"{_short(entry.clip_id)} {_style(truth[entry.clip_id].dancer)}" for entry in entries)
        table.add_row(Text(each.style), str(each.clips), ", ".join(best))
    console.print(table)
    named = {
        entry.clip_id: style.style
        for found in service.challenges()
        for style in service.styles(found.challenge_id).styles
        for entry in service.ranking(found.challenge_id, style=style.style, k=MAX_HITS).entries
        if style.style != UNKNOWN_STYLE
    }
    right = sum(_style(truth[clip_id].dancer) == style for clip_id, style in named.items())
    refused = sum(each.clips for each in counts.styles if each.style == UNKNOWN_STYLE)
    console.print(
        f"{right} of {len(named)} clips in rankings are named by the way their dancer moves; {refused} of "
        f"{counts.clips} are refused as unlike all that was learned."
    )


def _share(value: float) -> str:
    return _NONE if isnan(value) else f"{value:.0%}"


def _short(identifier: str) -> str:
    """The number at the end of a synthetic id."""
    return identifier.rpartition("-")[2]


def _style(dancer: Dancer) -> str:
    return MOVEMENT_STYLES[dancer.style]


def _room(dancer: Dancer) -> str:
    return ROOMS[dancer.room]
