"""An application with one clip, which a module's tests share: to make one takes 0.4 s."""

import pytest
from fastapi import FastAPI

from ranking.database.connection import Database
from ranking.pools.service.reading import PoolReader
from ranking.scores.store import ScoreStore
from ranking.serving.api import create_app
from ranking.serving.service import RankingService
from ranking.vectors.backends.numpy_exact import NumpyBackend
from ranking.vectors.view import IndexView
from ranking.views.log_records import positions_after
from schemas.clock import ManualClock
from schemas.modalities import Modality
from schemas.observation import Observer
from tests.ranking.examples import logged, result, scored_clip


@pytest.fixture(scope="module")
def app(module_database: Database) -> FastAPI:
    store = ScoreStore(module_database)
    index = IndexView(NumpyBackend(), Observer(), ManualClock())
    entries = logged([scored_clip("c1", dancer_id="d1", modalities={Modality.SKELETAL: result([1, 0])})])
    for view in (store, index):
        view.apply(entries, positions_after(entry.record for entry in entries))
    service = RankingService(store, index, pools=PoolReader(module_database, ManualClock()))
    return create_app(service, lambda: ("text/plain", b"metric 1\n"))
