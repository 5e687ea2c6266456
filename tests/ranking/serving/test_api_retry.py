"""A client that retries after the time in ``Retry-After`` is served."""

from datetime import UTC, datetime
from pathlib import Path

import pytest
from fastapi import FastAPI

from ranking.serving.api import Access, KeyRing, create_key
from ranking.serving.api.guard import KeyGuard
from schemas.clock import ManualClock
from tests.ranking.serving.asgi import request

NOW = datetime(2026, 3, 1, tzinfo=UTC)


@pytest.mark.parametrize("per_minute", [1, 7, 59, 60, 61, 90, 1_000])
@pytest.mark.parametrize("late_s", [0.0, 0.4, 0.999])
def test_after_the_seconds_of_retry_after_the_next_request_is_answered(
    tmp_path: Path, per_minute: int, late_s: float
) -> None:
    clock = ManualClock()
    key = create_key(tmp_path / "keys", "app", created=NOW, requests_per_minute=per_minute, burst=1)
    app = FastAPI()
    app.get("/read")(lambda: "read")
    guarded = KeyGuard(app, KeyRing(tmp_path / "keys"), Access(clock=clock), frozenset())

    def ask() -> tuple[int, int]:
        answer = request(guarded, "GET", "/read", {"authorization": f"Bearer {key}"})
        return answer.status, int(answer.headers.get("retry-after", "0"))

    assert ask() == (200, 0)
    clock.advance(late_s * 60 / per_minute)
    status, wait_s = ask()
    assert status == 429
    assert wait_s >= 1  # 0 would be an invitation to ask in a loop
    assert wait_s - 1 < 60 / per_minute
    clock.advance(wait_s)
    assert ask() == (200, 0)
