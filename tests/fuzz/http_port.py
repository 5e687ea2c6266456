"""The HTTP API on a port, over a SQLite database and indexes with clips, traffic pools and two generations."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from dancerank.comparing import Comparisons
from dancerank.listening import answer_on_thread, bound
from dancerank.processes import Processes
from dancerank.settings import Settings
from exporters.prometheus import PrometheusObserver
from ranking.database.connection import Database
from ranking.monitoring.reading import ModelReader
from ranking.pools.service.reading import PoolReader
from ranking.scores.store import ScoreStore
from ranking.serving.api import Access, KeyRing, create_app, create_key
from ranking.serving.service import RankingService
from ranking.vectors.backends.numpy_exact import NumpyBackend
from ranking.vectors.view import IndexView
from ranking.views.log_records import positions_after
from schemas.clock import ManualClock
from schemas.modalities import FUSED_MODALITIES
from schemas.observation import Observer
from schemas.questions.pool_comparisons import ComparisonAnswer, ComparisonQuestion
from tests.ranking.databases import migrated
from tests.ranking.examples import logged, result, routine, scored_clip
from tests.ranking.pools.examples import POLICY, engaged, plain, rated
from tests.ranking.pools.rows import Pools
from tests.small_bundle import small_bundle

CLIPS = ("c1", "c2", "c3", "r1")
DANCERS = ("d1", "d2")
CHALLENGES = ("ch", "other")
GENERATIONS = ("g1", "g2")


class ApiPort(NamedTuple):
    """``key`` is asked for if it is there."""

    url: str
    key: str | None


class Quick(Comparisons):
    """Reads the policies, and simulates nothing."""

    def _made(self, question: ComparisonQuestion) -> ComparisonAnswer:
        seeds = list(question.seeds)
        return ComparisonAnswer(clips=question.clips, before=0, days=question.days, seeds=seeds, policies=[])


@contextmanager
def api_port(folder: Path, *, with_keys: bool) -> Iterator[ApiPort]:
    keys, key = folder / "keys", None
    if with_keys:
        key = create_key(keys, "fuzz", created=datetime(2026, 3, 1, tzinfo=UTC))
    access = Access(keys=KeyRing(keys) if with_keys else None)
    with migrated(f"sqlite:///{folder / 'ranking.db'}") as database:
        service = _filled(database)
        bundle = small_bundle(folder / "bundle")
        processes = Processes(Settings(), bundle=bundle)
        with processes.scoring() as scoring, bound("127.0.0.1", 0) as taken:
            feedback = processes.feedback(scoring)
            comparisons = Quick(Settings())
            app = create_app(
                service,
                PrometheusObserver().render,
                access,
                scoring=scoring,
                feedback=feedback,
                comparisons=comparisons,
            )
            stop = answer_on_thread(app, taken)
            try:
                yield ApiPort(f"http://127.0.0.1:{taken.getsockname()[1]}", key)
            finally:
                stop()


def _filled(database: Database) -> RankingService:
    clock = ManualClock(start_ms=50)
    store, index = ScoreStore(database), IndexView(NumpyBackend(), Observer(), clock)
    clips = [
        scored_clip(
            clip_id,
            dancer_id=dancer_id,
            challenge_id=challenge_id,
            generation=generation,
            fused_score=score,
            modalities={modality: result([score, 1]) for modality in FUSED_MODALITIES},
        )
        for generation in GENERATIONS
        for clip_id, dancer_id, challenge_id, score in (
            (CLIPS[0], DANCERS[0], CHALLENGES[0], 0.9),
            (CLIPS[1], DANCERS[1], CHALLENGES[0], 0.5),
            (CLIPS[2], DANCERS[0], CHALLENGES[1], 0.1),
        )
    ]
    clips += [routine(CLIPS[3], dancer_id=DANCERS[0], generation=generation) for generation in GENERATIONS]
    entries = logged(clips)
    for view in (store, index):
        view.apply(entries, positions_after(entry.record for entry in entries))
    pools = Pools(database, POLICY)
    pools.handle(rated(CLIPS[0]), engaged(CLIPS[0], 30, 100, at_ms=10), plain(CLIPS[1]))
    pools.write(published=2)
    return RankingService(store, index, pools=PoolReader(database, clock), model=ModelReader(database, clock))
