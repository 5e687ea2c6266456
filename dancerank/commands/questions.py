"""``similar`` and ``rankings``: the questions of the HTTP API, asked of the database and the latest index snapshot."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Annotated

import typer
from rich.table import Column, Table
from rich.text import Text

from dancerank.commands.databases import RANKINGS, NoData, lacking, opened_rankings
from dancerank.commands.options import Config
from dancerank.processes import Processes
from dancerank.settings import Settings, load_settings
from dancerank.terminal import Console
from ranking.database.connection import Database
from ranking.scores.store import ScoreStore
from ranking.serving.service import RankingService
from ranking.vectors.view import IndexView
from ranking.vectors.weights import parse_weights
from schemas.clock import SystemClock
from schemas.modalities import MODALITIES, Dimension
from schemas.observation import Observer
from schemas.queries import Grouping, Order, Ranking, SimilarAnswer, SimilarQuery, uniform_weights

Generation = Annotated[
    str | None, typer.Option(help="Model generation that scored the clips. Default: the active one.")
]


def similar(
    clip: Annotated[str | None, typer.Option(help="The example is this clip.")] = None,
    dancer: Annotated[str | None, typer.Option(help="The example is the mean of this dancer's clips.")] = None,
    weights: Annotated[
        str | None,
        typer.Option(help="Weight of each modality, e.g. skeletal:1,facial:0.5. Default: equal weights."),
    ] = None,
    challenge: Annotated[str | None, typer.Option(help="Only clips of this challenge.")] = None,
    k: Annotated[int, typer.Option("-k", help="Number of hits.")] = 10,
    by: Annotated[Grouping, typer.Option(help="One hit per clip, or the best clip of each dancer.")] = "dancer",
    include_own: Annotated[bool, typer.Option(help="Include other clips of the example's dancer.")] = False,
    generation: Generation = None,
    config: Config = None,
) -> None:
    """Who dances like this? Asks the index snapshot that a serving process saved last."""
    query = SimilarQuery(
        clip_id=clip,
        dancer_id=dancer,
        weights=uniform_weights() if weights is None else parse_weights(weights),
        challenge_id=challenge,
        k=k,
        group_by=by,
        include_own=include_own,
    )
    with _index_service(config) as service:
        Console().print(hits_table(service.similar(query, generation=generation), f"Similar to {clip or dancer}"))


def rankings(
    challenge: Annotated[str | None, typer.Argument(help="The challenge; without one, all are listed.")] = None,
    by: Annotated[Dimension, typer.Option(help="The modality to rank by, or the fused score.")] = Dimension.FUSED,
    order: Annotated[Order, typer.Option(help="Best first, or worst first.")] = "top",
    k: Annotated[int, typer.Option("-k", help="Number of clips.")] = 10,
    generation: Generation = None,
    config: Config = None,
) -> None:
    """The ranking of a challenge by any visual dimension, and which one matters most in it."""
    console = Console()
    with _store_service(config) as service:
        if challenge is None:
            # One for the whole table: another may be activated between two questions.
            generation = generation or next((s.generation for s in service.generations() if s.in_force), None)
            table = Table(
                "challenge", "clips", *MODALITIES, title="Challenges, with the mean attention on each modality"
            )
            for found in service.challenges(generation=generation):
                attention = service.attention(found.challenge_id, generation=generation).mean_attention
                shares = (f"{attention[m]:.2f}" if m in attention else "–" for m in MODALITIES)
                table.add_row(Text(found.challenge_id), str(found.clips), *shares)
            console.print(table)
        else:
            console.print(ranking_table(service.ranking(challenge, by, order=order, k=k, generation=generation)))


def hits_table(answer: SimilarAnswer, title: str) -> Table:
    """Hits with their similarity by modality; a dash where a clip lacks it."""
    weights = ", ".join(f"{modality} {weight:.2f}" for modality, weight in answer.weights.items())
    named = (Column(name, overflow="fold") for name in ("dancer", "clip", "challenge"))
    said = " (approximate: more similar clips may be missing)" if answer.approximate else ""
    table = Table(*named, "all", *MODALITIES, title=_title(title), caption=f"weights: {weights}{said}")
    for hit in answer.hits:
        parts = (f"{hit.similarities[m]:.3f}" if m in hit.similarities else "–" for m in MODALITIES)
        ids = map(Text, (hit.dancer_id, hit.clip_id, hit.challenge_id))
        table.add_row(*ids, f"{hit.similarity:.3f}", *parts)
    return table


def ranking_table(ranking: Ranking) -> Table:
    title = f"{ranking.challenge_id} by {ranking.dimension}: {ranking.order} of {ranking.clips} clips"
    named = (Column(name, overflow="fold") for name in ("clip", "dancer"))
    table = Table("rank", "percentile", *named, "score", title=_title(title))
    for entry in ranking.entries:
        place, ids = (str(entry.rank), f"{entry.percentile:.1f}"), map(Text, (entry.clip_id, entry.dancer_id))
        table.add_row(*place, *ids, f"{entry.score:.4f}")
    return table


def _title(text: str) -> Text:
    """Ids are data: read as markup, [b] would vanish from one."""
    return Text(text, style="table.title")


@contextmanager
def _index_service(config: Config) -> Iterator[RankingService]:
    """Answers of the index snapshot, of the generation that is active in the database; raises ``NoData`` without
    one. Without a database it is the one that came first.
    """
    settings, index = _opened_index(config)
    ranking = settings.ranking
    if index.clips() == 0:
        raise NoData(
            f"no index snapshot in {ranking.index_folder} (ranking.index_folder); dancerank serve saves one there "
            f"every {ranking.snapshot_interval_s:g} s and when it stops"
        )
    database = Processes(settings).open_database()
    if database.absence() is not None:
        database.close()
        database = Database("sqlite://")
        database.migrate()
    with closing(database):
        yield RankingService(ScoreStore(database), index)


@contextmanager
def _store_service(config: Config) -> Iterator[RankingService]:
    """Answers of the database; raises ``NoData`` if it is empty."""
    settings = load_settings(config)
    with opened_rankings(settings) as database:
        store = ScoreStore(database)
        if not store.generations():
            raise lacking(settings, RANKINGS)
        yield RankingService(store)


def _opened_index(config: Config) -> tuple[Settings, IndexView]:
    settings = load_settings(config)
    return settings, Processes(settings, observer=Observer(), clock=SystemClock()).open_index()
