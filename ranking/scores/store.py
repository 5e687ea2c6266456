"""The SQL view: clips, scores and attention, kept from the log and asked for rankings."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Final, NamedTuple

import sqlalchemy as sa

from ranking.database.connection import Database, lock_clips
from ranking.database.round_trip import committing
from ranking.database.tables import clips, scored_clips, unranked_scores
from ranking.scores.content_hash import score_content
from ranking.scores.generations import active_generation, clips_by_generation, generation_states
from ranking.scores.moments import clip_moments
from ranking.scores.observations import reception
from ranking.scores.pages import RankingOf, after_clip, end_of, neighbours_of
from ranking.scores.percentile_range import PercentileRange
from ranking.scores.ranks import place
from ranking.scores.rows import Erasure, merge, write_entries
from ranking.scores.runs.audit import Difference, differences, rebuild
from ranking.scores.runs.periods import Since, since
from ranking.scores.runs.reading import scored
from ranking.scores.sketches import distribution
from ranking.scores.sources import source_of
from ranking.scores.standings import standings
from ranking.scores.style_counts import check_shown, check_style, styles_counted
from ranking.scores.tips.audit import SumsDifference, rebuild_sums, sums_differences
from ranking.scores.whole_challenges import WholeChallenges, challenge_totals
from ranking.views.applied_offsets import advance, advancing, stored_positions
from ranking.views.log_records import LogEntry
from schemas.clock import Clock, SystemClock
from schemas.errors import NotFound, QueryError
from schemas.events import outside_training
from schemas.modalities import DIMENSIONS, MODALITIES, Dimension, Modality
from schemas.moments import ClipMoments
from schemas.ports import Refusal, TopicPartition
from schemas.questions.challenges import (
    ScoreDistribution,
)
from schemas.questions.feedback import FeaturesKept
from schemas.questions.retrieval import (
    MAX_HITS,
    ClipSummary,
    GenerationState,
    Neighbours,
    Order,
    RankedClip,
    Ranking,
    Window,
)
from schemas.questions.styles import StyleCounts
from schemas.receptions import ObservedReception

SCORES_VIEW: Final = "scores"
"""Name of this view among the stored offsets."""


class ScoreStore(WholeChallenges):
    """``schemas.ports.View`` of the log in a database, and the answers that it gives.

    Any number of workers may write to one database, and any number of threads may ask. Every method raises
    ``StoreUnavailable`` if the database does not answer and ``StoreRefused`` if it refuses.
    """

    def __init__(self, database: Database, clock: Clock | None = None) -> None:
        self._database = database
        self._clock = clock or SystemClock()

    def positions(self, partitions: Iterable[TopicPartition]) -> dict[TopicPartition, int]:
        with self._database.reading() as connection:
            return stored_positions(connection, SCORES_VIEW, partitions)

    def apply(
        self,
        entries: Sequence[LogEntry],
        positions: Mapping[TopicPartition, int],
        erase: Callable[[Erasure], None] | None = None,
    ) -> Sequence[Refusal]:
        """In one transaction, as long as nothing was deleted. What is to be merged is in another one afterwards.

        Otherwise ``erase`` gets, once the transaction is over, what has to go from the log, and the positions pass
        in another when it returns. Without ``erase`` the log is left to others.
        """
        now_ms = self._clock.now_ms()
        with self._database.writing() as connection:
            last = [*advancing(connection, SCORES_VIEW, positions), *committing(connection)]
            written = write_entries(connection, entries, now_ms, last)
        if written.is_due:
            with self._database.writing() as connection:
                merge(connection, written, now_ms)
        if erasure := written.erasure:
            if erase is not None:
                erase(erasure)
            with self._database.writing() as connection:
                advance(connection, SCORES_VIEW, positions)
        return []

    def content(self) -> str:
        """Hash of all clips, scores and deletions; equal for two databases that were filled from one log."""
        return score_content(self._database)

    def count_differences(self) -> list[Difference | SumsDifference]:
        """Challenges and dimensions in which counts, or sums of guidance, differ from the rows."""
        with self._database.reading() as connection:
            return [*differences(connection), *sums_differences(connection)]

    def rebuild_counts(self) -> None:
        """Make the counts and sums again from the rows; writers wait meanwhile."""
        with self._database.writing() as connection:
            lock_clips(connection, alone=True)
            rebuild(connection, self._clock.now_ms())
            rebuild_sums(connection)

    def generations(self) -> dict[str, int]:
        """Clips scored under each generation, the one scored last first."""
        with self._database.reading() as connection:
            return clips_by_generation(connection)

    def has(self, generation: str) -> bool:
        """Whether any clip is scored under ``generation``."""
        with self._database.reading() as connection:
            return connection.scalars(sa.select(sa.exists().where(scored_clips.c.generation == generation))).one()

    def generation_states(self) -> list[GenerationState]:
        """Every generation: the active one first, then by latest activation, then the others."""
        with self._database.reading() as connection:
            return generation_states(connection)

    def active_generation(self) -> str | None:
        """``None`` until the first clip was scored."""
        with self._database.reading() as connection:
            return active_generation(connection)

    def ranking(
        self,
        challenge_id: str,
        dimension: Dimension,
        generation: str,
        *,
        order: Order,
        k: int,
        window: Window = "all",
        after: str | None = None,
        style: str | None = None,
    ) -> Ranking:
        """One end of a challenge's ranking, or the page that follows the clip ``after``; of the clips of a ``style``,
        ranked among themselves. Raises ``NotFound`` (challenge, clip, style) and ``QueryError`` (``k``, ``style``).
        """
        check_style(style)
        if not 1 <= k <= MAX_HITS:
            raise QueryError(f"k is {k}; expected 1 to {MAX_HITS}", field="k")
        place = RankingOf(generation, challenge_id, dimension)
        within = since(window, self._clock.now_ms())
        with self._database.reading() as connection:
            if after is not None:
                total, entries = _page_after(connection, place, after, order, k, within, style)
            else:
                total, entries = end_of(connection, place, order, k, within, style)
            if not entries and after is None:
                challenge_totals(connection, generation, challenge_id)
                check_shown(connection, generation, challenge_id, style)
        since_ms = None if within is None else within.at_ms
        return Ranking(challenge_id, dimension, generation, order, total, entries, window, since_ms, style)

    def styles(self, generation: str, challenge_id: str | None = None, *, window: Window = "all") -> StyleCounts:
        """Clips by dance style, in a challenge or in all. Raises ``NotFound`` (challenge)."""
        within = since(window, self._clock.now_ms())
        with self._database.reading() as connection:
            return styles_counted(connection, generation, challenge_id, window, within)

    def neighbours(
        self,
        clip_id: str,
        dimension: Dimension,
        generation: str,
        *,
        k: int,
        window: Window = "all",
        style: str | None = None,
    ) -> Neighbours:
        """The ``k`` next better and the ``k`` next worse clips, of all or of those that show a ``style``. Raises as
        ``place`` and ``ranking`` do, and ``NotFound`` (style) for a clip that shows another.
        """
        check_style(style)
        if not 1 <= k <= MAX_HITS:
            raise QueryError(f"k is {k}; expected 1 to {MAX_HITS}", field="k")
        within = since(window, self._clock.now_ms())
        found = neighbours_of(self._database, clip_id, dimension, generation, k, within, style)
        if found is None:
            raise self._no_place(clip_id, dimension, generation, window, style)
        since_ms = None if within is None else within.at_ms
        return Neighbours(
            challenge_id=found.challenge_id,
            dimension=dimension,
            generation=generation,
            clips=found.clips,
            clip=found.clip,
            above=found.above,
            below=found.below,
            window=window,
            since_ms=since_ms,
            style=style,
        )

    def clip(self, clip_id: str, generation: str, *, window: Window = "all") -> ClipSummary:
        """All that is known of a clip under ``generation``. Raises ``NotFound``."""
        within = since(window, self._clock.now_ms())
        table = scored_clips.c
        query = (
            sa.select(
                *(clips, table.challenge_id.label("challenge"), table.scored_at_ms, table.missing),
                *(table.training_distance, table.style, table.style_probability),
            )
            .join(scored_clips, table.clip_id == clips.c.clip_id)
            .where(clips.c.clip_id == clip_id, table.generation == generation)
        )
        with self._database.reading() as connection:
            row = connection.execute(query).one_or_none()
            if row is None:
                raise NotFound(f"clip {clip_id} is not known under generation {generation}", field="clip_id")
            stands = standings(connection, [clip_id], generation).get(clip_id, {})
            outside = outside_training(row.training_distance)
            found = _unranked(connection, clip_id, generation) if outside else stands
            if within is not None:
                stands = standings(connection, [clip_id], generation, within).get(clip_id, {})
        return ClipSummary(
            clip_id=clip_id,
            dancer_id=row.dancer_id,
            challenge_id=row.challenge,
            uploaded_at_ms=int(row.uploaded_at_ms),
            duration_s=float(row.duration_s),
            generation=generation,
            scored_at_ms=int(row.scored_at_ms),
            scores={dimension: each.score for dimension, each in found.items()},
            attention={Modality(d): each.attention for d, each in found.items() if each.attention is not None},
            missing=[modality for modality in MODALITIES if modality in row.missing.split(",")],
            places={d: RankedClip(*each.place, clip_id, row.dancer_id, each.score) for d, each in stands.items()},
            training_distance=row.training_distance,
            style=row.style,
            style_probability=row.style_probability,
            outside_training_distribution=outside,
            window=window,
            since_ms=None if within is None else within.at_ms,
            ranked_clips={dimension: each.clips for dimension, each in stands.items()},
        )

    def source(self, clip_id: str, generation: str | None) -> FeaturesKept | None:
        """Where the features that ``generation``, or else any other, scored can be read again; ``None``: they came
        inline. Raises ``NotFound``.
        """
        with self._database.reading() as connection:
            return source_of(connection, clip_id, generation)

    def moments(self, clip_id: str, generation: str, *, count: int, apart_s: float) -> ClipMoments:
        """The attention of a routine over time, and its heaviest moments. Raises ``NotFound``, and ``MomentsMissing``
        for a clip that is not a routine.
        """
        with self._database.reading() as connection:
            return clip_moments(connection, clip_id, generation, count, apart_s)

    def observed(self, clip_id: str) -> ObservedReception:
        """How a clip was received, as counted last. Raises ``NotFound`` if its reactions were never counted."""
        with self._database.reading() as connection:
            found = reception(connection, clip_id)
        if found is None:
            raise NotFound(f"the reactions to clip {clip_id} have not been counted yet", field="clip_id")
        return found

    def place(self, clip_id: str, dimension: Dimension, generation: str, *, window: Window = "all") -> RankedClip:
        """A clip's place in its challenge. Raises ``NotFound``, also for a dimension that the clip lacks, and for one
        from before the window.
        """
        within = since(window, self._clock.now_ms())
        with self._database.glancing() as connection:
            if (found := scored(connection, clip_id, generation, dimension, within)) is not None:
                return RankedClip(*place(*found.counts), clip_id, found.dancer_id, found.score)
        raise self._no_place(clip_id, dimension, generation, window)

    def _no_place(
        self, clip_id: str, dimension: Dimension, generation: str, window: Window, style: str | None = None
    ) -> NotFound:
        """Why a clip has no place. Raises ``NotFound`` for a clip that is not known."""
        clip = self.clip(clip_id, generation)
        if clip.outside_training_distribution:
            return NotFound(
                f"clip {clip_id} is in no ranking: it lies outside what the model was trained on", field="clip_id"
            )
        if dimension not in clip.places:
            has = ", ".join(clip.places)
            return NotFound(f"clip {clip_id} has no {dimension} score; it has {has}", field="dimension")
        if style not in (None, clip.style):
            shown = "its style was not judged" if clip.style is None else f"it shows {clip.style}"
            return NotFound(f"clip {clip_id} does not show the style {style}; {shown}", field="style")
        return NotFound(f"clip {clip_id} was uploaded before the window of {window}", field="window")

    def distribution(self, dimension: Dimension, generation: str, *, score: float | None = None) -> ScoreDistribution:
        """Of the scores in all challenges together, estimated. Raises ``NotFound`` without any in the dimension."""
        with self._database.reading() as connection:
            found = distribution(connection, generation, dimension, score)
        if found is None:
            raise NotFound(f"no clip has a {dimension} score under generation {generation}", field="by")
        return found

    def percentile_range(
        self,
        generation: str,
        dimension: Dimension,
        *,
        low: float = 0.0,
        high: float = 100.0,
        challenge_ids: Collection[str] = (),
    ) -> PercentileRange:
        """Clips whose percentile within their challenge is ``low`` to ``high``; the database is asked later."""
        return PercentileRange(self._database, generation, dimension, low=low, high=high, challenge_ids=challenge_ids)


class _Scored(NamedTuple):
    """A score that has no place in a ranking."""

    score: float
    attention: float | None


def _unranked(connection: sa.Connection, clip_id: str, generation: str) -> dict[Dimension, _Scored]:
    table = unranked_scores.c
    query = sa.select(table.dimension, table.score, table.attention).where(
        table.generation == generation, table.clip_id == clip_id
    )
    found = {row.dimension: _Scored(float(row.score), row.attention) for row in connection.execute(query)}
    return {dimension: found[dimension] for dimension in DIMENSIONS if dimension in found}


def _page_after(
    connection: sa.Connection,
    place: RankingOf,
    after: str,
    order: Order,
    k: int,
    within: Since | None,
    style: str | None,
) -> tuple[int, list[RankedClip]]:
    found = after_clip(connection, place, after, order, k, within, style)
    if found is None:
        raise NotFound(f"clip {after} is not in this ranking, or no longer; begin with the first page", field="after")
    return found
