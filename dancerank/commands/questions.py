"""``rankings``: the questions of the HTTP API that the database answers."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Annotated

import typer
from rich.table import Column, Table
from rich.text import Text

from dancerank.commands.databases import RANKINGS, lacking, opened_rankings
from dancerank.commands.options import Config, Generation
from dancerank.console.terminal import Console
from dancerank.settings import load_settings
from ranking.scores.store import ScoreStore
from ranking.serving.service import RankingService
from schemas.errors import QueryError
from schemas.modalities import MODALITIES, Dimension, Modality
from schemas.questions.challenges import ChallengeDistribution
from schemas.questions.retrieval import Neighbours, Order, RankedClip, Ranking, Window


def rankings(
    challenge: Annotated[str | None, typer.Argument(help="The challenge; without one, all are listed.")] = None,
    by: Annotated[Dimension, typer.Option(help="The modality to rank by, or the fused score.")] = Dimension.FUSED,
    order: Annotated[Order, typer.Option(help="Best first, or worst first.")] = "top",
    k: Annotated[int, typer.Option("-k", help="Number of clips; with --around, on either side.")] = 10,
    around: Annotated[str | None, typer.Option(help="A clip: list those next to it in its challenge.")] = None,
    window: Annotated[
        Window, typer.Option(help="Only clips that were uploaded in the last hour, day or week.")
    ] = "all",
    style: Annotated[str | None, typer.Option(help="Only clips that show this dance style, or unknown.")] = None,
    generation: Generation = None,
    config: Config = None,
) -> None:
    """The ranking of a challenge by any visual dimension, and which one matters most in it."""
    if challenge is not None and around is not None:
        raise QueryError("name a challenge, or a clip with --around, whose challenge is known", field="around")
    if style is not None and challenge is None and around is None:
        raise QueryError("--style goes with a challenge: name one", field="style")
    console = Console()
    with store_service(config) as service:
        if around is not None:
            found = service.neighbours(around, by, k=k, generation=generation, window=window, style=style)
            console.print(neighbours_table(found))
        elif challenge is not None:
            ranking = service.ranking(
                challenge, by, order=order, k=k, generation=generation, window=window, style=style
            )
            console.print(ranking_table(ranking))
        else:
            console.print(_challenges_table(service, generation, window))


def distribution(
    challenge: Annotated[str | None, typer.Argument(help="The challenge; without one, all together.")] = None,
    by: Annotated[Dimension, typer.Option(help="The modality whose scores, or the fused score.")] = Dimension.FUSED,
    score: Annotated[float | None, typer.Option(help="A score to give the percentile of, in all together.")] = None,
    bins: Annotated[int, typer.Option(help="How many bins of equal width the scores of a challenge fall in.")] = 10,
    window: Annotated[
        Window, typer.Option(help="Only clips of a challenge that were uploaded in the last hour, day or week.")
    ] = "all",
    style: Annotated[
        str | None, typer.Option(help="Only clips of a challenge that show this dance style, or unknown.")
    ] = None,
    generation: Generation = None,
    config: Config = None,
) -> None:
    """How scores are distributed: in one challenge, counted, or in all together, estimated as clips are scored."""
    if challenge is None and (style is not None or window != "all"):
        raise QueryError("--style and --window go with a challenge: name one", field="challenge")
    if challenge is not None and score is not None:
        raise QueryError("--score goes with all challenges together: name none", field="score")
    with store_service(config) as service:
        if challenge is not None:
            counted = service.challenge_distribution(
                challenge, by, bins=bins, generation=generation, window=window, style=style
            )
            Console().print(histogram_table(counted))
            return
        found = service.distribution(by, score=score, generation=generation)
    error = f"± {found.rank_error:.2f}" if found.rank_error else "exact"
    table = Table("percentile", "score", title=titled(f"{found.scores} {by} scores"), caption=f"percentiles: {error}")
    for quantile in found.quantiles:
        table.add_row(f"{quantile.percentile:g}", f"{quantile.score:.4f}")
    if found.score is not None and found.percentile is not None:
        table.add_row(f"{found.percentile:.2f}", f"{found.score:.4f}", style="bold")
    Console().print(table)


def _challenges_table(service: RankingService, generation: str | None, window: Window) -> Table:
    # One for the whole table: another may be activated between two questions.
    generation = generation or next((s.generation for s in service.generations() if s.in_force), None)
    title = "Challenges, with the mean attention on each modality"
    challenges = service.challenges(generation=generation)
    attentions = [service.attention(found.challenge_id, generation=generation, window=window) for found in challenges]
    columns = columns_of(attention.mean_attention for attention in attentions)
    table = Table("challenge", "clips", *columns, title=title + of_window(window))
    for found, attention in zip(challenges, attentions, strict=True):
        means = attention.mean_attention
        shares = (f"{means[m]:.2f}" if m in means else "–" for m in columns)
        table.add_row(Text(found.challenge_id), str(attention.clips), *shares)
    return table


def histogram_table(found: ChallengeDistribution) -> Table:
    """A row for each bin, the lowest first; the last one has its upper edge too."""
    title = f"{found.challenge_id}: {found.dimension} scores of {found.clips} clips{_of_style(found.style)}"
    table = Table("from", "to", "clips", "share", title=titled(title + of_window(found.window)))
    for low, high, clips in zip(found.edges, found.edges[1:], found.counts, strict=False):
        table.add_row(f"{low:.4f}", f"{high:.4f}", str(clips), f"{clips / found.clips:.1%}")
    return table


def ranking_table(ranking: Ranking) -> Table:
    of_style = _of_style(ranking.style)
    title = f"{ranking.challenge_id} by {ranking.dimension}: {ranking.order} of {ranking.clips} clips{of_style}"
    return _clips_table(title + of_window(ranking.window), ranking.entries)


def neighbours_table(found: Neighbours) -> Table:
    """Best first; the clip that was asked about stands out."""
    around, of_style = found.clip.clip_id, _of_style(found.style)
    title = f"{found.challenge_id} by {found.dimension}: around {around}, of {found.clips} clips{of_style}"
    clips = [*reversed(found.above), found.clip, *found.below]
    return _clips_table(title + of_window(found.window), clips, marked=found.clip)


def _of_style(style: str | None) -> str:
    return "" if style is None else f" of style {style}"


def of_window(window: Window) -> str:
    return "" if window == "all" else f", uploaded in the last {window}"


def _clips_table(title: str, clips: Iterable[RankedClip], marked: RankedClip | None = None) -> Table:
    named = (Column(name, overflow="fold") for name in ("clip", "dancer"))
    table = Table("rank", "percentile", *named, "score", title=titled(title))
    for entry in clips:
        place, ids = (str(entry.rank), f"{entry.percentile:.1f}"), map(Text, (entry.clip_id, entry.dancer_id))
        table.add_row(*place, *ids, f"{entry.score:.4f}", style="bold" if entry is marked else None)
    return table


def titled(text: str) -> Text:
    """Ids are data: read as markup, [b] would vanish from one."""
    return Text(text, style="table.title")


def columns_of(rows: Iterable[Mapping[Modality, float]]) -> list[Modality]:
    """The modalities that a table has columns for: those of the fusion, and others that any of its rows has."""
    found = {modality for row in rows for modality in row}
    return [modality for modality in MODALITIES if modality.is_fused or modality in found]


@contextmanager
def store_service(config: Config) -> Iterator[RankingService]:
    """Answers of the database; raises ``NoData`` if it is empty."""
    settings = load_settings(config)
    with opened_rankings(settings) as database:
        store = ScoreStore(database)
        if not store.generations():
            raise lacking(settings, RANKINGS)
        yield RankingService(store)
