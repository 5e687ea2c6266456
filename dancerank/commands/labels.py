"""``labels``: what was observed of clips, to learn from (docs/data.md)."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Annotated, Final

import typer

from dancerank.commands.databases import Sought, existing_database
from dancerank.commands.options import Config, parse_moment
from dancerank.console.progress import steps
from dancerank.console.terminal import Console
from dancerank.labelling.export import FEWEST_CLIPS, LEAST_DAYS, Exported, export_labels
from dancerank.labelling.features import UploadedFeatures
from dancerank.processes import Processes
from dancerank.running.streaming import extractor_of
from dancerank.settings import Settings, load_settings
from ranking.scores.observations import Observations
from schemas.clock import SystemClock
from schemas.errors import ConfigurationError
from schemas.joints import layout_named
from schemas.observation import Observer
from schemas.virality_target import Target
from streamer.roots import FeatureRoots
from streamer.stores import FeatureStore
from transport.kafka_source import KafkaSource
from transport.reading import Progress, read_to_end
from vdv.errors import MOST_SHOWN

_OBSERVATIONS: Final = Sought("observations", "dancerank rank and dancerank pools run fill it from the log")


def export(
    target: Annotated[Path, typer.Argument(help="Folder to write the data set to; it must not hold one.")],
    least_days: Annotated[
        float, typer.Option(help="Leave out clips whose reactions were counted when they were younger, in days.")
    ] = LEAST_DAYS,
    challenge: Annotated[
        list[str] | None, typer.Option(help="Only clips of this challenge; may be given several times.")
    ] = None,
    since: Annotated[
        str | None,
        typer.Option(help="Only clips uploaded then or later: an ISO date or time, in UTC without an offset."),
    ] = None,
    fewest_clips: Annotated[
        int, typer.Option(help="Leave out challenges with fewer clips, in which there is little to rank.")
    ] = FEWEST_CLIPS,
    learned: Annotated[
        Target,
        typer.Option("--target", help="What is to be learned: per-view leaves out clips without plausible views."),
    ] = Target.EQ1,
    joint_layout: Annotated[
        str | None,
        typer.Option(help="Convert all skeletons to this layout, without confidences. Default: as uploaded."),
    ] = None,
    config: Config = None,
) -> None:
    """Write what really happened as a data set to learn from: counts from the database, features as they were uploaded.

    Reads the uploads topic from beginning to end, and the feature files where the uploads say. What cannot be learned
    from is left out and counted.
    """
    settings = load_settings(config)
    layout = None if joint_layout is None else layout_named(joint_layout)
    since_ms = None if since is None else parse_moment(since, "since")
    features = UploadedFeatures(
        _store(settings),
        max_bytes=settings.streamer.max_feature_bytes,
        layout=layout,
        extractor=extractor_of(settings, Observer()),
    )
    with existing_database(settings, _OBSERVATIONS) as database, steps() as on_progress:
        observations = Observations(database)
        _check_challenges(challenge or (), observations)
        exported = export_labels(
            target,
            observations.clips(challenges=challenge or (), since_ms=since_ms),
            _uploads(settings, partial(on_progress, "Reading uploads")),
            features,
            least_days=least_days,
            fewest_clips=fewest_clips,
            target=learned,
            progress=partial(on_progress, "Writing clips"),
        )
    _show(Console(), target, exported)


COMMANDS: Final[dict[str, Callable[..., None]]] = {"export": export}


def _check_challenges(named: Sequence[str], observations: Observations) -> None:
    known = observations.challenges() if named else set()
    for challenge in named:
        if challenge not in known:
            some = ", ".join(sorted(known)[:MOST_SHOWN]) or "none"
            raise ConfigurationError(
                f"nothing was observed in a challenge called {challenge!r}; of those with counts: {some}",
                field="challenge",
            )


def _store(settings: Settings) -> FeatureStore:
    streamer = settings.streamer
    return FeatureStore(
        FeatureRoots(streamer.feature_roots),
        max_bytes=streamer.max_feature_bytes,
        patience_s=streamer.store_patience_s,
        options=streamer.store_options,
    )


def _uploads(settings: Settings, on_progress: Progress) -> Iterator[bytes | None]:
    """The values of the uploads topic. Kafka is not asked before the first is."""
    connection = Processes(settings).connection
    with closing(KafkaSource(connection, [settings.streamer.uploads_topic], group=None)) as source:
        records = read_to_end(source, SystemClock(), patience_s=connection.timeout_s, progress=on_progress)
        yield from (record.value for record in records)


def _show(console: Console, target: Path, exported: Exported) -> None:
    def say(line: str) -> None:
        console.print(line, markup=False, emoji=False, highlight=False, soft_wrap=True)

    data, left_out = exported.data, exported.left_out
    say(f"{target}: {len(data):,} clips in {_number(len(data.challenges), 'challenge')}")
    say(f"divide them with: dancerank data split {target}")
    if left_out.counts:
        say(f"left out: {_number(sum(left_out.counts.values()), 'clip')}")
        for line in left_out.lines():
            say(line)
    if exported.no_uploads:
        say(f"{_number(exported.no_uploads, 'record')} of the uploads topic could not be read as uploads")


def _number(count: int, what: str) -> str:
    return f"{count:,} {what}" if count == 1 else f"{count:,} {what}s"
