"""Answers every question: similarity from the index view, exposure from the pools' tables, the rest from the store."""

import logging
from collections.abc import Sequence
from math import isfinite
from threading import Lock
from time import monotonic, perf_counter
from typing import Final

from ranking.monitoring.reading import ModelReader
from ranking.pools.service.reading import PoolReader
from ranking.scores.store import ScoreStore
from ranking.serving.challenge_questions import ChallengeQuestions
from ranking.serving.identifiers import check_identifier, check_query
from ranking.serving.readiness import Readiness, ServingReadiness
from ranking.vectors.conditions import AllOf, ClipCondition
from ranking.vectors.duplicates import duplicates_query, near_duplicates
from ranking.vectors.view import IndexView
from ranking.views.loop import LoopThread
from schemas.clock import SystemClock
from schemas.errors import (
    DatabaseBusy,
    NotFound,
    NotReady,
    NotServedHere,
    QueryError,
    StoreRefused,
    StoreUnavailable,
)
from schemas.modalities import Dimension
from schemas.moments import DEFAULT_APART_S, DEFAULT_MOMENTS, ClipMoments, check_moments
from schemas.observation import Observer
from schemas.questions.challenges import (
    ScoreDistribution,
)
from schemas.questions.dancers import SimilarDancersAnswer, SimilarDancersQuery
from schemas.questions.feedback import FeaturesKept
from schemas.questions.model import ModelAnswer
from schemas.questions.pool_comparisons import NamedPolicy
from schemas.questions.pool_history import DecisionsAnswer, PoolHistoryAnswer
from schemas.questions.pools import HypotheticalClip, PooledClipAnswer, PoolsAnswer, PoolTryAnswer
from schemas.questions.readiness import ProcessState
from schemas.questions.retrieval import (
    ClipSummary,
    DuplicatesAnswer,
    GenerationState,
    Neighbours,
    Order,
    RankedClip,
    Ranking,
    SimilarAnswer,
    SimilarQuery,
    Window,
)
from schemas.receptions import ObservedReception

log = logging.getLogger(__name__)

_ASK_AGAIN_S: Final = 1.0


class RankingService(ChallengeQuestions):
    """Answers of both views, and of the traffic pools where they are read.

    Every method about scores takes a ``generation``; the default is the active generation, which the
    database is asked for each time: once another one is activated, no later question is answered by the one before. If
    the database does not answer, it is the one known last.

    Every method raises ``NotFound`` and ``QueryError`` naming the parameter, ``NotReady`` or ``StoreUnavailable`` if a
    later try may succeed, and ``NotServedHere`` for a view that this service was built without.
    """

    def __init__(
        self,
        store: ScoreStore,
        index: IndexView | None = None,
        *,
        pools: PoolReader | None = None,
        loops: Sequence[LoopThread] = (),
        observer: Observer | None = None,
        readiness: ServingReadiness | None = None,
        model: ModelReader | None = None,
    ) -> None:
        """``loops`` feed the views here: ready once all have caught up, unhealthy if one has ended. ``readiness`` is
        looked up instead where more is known of what this process waits for.
        """
        self._store = store
        self._index = index
        self._pools = pools
        self._model = model
        self._readiness = readiness or ServingReadiness(store, index, loops, SystemClock())
        self._observer = observer or Observer()
        self._active: str | None = None
        self._asked_at_s = self._refused_at_s = float("-inf")
        self._learning = Lock()

    def similar(self, query: SimilarQuery, *, generation: str | None = None) -> SimilarAnswer:
        """Similar clips or dancers. Embeddings mean nothing without the generation that they are of."""
        if self._index is None:
            raise NotServedHere("no index view runs here; ask a serving process")
        check_query(query)
        if generation is None and any(example.embeddings is not None for example in query.every_example):
            raise QueryError("name the generation whose bundle made these embeddings", field="generation")
        asked = self._indexed_generation(self._index, generation)
        started_s = perf_counter()
        answer = self._index.similar(query, asked, self._condition(query, asked))
        self._observer.stage_timed("query", perf_counter() - started_s)
        return answer

    def similar_dancers(self, query: SimilarDancersQuery, *, generation: str | None = None) -> SimilarDancersAnswer:
        """Dancers who dance alike, by the mean of all of their clips or by their most similar clip."""
        if self._index is None:
            raise NotServedHere("no index view runs here; ask a serving process")
        check_identifier("dancer_id", query.dancer_id)
        asked = self._indexed_generation(self._index, generation)
        started_s = perf_counter()
        answer = self._index.similar_dancers(query, asked)
        self._observer.stage_timed("query", perf_counter() - started_s)
        return answer

    def _indexed_generation(self, index: IndexView, generation: str | None) -> str:
        if generation is not None:
            check_identifier("generation", generation)
        asked, held = generation or self._generation(None), index.generations()
        if asked not in held and (generation is None or not held):
            self._check_ready(f"generation {asked} is active and not indexed here yet; try again shortly")
            raise NotFound(f"no clip is held under generation {asked}", field="generation")
        return asked

    def duplicates(
        self, clip_id: str, *, k: int = 10, threshold: float | None = None, generation: str | None = None
    ) -> DuplicatesAnswer:
        """Clips that seem to be the same recording, uploaded again; ``threshold``: the least similarity, by default
        that of ``ranking.vectors.duplicates``.
        """
        found = self.similar(duplicates_query(clip_id, k, threshold), generation=generation)
        return near_duplicates(found, clip_id, k, threshold)

    def _condition(self, query: SimilarQuery, generation: str) -> ClipCondition | None:
        """What the views of scores and pools know of a question's clips; ``None`` if it does not ask for that."""
        conditions: list[ClipCondition] = []
        if query.asks_for_percentiles:
            low, high = query.percentile_from, query.percentile_to
            conditions.append(
                self._store.percentile_range(
                    generation,
                    query.percentile_by,
                    low=0.0 if low is None else low,
                    high=100.0 if high is None else high,
                    challenge_ids=query.challenges,
                )
            )
        if query.tier is not None:
            conditions.append(self._pools_here().in_tier(query.tier))
        return AllOf(conditions) if conditions else None

    def ranking(
        self,
        challenge_id: str,
        dimension: Dimension = Dimension.FUSED,
        *,
        order: Order = "top",
        k: int = 10,
        generation: str | None = None,
        window: Window = "all",
        after: str | None = None,
        style: str | None = None,
    ) -> Ranking:
        """The first or the last ``k`` clips of a challenge by one dimension, among those of a window of time and of a
        dance style; or the ``k`` that follow the clip ``after``, the last one of a page before.
        """
        check_identifier("challenge_id", challenge_id)
        if after is not None:
            check_identifier("after", after)
        asked = self._generation(generation)
        return self._store.ranking(
            challenge_id, dimension, asked, order=order, k=k, window=window, after=after, style=style
        )

    def neighbours(
        self,
        clip_id: str,
        dimension: Dimension = Dimension.FUSED,
        *,
        k: int = 5,
        generation: str | None = None,
        window: Window = "all",
        style: str | None = None,
    ) -> Neighbours:
        """A clip's place in its challenge by one dimension, and up to ``k`` clips on either side of it; among all
        clips, or among those of a dance style.
        """
        check_identifier("clip_id", clip_id)
        asked = self._generation(generation)
        return self._store.neighbours(clip_id, dimension, asked, k=k, window=window, style=style)

    def generations(self) -> list[GenerationState]:
        """Every model generation that scored clips, was active or is retired."""
        return self._store.generation_states()

    def clip(self, clip_id: str, *, generation: str | None = None, window: Window = "all") -> ClipSummary:
        """All that is known of a clip; its places are those within the window, if it was uploaded in it."""
        check_identifier("clip_id", clip_id)
        return self._store.clip(clip_id, self._generation(generation), window=window)

    def moments(
        self,
        clip_id: str,
        *,
        count: int = DEFAULT_MOMENTS,
        apart_s: float = DEFAULT_APART_S,
        generation: str | None = None,
    ) -> ClipMoments:
        """How much each second of a routine counts in its score, and the ``count`` heaviest moments, ``apart_s``
        seconds or more apart.
        """
        check_identifier("clip_id", clip_id)
        check_moments(count, apart_s)
        return self._store.moments(clip_id, self._generation(generation), count=count, apart_s=apart_s)

    def source(self, clip_id: str) -> FeaturesKept | None:
        """Where a clip's features, or its video, can be read again; ``None`` if they came inline."""
        check_identifier("clip_id", clip_id)
        return self._store.source(clip_id, self._served_generation())

    def place(
        self, clip_id: str, dimension: Dimension, *, generation: str | None = None, window: Window = "all"
    ) -> RankedClip:
        """A clip's place in its challenge by one dimension."""
        check_identifier("clip_id", clip_id)
        return self._store.place(clip_id, dimension, self._generation(generation), window=window)

    def distribution(
        self, dimension: Dimension = Dimension.FUSED, *, score: float | None = None, generation: str | None = None
    ) -> ScoreDistribution:
        """How scores are distributed over all challenges together, and where one score stands; with its error."""
        if score is not None and not isfinite(score):
            raise QueryError("score must be a finite number", field="score")
        return self._store.distribution(dimension, self._generation(generation), score=score)

    def pooled_clip(self, clip_id: str) -> PooledClipAnswer:
        """A clip's tier, what it waits for and needs, and its history with reasons."""
        check_identifier("clip_id", clip_id)
        return self._pools_here().clip(clip_id)

    def pools(self) -> PoolsAnswer:
        """How full every tier is, and what is left of its budgets."""
        return self._pools_here().pools()

    def pool_history(self, windows: int) -> PoolHistoryAnswer:
        """What the tiers granted in the latest ``windows`` windows."""
        return self._pools_here().history.windows(windows)

    def active_policy(self) -> NamedPolicy:
        """The policy that decides now."""
        return self._pools_here().history.policy()

    def pool_decisions(self, *, after: int | None = None, k: int = 50) -> DecisionsAnswer:
        """Decisions about all clips, newest first; ``after``: only those before the one with this number."""
        return self._pools_here().history.decisions(after, k)

    def try_in_pools(self, clip: HypotheticalClip, *, generation: str | None = None) -> PoolTryAnswer:
        """What the pools would decide now about a clip that is made up."""
        pools = self._pools_here()
        check_identifier("challenge_id", clip.challenge_id)
        if clip.dancer_id is not None:
            check_identifier("dancer_id", clip.dancer_id)
        asked = self._served_generation() if generation is None else self._generation(generation)
        return pools.try_clip(clip, asked)

    def observed(self, clip_id: str) -> ObservedReception:
        """How a clip was received, and where that stands among the clips of its challenge."""
        check_identifier("clip_id", clip_id)
        return self._store.observed(clip_id)

    def active_generation(self) -> str | None:
        """What answers questions that name no generation; ``None`` before any clip was scored."""
        return self._served_generation()

    def model(self, *, generation: str | None = None, points: int = 0) -> ModelAnswer:
        """What the model is and was trained on, and how right a generation was; ``points``: measurements before."""
        if self._model is None:
            raise NotServedHere("the model's measurements are not read here; ask a serving process")
        active = self._served_generation()
        asked = active if generation is None else self._generation(generation)
        return self._model.answer(asked, active, points)

    def healthy(self) -> bool:
        """Whether this process can still do its work; otherwise it has to be restarted."""
        return self._readiness.is_healthy

    def readiness(self) -> Readiness:
        """Whether to send requests to this process."""
        return self._readiness.check()

    def state(self) -> ProcessState:
        """Readiness by reason, for metrics."""
        return self._readiness.state()

    def _generation(self, generation: str | None) -> str:
        asked = self._generation_if_any(generation)
        if asked is None:
            raise NotFound("no clip has been scored yet", field="generation")
        return asked

    def _generation_if_any(self, generation: str | None) -> str | None:
        """The generation that is asked for; ``None`` if the log was read to its end and holds no scored clip."""
        if generation is not None:
            check_identifier("generation", generation)
            if not self._knows(generation):
                raise NotFound(f"no clip was scored under generation {generation}", field="generation")
            return generation
        served = self._served_generation()
        if served is None:
            self._check_ready("no scored clip has been read yet; try again shortly")
        return served

    def _check_ready(self, not_yet: str) -> None:
        """Raise ``NotReady`` exactly if ``/readyz`` says so: what a ready process does not hold does not exist."""
        if not self._readiness.check().ready:
            raise NotReady(not_yet)

    def _knows(self, generation: str) -> bool:
        """Whether clips are held under ``generation``, or it is active; an index that holds it needs no database."""
        if self._index is not None and generation in self._index.generations():
            return True
        return self._store.has(generation) or generation == self._store.active_generation()

    def _served_generation(self) -> str | None:
        asked_at_s, active = monotonic(), self._active
        if asked_at_s - self._refused_at_s > _ASK_AGAIN_S:  # an unreachable database may take long to fail
            try:
                active = self._store.active_generation()
            except DatabaseBusy:
                raise  # this request has waited already
            except (StoreUnavailable, StoreRefused) as error:
                self._refused_at_s = monotonic()
                log.warning("cannot read the active generation; using %s: %s", active, error)
            else:
                self._learn(active, asked_at_s)
                self._refused_at_s = float("-inf")
        if active is not None or self._index is None:
            return active
        held = list(self._index.generations())  # an index alone, without rankings
        if len(held) > 1 and self._refused_at_s > float("-inf"):
            raise StoreUnavailable("the database does not say which generation is active; try again, or name one")
        return next(iter(held), None)

    def _learn(self, active: str | None, asked_at_s: float) -> None:
        """If two threads ask at once, the answer to the later request counts, also if the earlier one arrives last."""
        with self._learning:
            if asked_at_s >= self._asked_at_s:
                self._asked_at_s, self._active = asked_at_s, active

    def _pools_here(self) -> PoolReader:
        if self._pools is None:
            raise NotServedHere("the traffic pools are not read here; ask a serving process")
        return self._pools
