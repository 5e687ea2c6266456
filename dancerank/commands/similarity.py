"""``similar``, ``duplicates`` and ``dancers``: questions that the index snapshot saved last answers."""

import json
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from rich.table import Column, Table
from rich.text import Text

from dancerank.commands.databases import RANKINGS, NoData, lacking
from dancerank.commands.options import Config, Generation, naming_options, parse_moment
from dancerank.commands.questions import columns_of, titled
from dancerank.console.terminal import Console
from dancerank.processes import Processes
from dancerank.settings import load_settings
from ranking.database.connection import Database
from ranking.pools.service.reading import PoolReader
from ranking.scores.store import ScoreStore
from ranking.serving.service import RankingService
from ranking.vectors.weights import parse_weights
from schemas.clock import SystemClock
from schemas.errors import QueryError
from schemas.local_files import read_text
from schemas.modalities import MODALITIES, Dimension
from schemas.observation import Observer
from schemas.questions.dancers import By, SimilarDancersAnswer, SimilarDancersQuery
from schemas.questions.retrieval import (
    MMR_POOL,
    UNLIKE_WEIGHT,
    Example,
    Grouping,
    SimilarAnswer,
    SimilarQuery,
    uniform_weights,
)

_OPTIONS: Final = {
    "clip_id": "clip",
    "dancer_id": "dancer",
    "embeddings": "embeddings",
    "like": "like",
    "unlike": "unlike",
    "unlike_weight": "unlike-weight",
    "weights": "weights",
    "challenge_ids": "challenge",
    "among_dancer_ids": "among-dancer",
    "uploaded_from_ms": "uploaded-from",
    "uploaded_before_ms": "uploaded-before",
    "percentile_from": "percentile-from",
    "percentile_to": "percentile-to",
    "tier": "tier",
    "style": "style",
    "exclude_clip_ids": "exclude",
    "exclude_dancer_ids": "exclude-dancer",
    "k": "k",
    "half_life_s": "half-life-s",
    "mmr_lambda": "mmr-lambda",
    "mmr_pool": "mmr-pool",
    "cursor": "cursor",
    "generation": "generation",
}
"""By parameter of the API the option that gives it."""


def similar(
    clip: Annotated[str | None, typer.Option(help="The example is this clip.")] = None,
    dancer: Annotated[str | None, typer.Option(help="The example is the mean of this dancer's clips.")] = None,
    embeddings: Annotated[
        Path | None,
        typer.Option(
            help="The example is a clip with the embeddings in this JSON file: a list of numbers by modality."
        ),
    ] = None,
    like: Annotated[
        list[str] | None, typer.Option(help="One of several example clips; repeat the option for each.")
    ] = None,
    like_dancer: Annotated[list[str] | None, typer.Option(help="One of several example dancers; repeatable.")] = None,
    unlike: Annotated[
        list[str] | None, typer.Option(help="A clip as an example of what is not wanted; repeatable.")
    ] = None,
    unlike_dancer: Annotated[
        list[str] | None, typer.Option(help="A dancer as an example of what is not wanted; repeatable.")
    ] = None,
    unlike_weight: Annotated[
        float, typer.Option(help="How much of the mean of the unwanted examples is subtracted, 0 to 1.")
    ] = UNLIKE_WEIGHT,
    weights: Annotated[
        str | None,
        typer.Option(
            help="Weight of each modality, negative for unlike the example, e.g. skeletal:1,scenic:-0.5. "
            "Default: equal weights."
        ),
    ] = None,
    challenge: Annotated[list[str] | None, typer.Option(help="Only clips of this challenge; repeatable.")] = None,
    among_dancer: Annotated[list[str] | None, typer.Option(help="Only clips of this dancer; repeatable.")] = None,
    uploaded_from: Annotated[
        str | None, typer.Option(help="Only clips uploaded then or later: 2026-03-01 or 2026-03-01T12:00, UTC.")
    ] = None,
    uploaded_before: Annotated[str | None, typer.Option(help="Only clips uploaded before this time.")] = None,
    percentile_from: Annotated[
        float | None, typer.Option(help="Only clips of at least this percentile within their challenge, 0 to 100.")
    ] = None,
    percentile_to: Annotated[float | None, typer.Option(help="Only clips of at most this percentile.")] = None,
    percentile_by: Annotated[Dimension, typer.Option(help="The dimension of these percentiles.")] = Dimension.FUSED,
    tier: Annotated[str | None, typer.Option(help="Only clips in this tier of the traffic pools.")] = None,
    style: Annotated[str | None, typer.Option(help="Only clips that show this dance style, or unknown.")] = None,
    exclude: Annotated[list[str] | None, typer.Option(help="A clip to leave out of the hits; repeatable.")] = None,
    exclude_from: Annotated[
        Path | None,
        typer.Option(help="File with clips to leave out, such as those that a user has seen; one a line."),
    ] = None,
    exclude_dancer: Annotated[
        list[str] | None, typer.Option(help="A dancer whose clips to leave out; repeatable.")
    ] = None,
    k: Annotated[int, typer.Option("-k", help="Number of hits.")] = 10,
    by: Annotated[Grouping, typer.Option(help="One hit per clip, or the best clip of each dancer.")] = "dancer",
    include_own: Annotated[bool, typer.Option(help="Include other clips of the example's dancer.")] = False,
    half_life_s: Annotated[
        float | None, typer.Option(help="Similarities above 0 halve with each so many seconds of a clip's age.")
    ] = None,
    mmr_lambda: Annotated[
        float | None, typer.Option(help="Diversity (MMR): 1 for similarity alone, 0 for diversity alone.")
    ] = None,
    mmr_pool: Annotated[int, typer.Option(help="How many of the most similar hits --mmr-lambda reorders.")] = MMR_POOL,
    cursor: Annotated[
        str | None, typer.Option(help="The next page: the cursor under the table before, with the same question.")
    ] = None,
    generation: Generation = None,
    config: Config = None,
) -> None:
    """Who dances like this? Asks the index snapshot that a serving process saved last."""
    with naming_options(_OPTIONS):
        query = SimilarQuery(
            clip_id=clip,
            dancer_id=dancer,
            embeddings=None if embeddings is None else _read_embeddings(embeddings),
            like=_examples(like, like_dancer),
            unlike=_examples(unlike, unlike_dancer),
            unlike_weight=unlike_weight,
            weights=uniform_weights() if weights is None else parse_weights(weights),
            challenge_ids=challenge or (),
            among_dancer_ids=among_dancer or (),
            uploaded_from_ms=None if uploaded_from is None else parse_moment(uploaded_from, "uploaded-from"),
            uploaded_before_ms=None if uploaded_before is None else parse_moment(uploaded_before, "uploaded-before"),
            percentile_from=percentile_from,
            percentile_to=percentile_to,
            percentile_by=percentile_by,
            tier=tier,
            style=style,
            exclude_clip_ids=[*(exclude or ()), *(() if exclude_from is None else _read_ids(exclude_from))],
            exclude_dancer_ids=exclude_dancer or (),
            k=k,
            group_by=by,
            include_own=include_own,
            half_life_s=half_life_s,
            mmr_lambda=mmr_lambda,
            mmr_pool=mmr_pool,
            cursor=cursor,
        )
        needs_database = tier is not None or query.asks_for_percentiles
        with index_service(config, needs_database=needs_database) as service:
            answer = service.similar(query, generation=generation)
    Console().print(hits_table(answer, f"Similar to {_described(query)}"))
    if answer.next_cursor is not None:
        Console(markup=False, highlight=False, soft_wrap=True).print(f"next page: --cursor {answer.next_cursor}")


def duplicates(
    clip: Annotated[str, typer.Argument(help="The clip whose copies are looked for.")],
    threshold: Annotated[
        float | None,
        typer.Option(help="Least similarity, 0 to 1. Default: much nearer than the clip's tenth neighbour."),
    ] = None,
    k: Annotated[int, typer.Option("-k", help="Number of hits.")] = 10,
    generation: Generation = None,
    config: Config = None,
) -> None:
    """Which clips are the same recording, uploaded again? Asks the index snapshot that a serving process saved last."""
    console = Console()
    options = {"threshold": "threshold", "k": "k", "generation": "generation"}
    with naming_options(options), index_service(config) as service:
        answer = service.duplicates(clip, k=k, threshold=threshold, generation=generation)
    found = SimilarAnswer(answer.generation, {}, answer.hits, answer.approximate)
    more = "; there are more, raise -k" if answer.more else ""
    console.print(hits_table(found, f"Near-duplicates of {clip}", f"similarity at least {answer.threshold:.5f}{more}"))


def dancers(
    dancer: Annotated[str, typer.Argument(help="The dancer whom others are compared with.")],
    by: Annotated[By, typer.Option(help="Compare all clips of each dancer, or the most similar one.")] = "profile",
    weights: Annotated[
        str | None, typer.Option(help="Weight of each modality, e.g. skeletal:1,scenic:-0.5. Default: equal weights.")
    ] = None,
    k: Annotated[int, typer.Option("-k", help="Number of dancers.")] = 10,
    generation: Generation = None,
    config: Config = None,
) -> None:
    """Who dances like this dancer? Asks the index snapshot that a serving process saved last."""
    with naming_options({"weights": "weights", "k": "k", "generation": "generation"}):
        query = SimilarDancersQuery(
            dancer_id=dancer, by=by, weights=uniform_weights() if weights is None else parse_weights(weights), k=k
        )
        with index_service(config) as service:
            answer = service.similar_dancers(query, generation=generation)
    Console().print(dancers_table(answer))


def dancers_table(answer: SimilarDancersAnswer) -> Table:
    """Hits with their similarity by modality; a dash where one is missing."""
    applied = ", ".join(f"{modality} {weight:.2f}" for modality, weight in answer.weights.items())
    said = " (approximate: more similar dancers may be missing)" if answer.approximate else ""
    title = titled(f"Dancers similar to {answer.dancer_id}, by {answer.by}")
    named = [Column("dancer", overflow="fold"), Column("clips")]
    if answer.by == "clips":
        named.append(Column("clip", overflow="fold"))
    columns = columns_of(hit.similarities for hit in answer.hits)
    table = Table(*named, "all", *columns, title=title, caption=f"weights: {applied}{said}")
    for hit in answer.hits:
        parts = (f"{hit.similarities[m]:.3f}" if m in hit.similarities else "–" for m in columns)
        clip = [] if hit.clip_id is None else [Text(hit.clip_id)]
        table.add_row(Text(hit.dancer_id), str(hit.clips), *clip, f"{hit.similarity:.3f}", *parts)
    return table


def hits_table(answer: SimilarAnswer, title: str, caption: str | None = None) -> Table:
    """Hits with their similarity by modality; a dash where a clip lacks it. ``caption``: instead of the weights."""
    weights = ", ".join(f"{modality} {weight:.2f}" for modality, weight in answer.weights.items())
    named = (Column(name, overflow="fold") for name in ("dancer", "clip", "challenge"))
    said = " (approximate: more similar clips may be missing)" if answer.approximate else ""
    columns = columns_of(hit.similarities for hit in answer.hits)
    table = Table(*named, "all", *columns, title=titled(title), caption=(caption or f"weights: {weights}") + said)
    for hit in answer.hits:
        parts = (f"{hit.similarities[m]:.3f}" if m in hit.similarities else "–" for m in columns)
        ids = map(Text, (hit.dancer_id, hit.clip_id, hit.challenge_id))
        table.add_row(*ids, f"{hit.similarity:.3f}", *parts)
    return table


@contextmanager
def index_service(config: Config, *, needs_database: bool = False) -> Iterator[RankingService]:
    """Answers of the index snapshot, of the generation that is active in the database. Without a database it is the
    generation that came first. Raises ``NoData`` without a snapshot, and without a database that is needed.
    """
    settings = load_settings(config)
    index = Processes(settings, observer=Observer(), clock=SystemClock()).open_index()
    ranking = settings.ranking
    if index.clips() == 0:
        raise NoData(
            f"no index snapshot in {ranking.index_folder} (ranking.index_folder); dancerank serve saves one there "
            f"every {ranking.snapshot_interval_s:g} s and when it stops"
        )
    database = Processes(settings).open_database()
    if (absence := database.absence()) is not None:
        database.close()
        if needs_database:
            raise lacking(settings, RANKINGS, absence)
        database = Database("sqlite://")
        database.migrate()
    with closing(database):
        yield RankingService(ScoreStore(database), index, pools=PoolReader(database, SystemClock()))


def _described(query: SimilarQuery) -> str:
    named = [example.clip_id or example.dancer_id or "the embeddings" for example in query.examples]
    return ", ".join(named[:_SHOWN]) + (f" and {len(named) - _SHOWN} more" if len(named) > _SHOWN else "")


_SHOWN: Final = 3


def _examples(clip_ids: Sequence[str] | None, dancer_ids: Sequence[str] | None) -> list[Example]:
    clips = [Example(clip_id=clip_id) for clip_id in clip_ids or ()]
    return clips + [Example(dancer_id=dancer_id) for dancer_id in dancer_ids or ()]


def _read_embeddings(path: Path) -> dict[Any, list[float]]:
    """Raises ``QueryError`` naming ``embeddings``."""
    try:
        found = json.loads(_read(path, "embeddings"))
        if not isinstance(found, dict) or not found.keys() <= set(MODALITIES):
            raise ValueError(f"expected an object of {', '.join(MODALITIES)}")
        return {modality: [float(value) for value in values] for modality, values in found.items()}
    except (ValueError, TypeError, OverflowError, RecursionError) as error:
        raise QueryError(f"{path} does not hold embeddings: {error}", field="embeddings") from error


def _read_ids(path: Path) -> list[str]:
    return [line.strip() for line in _read(path, "exclude_clip_ids").splitlines() if line.strip()]


def _read(path: Path, field: str) -> str:
    try:
        return read_text(path)
    except OSError as error:
        raise QueryError(f"{path} cannot be read ({error.strerror})", field=field) from error
