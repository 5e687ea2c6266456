"""``rankings``: the questions of the HTTP API that the database answers."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

import typer
from rich.table import Column, Table
from rich.text import Text

from dancerank.commands.databases import RANKINGS, lacking, opened_rankings
from dancerank.commands.options import Config, Generation
from dancerank.settings import load_settings
from dancerank.terminal import Console
from ranking.scores.store import ScoreStore
from ranking.serving.service import RankingService
from schemas.modalities import MODALITIES, Dimension
from schemas.queries import Order, Ranking


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


def ranking_table(ranking: Ranking) -> Table:
    title = f"{ranking.challenge_id} by {ranking.dimension}: {ranking.order} of {ranking.clips} clips"
    named = (Column(name, overflow="fold") for name in ("clip", "dancer"))
    table = Table("rank", "percentile", *named, "score", title=titled(title))
    for entry in ranking.entries:
        place, ids = (str(entry.rank), f"{entry.percentile:.1f}"), map(Text, (entry.clip_id, entry.dancer_id))
        table.add_row(*place, *ids, f"{entry.score:.4f}")
    return table


def titled(text: str) -> Text:
    """Ids are data: read as markup, [b] would vanish from one."""
    return Text(text, style="table.title")


@contextmanager
def _store_service(config: Config) -> Iterator[RankingService]:
    """Answers of the database; raises ``NoData`` if it is empty."""
    settings = load_settings(config)
    with opened_rankings(settings) as database:
        store = ScoreStore(database)
        if not store.generations():
            raise lacking(settings, RANKINGS)
        yield RankingService(store)
