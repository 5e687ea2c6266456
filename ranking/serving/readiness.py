"""Whether a serving process works, and whether requests should be sent to it."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass

from ranking.scores.store import ScoreStore
from ranking.vectors.view import IndexView
from ranking.views.loop import LoopThread
from schemas.errors import DancerankError, DatabaseBusy, StoreUnavailable

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Readiness:
    """Whether to send requests here; if not, why. ``waiting``: what is missing although it can answer."""

    ready: bool
    reasons: list[str]
    waiting: list[str]


def is_healthy(loops: Sequence[LoopThread]) -> bool:
    """Whether no loop has ended; otherwise the process has to be restarted."""
    return all(thread.failure is None for thread in loops)


def check_readiness(store: ScoreStore, index: IndexView | None, loops: Sequence[LoopThread]) -> Readiness:
    """Ready once every loop has caught up and none waits for a decision of an operator, the database answers, and the
    index holds the active generation.
    """
    reasons = [] if is_healthy(loops) else ["a loop has ended; start the process again"]
    if not all(thread.loop.caught_up for thread in loops):
        reasons.append("the log of scored clips has not been read to its end yet")
    reasons += [each for thread in loops if (each := thread.loop.undecided) is not None]
    try:
        active = store.active_generation()
        held = index.generations() if index is not None else None
        if held is not None and active is not None and active not in held and store.has(active):
            reasons.append(f"generation {active} is active and not indexed here yet")
    except DatabaseBusy as error:
        log.warning("not ready: %s", error)
        reasons.append(f"every connection to the database is in use ({error.code})")
    except StoreUnavailable as error:
        log.warning("not ready: %s", error)
        reasons.append(f"the database does not answer ({error.code})")
    except DancerankError as error:
        log.error("not ready: %s", error)
        reasons.append(f"the database cannot be used ({error.code}); the log says why")
    waiting = [each for thread in loops if (each := thread.loop.waiting_for) is not None]
    return Readiness(not reasons, reasons, waiting)
