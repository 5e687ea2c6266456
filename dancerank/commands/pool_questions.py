"""``pools clip``, ``pools status`` and ``pools try``: what HTTP answers about the traffic pools, from the database."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Annotated, Final

import typer

from dancerank.commands.databases import opened_pools
from dancerank.commands.options import Config
from dancerank.commands.tables.pools import clip_tables, pools_tables, try_tables
from dancerank.console.terminal import Console
from dancerank.settings import load_settings
from ranking.pools.service.reading import PoolReader
from ranking.scores.store import ScoreStore
from ranking.serving.service import RankingService
from schemas.clock import SystemClock
from schemas.errors import QueryError
from schemas.modalities import DIMENSIONS, Dimension
from schemas.questions.pools import HypotheticalClip


def clip(
    clip_id: Annotated[str, typer.Argument(help="The clip, as its upload named it.")], config: Config = None
) -> None:
    """Where is a clip, and why? Its tier, what it waits for and needs, and every decision about it."""
    with _pool_service(config) as service:
        Console().print(clip_tables(service.pooled_clip(clip_id)))


def status(config: Config = None) -> None:
    """How full is every tier, and what is left of its budgets in this window?"""
    with _pool_service(config) as service:
        Console().print(pools_tables(service.pools()))


def try_clip(
    challenge: Annotated[str, typer.Argument(help="Its challenge, which may have no clips yet.")],
    percentiles: Annotated[
        str | None,
        typer.Option(help="Its percentiles within the challenge, fused or by modality, e.g. fused:80,skeletal:95."),
    ] = None,
    scores: Annotated[
        str | None, typer.Option(help="Its scores instead, compared with the clips of the challenge.")
    ] = None,
    dancer: Annotated[str | None, typer.Option(help="Its dancer. Default: a new one.")] = None,
    clips: Annotated[
        int | None,
        typer.Option(help="Number of clips in its challenge, this one included. Default: the actual number."),
    ] = None,
    reactions: Annotated[
        int | None, typer.Option(help="Likes, comments and reposts after it was admitted; shows the next decision.")
    ] = None,
    views: Annotated[
        int | None,
        typer.Option(help="Impressions of these reactions. Default: unknown; granted impressions are used."),
    ] = None,
    config: Config = None,
) -> None:
    """What would be decided now about a clip that is made up? Nothing is written."""
    asked = HypotheticalClip(
        challenge_id=challenge,
        dancer_id=dancer,
        percentiles=None if percentiles is None else parse_by_dimension(percentiles, "percentiles"),
        scores=None if scores is None else parse_by_dimension(scores, "scores"),
        challenge_clips=clips,
        reactions=reactions,
        views=views,
    )
    with _pool_service(config) as service:
        Console().print(try_tables(service.try_in_pools(asked)))


COMMANDS: Final[dict[str, Callable[..., None]]] = {"status": status, "clip": clip, "try": try_clip}


def parse_by_dimension(text: str, named: str) -> dict[Dimension, float]:
    """``fused:80,skeletal:95``. Raises ``QueryError`` naming the option ``named``."""
    numbers: dict[Dimension, float] = {}
    for part in text.split(","):
        name, _, number = (piece.strip() for piece in part.partition(":"))
        if name not in DIMENSIONS:
            allowed = ", ".join(DIMENSIONS)
            raise QueryError(f"{named} name {name!r}; expected dimension:number pairs of {allowed}", field=named)
        if name in numbers:
            raise QueryError(f"{named} name {name} twice", field=named)
        try:
            numbers[Dimension(name)] = float(number)
        except ValueError:
            raise QueryError(f"{named}.{name} is {number!r}; expected a number", field=f"{named}.{name}") from None
    return numbers


@contextmanager
def _pool_service(config: Config) -> Iterator[RankingService]:
    """Answers of the pools' tables; raises ``NoData`` if no policy was adopted."""
    with opened_pools(load_settings(config)) as database:
        yield RankingService(ScoreStore(database), pools=PoolReader(database, SystemClock()))
