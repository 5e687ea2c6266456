"""Questions about challenges as a whole, which the service answers from the store."""

from abc import ABC, abstractmethod

from ranking.scores.store import ScoreStore
from ranking.serving.identifiers import check_identifier
from schemas.modalities import Dimension
from schemas.questions.challenges import ChallengeDistribution, ChallengeGrowth, GrowthPeriod, UnrankedClips
from schemas.questions.retrieval import Challenge, ChallengeAttention, Window
from schemas.questions.styles import StyleCounts
from schemas.questions.tips import ChallengeTips, TipsAnswer


class ChallengeQuestions(ABC):
    """The part of ``RankingService`` that answers about challenges."""

    _store: ScoreStore

    @abstractmethod
    def _generation(self, generation: str | None) -> str:
        """The generation that is asked for. Raises ``NotFound``."""

    @abstractmethod
    def _generation_if_any(self, generation: str | None) -> str | None:
        """Likewise; ``None`` where no clip has been scored."""

    def styles(
        self, challenge_id: str | None = None, *, generation: str | None = None, window: Window = "all"
    ) -> StyleCounts:
        """How many clips show each dance style, in a challenge or in all together."""
        if challenge_id is not None:
            check_identifier("challenge_id", challenge_id)
        return self._store.styles(self._generation(generation), challenge_id, window=window)

    def attention(
        self, challenge_id: str, *, generation: str | None = None, window: Window = "all"
    ) -> ChallengeAttention:
        """Which aspect matters most in a challenge."""
        check_identifier("challenge_id", challenge_id)
        return self._store.attention(challenge_id, self._generation(generation), window=window)

    def challenge_tips(
        self, challenge_id: str, *, generation: str | None = None, style: str | None = None
    ) -> ChallengeTips:
        """Which joints deserve attention in a challenge, and when; of all clips, or of those of a dance style."""
        check_identifier("challenge_id", challenge_id)
        return self._store.challenge_tips(challenge_id, self._generation(generation), style)

    def tips(self, *, generation: str | None = None) -> TipsAnswer:
        """Which joints deserve attention in each challenge."""
        return self._store.tips(self._generation(generation))

    def challenge_distribution(
        self,
        challenge_id: str,
        dimension: Dimension = Dimension.FUSED,
        *,
        bins: int,
        generation: str | None = None,
        window: Window = "all",
        style: str | None = None,
    ) -> ChallengeDistribution:
        """How the scores of one challenge, or of its clips of a dance style, are distributed: an exact histogram."""
        check_identifier("challenge_id", challenge_id)
        asked = self._generation(generation)
        return self._store.challenge_distribution(challenge_id, dimension, asked, bins=bins, window=window, style=style)

    def unranked(
        self, challenge_id: str, *, k: int = 10, after: str | None = None, generation: str | None = None
    ) -> UnrankedClips:
        """Clips of a challenge outside what the model was trained on, by id, or the ``k`` that follow ``after``."""
        check_identifier("challenge_id", challenge_id)
        if after is not None:
            check_identifier("after", after)
        return self._store.unranked(challenge_id, self._generation(generation), k=k, after=after)

    def growth(self, challenge_id: str, *, by: GrowthPeriod = "hour", generation: str | None = None) -> ChallengeGrowth:
        """How many clips of a challenge were uploaded in each of the last minutes, hours or days."""
        check_identifier("challenge_id", challenge_id)
        return self._store.growth(challenge_id, self._generation(generation), by)

    def challenges(self, *, generation: str | None = None) -> list[Challenge]:
        """Every challenge and how many clips it has."""
        asked = self._generation_if_any(generation)
        return [] if asked is None else self._store.challenges(asked)
