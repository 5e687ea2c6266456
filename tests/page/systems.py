"""Systems that the page shows in tests: their views are filled without Kafka and served over HTTP on the loopback."""

import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final, Self

import msgspec
import numpy as np
from fastapi import FastAPI

from dancerank.listening import answer_on_thread, bound
from dancerank.settings import shipped_bundle
from ranking.monitoring.reading import ModelReader
from ranking.pools.service.reading import PoolReader
from ranking.scores.store import ScoreStore
from ranking.serving.api import Access, create_app
from ranking.serving.live.broadcast import Broadcast
from ranking.serving.service import RankingService
from ranking.vectors.backends.numpy_exact import NumpyBackend
from ranking.vectors.view import IndexView
from schemas.bundle import read_manifest
from schemas.clock import SystemClock
from schemas.events import ClipScored
from schemas.modalities import FUSED_MODALITIES, Modality
from schemas.observation import Observer
from tests.ranking.databases import migrated
from tests.ranking.examples import apply, guidance, result, scored_clip

CHALLENGES: Final = ("challenge-1", "challenge-2", "challenge-3")
CLIPS: Final = 36
MANIFEST: Final = msgspec.structs.replace(read_manifest(shipped_bundle()), generation="g1")
"""The card of the model, as if it had scored the clips: it was trained on synthetic ones."""
_DANCERS: Final = 9
_HOUR_MS: Final = 3_600_000


def some_clips(count: int = CLIPS, *, seed: int = 5, now_ms: int | None = None) -> list[ClipScored]:
    """Clips of the last two days in three challenges, by nine dancers; every fifth one has no face. Those of the last
    challenge have no guidance.
    """
    rng = np.random.default_rng(seed)
    now_ms = SystemClock().now_ms() if now_ms is None else now_ms
    clips = []
    for number in range(count):
        present = [m for m in FUSED_MODALITIES if m != Modality.FACIAL or number % 5]
        attention = rng.dirichlet(np.ones(len(present)))
        modalities = {
            modality: result(rng.normal(size=8), score=float(rng.beta(2, 3)), attention=float(share))
            for modality, share in zip(present, attention, strict=True)
        }
        challenge_id = CHALLENGES[number % len(CHALLENGES)]
        feedback = {} if challenge_id == CHALLENGES[-1] else {"guidance": guidance(number, duration_s=8.0)}
        clips.append(
            scored_clip(
                f"clip-{number:03}",
                dancer_id=f"dancer-{number % _DANCERS}",
                challenge_id=challenge_id,
                uploaded_at_ms=now_ms - (number * 48 * _HOUR_MS) // count - 1,
                modalities=modalities,
                fused_score=float(sum(m.score * m.attention for m in modalities.values())),
                scored_at_ms=now_ms,
                **feedback,
            )
        )
    return clips


class SmallSystem:
    """Both views of some clips, and pools without decisions. Use as a context manager."""

    def __init__(self, clips: list[ClipScored] | None = None) -> None:
        self._clips = some_clips() if clips is None else clips
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        folder = Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix="dancerank-page-")))
        self.database = self._stack.enter_context(migrated(f"sqlite:///{folder / 'scores.db'}"))
        clock = SystemClock()
        self.store = ScoreStore(self.database, clock)
        self.index = IndexView(NumpyBackend(), Observer(), clock)
        for view in (self.store, self.index):
            if self._clips:
                apply(view, self._clips)
        self.events = Broadcast()
        """What listeners to the system's live events get."""
        model = ModelReader(self.database, clock, MANIFEST)
        self.service = RankingService(self.store, self.index, pools=PoolReader(self.database, clock), model=model)
        return self

    def __exit__(self, *_: object) -> None:
        self.events.close()
        self._stack.close()

    def app(self, access: Access | None = None, **ports: Any) -> FastAPI:
        """The API and the page; ``ports`` are further arguments of ``create_app``."""
        return create_app(self.service, lambda: ("text/plain", b""), access, **{"events": self.events} | ports)


@contextmanager
def serving(app: FastAPI) -> Iterator[str]:
    """Serve ``app`` on a free port; gives its address, without a slash at the end."""
    with bound("127.0.0.1", 0) as taken:
        stop = answer_on_thread(app, taken)
        try:
            yield f"http://127.0.0.1:{taken.getsockname()[1]}"
        finally:
            stop()
