"""What the SQL view answers about challenges as a whole."""

import sqlalchemy as sa

from ranking.database.connection import Database
from ranking.scores.histograms import PERIODS, growth, histogram
from ranking.scores.pages import RankingOf
from ranking.scores.runs.content import CLIPS, Totals
from ranking.scores.runs.periods import MINUTE_MS, minute_of, since
from ranking.scores.runs.reading import totals_by_challenge, totals_of
from ranking.scores.style_counts import check_shown, check_style
from ranking.scores.tips.reading import all_tips, challenge_tips
from ranking.scores.unranked import unranked_clips
from schemas.clock import Clock
from schemas.errors import NotFound, QueryError
from schemas.modalities import MODALITIES, Dimension
from schemas.questions.challenges import (
    MAX_BINS,
    ChallengeDistribution,
    ChallengeGrowth,
    GrowthPeriod,
    UnrankedClips,
)
from schemas.questions.retrieval import MAX_HITS, Challenge, ChallengeAttention, Window
from schemas.questions.tips import ChallengeTips, TipsAnswer


class WholeChallenges:
    """The part of ``ScoreStore`` that answers about challenges."""

    _database: Database
    _clock: Clock

    def challenges(self, generation: str) -> list[Challenge]:
        """Every challenge with clips under ``generation``, by id."""
        with self._database.reading() as connection:
            found = totals_by_challenge(connection, generation)
        sizes = ((challenge_id, totals[CLIPS].clips) for challenge_id, totals in found.items())
        return [Challenge(challenge_id, clips) for challenge_id, clips in sizes if clips]

    def challenge_distribution(
        self,
        challenge_id: str,
        dimension: Dimension,
        generation: str,
        *,
        bins: int,
        window: Window = "all",
        style: str | None = None,
    ) -> ChallengeDistribution:
        """Of the scores in one challenge, or of its clips of a ``style``, exact. Raises ``NotFound`` (challenge, style)
        and ``QueryError`` (``bins``, ``style``).
        """
        check_style(style)
        if not 1 <= bins <= MAX_BINS:
            raise QueryError(f"bins is {bins}; expected 1 to {MAX_BINS}", field="bins")
        within = since(window, self._clock.now_ms())
        with self._database.reading() as connection:
            of = RankingOf(generation, challenge_id, dimension).of_style(style)
            found = histogram(connection, of, bins, within)
            if not found.clips:
                challenge_totals(connection, generation, challenge_id)
                check_shown(connection, generation, challenge_id, style)
        since_ms = None if within is None else within.at_ms
        return ChallengeDistribution(challenge_id, dimension, generation, *found, window, since_ms, style)

    def unranked(self, challenge_id: str, generation: str, *, k: int, after: str | None = None) -> UnrankedClips:
        """Clips of a challenge that are in no ranking. Raises ``NotFound`` (challenge) and ``QueryError`` (``k``)."""
        if not 1 <= k <= MAX_HITS:
            raise QueryError(f"k is {k}; expected 1 to {MAX_HITS}", field="k")
        with self._database.reading() as connection:
            found = unranked_clips(connection, generation, challenge_id, k, after)
            if not found.clips:
                challenge_totals(connection, generation, challenge_id)
        return found

    def growth(self, challenge_id: str, generation: str, by: GrowthPeriod) -> ChallengeGrowth:
        """Clips by the period of their upload. Raises ``NotFound`` (challenge)."""
        with self._database.reading() as connection:
            challenge_totals(connection, generation, challenge_id)
            found = growth(connection, generation, challenge_id, by, minute_of(self._clock.now_ms()))
        return ChallengeGrowth(
            challenge_id=challenge_id,
            generation=generation,
            by=by,
            period_ms=PERIODS[by][0] * MINUTE_MS,
            since_ms=found.start * MINUTE_MS,
            before=found.before,
            clips=found.clips,
        )

    def attention(self, challenge_id: str, generation: str, *, window: Window = "all") -> ChallengeAttention:
        """Mean attention of each modality in a challenge. Raises ``NotFound``."""
        within = since(window, self._clock.now_ms())
        with self._database.reading() as connection:
            totals = totals_of(connection, generation, challenge_id, within)
            if CLIPS not in totals or not totals[CLIPS].clips:
                challenge_totals(connection, generation, challenge_id)
        found = {modality: totals[modality] for modality in MODALITIES if modality in totals}
        present = {modality: total for modality, total in found.items() if total.clips}
        return ChallengeAttention(
            challenge_id=challenge_id,
            generation=generation,
            clips=totals[CLIPS].clips if CLIPS in totals else 0,
            mean_attention={modality: total.mean_attention for modality, total in present.items()},
            present={modality: total.clips for modality, total in present.items()},
            window=window,
            since_ms=None if within is None else within.at_ms,
        )

    def challenge_tips(self, challenge_id: str, generation: str, style: str | None = None) -> ChallengeTips:
        """Dance tips of a challenge, or of its clips of a ``style``. Raises ``NotFound`` (challenge, style), and
        ``GuidanceMissing`` where no clip has guidance.
        """
        with self._database.reading() as connection:
            challenge_totals(connection, generation, challenge_id)
            check_shown(connection, generation, challenge_id, style)
            return challenge_tips(connection, generation, challenge_id, style)

    def tips(self, generation: str) -> TipsAnswer:
        """Overall attention of every challenge. Raises ``GuidanceMissing`` where no clip has guidance."""
        with self._database.reading() as connection:
            return all_tips(connection, generation)


def challenge_totals(connection: sa.Connection, generation: str, challenge_id: str) -> Totals:
    """Clips and attention by dimension. Raises ``NotFound`` for a challenge without clips."""
    totals = totals_of(connection, generation, challenge_id)
    if CLIPS not in totals or not totals[CLIPS].clips:
        raise NotFound(f"challenge {challenge_id} has no clips under generation {generation}", field="challenge_id")
    return totals
