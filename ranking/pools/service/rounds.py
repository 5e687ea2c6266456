"""Rounds over the clips of the database: planned from what is there, done in transactions of some clips each.

So a round neither locks clips that it leaves as they are nor keeps batches of records waiting, which are handled
between its parts. Between plan and transaction a clip may change; each event looks at it again.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Final

from ranking.pools.policy import Policy
from ranking.pools.rounds import PHASES, Phase
from ranking.pools.service.facts import Facts
from ranking.pools.service.store import PoolStore
from ranking.pools.service.transaction import Batch, PoolTransaction
from schemas.events import PoolDecision

_CLIPS: Final = 200
"""In one transaction."""


def hold_round(
    store: PoolStore, policy: Policy, adoption: int, now_ms: Callable[[], int]
) -> Iterator[Sequence[PoolDecision]]:
    """One round, as ``ranking.pools.rounds.round_events``, in parts that are short; gives what was decided in each.
    What a phase decides, it decides as of the moment at which it is planned.
    """
    for phase_of in PHASES:
        at_ms = now_ms()
        with store.looking(policy) as state:
            phase = phase_of(policy, state, at_ms)
            clip_ids = [clip_id for clip_id in phase.clip_ids if phase.is_room(state, clip_id)]
        yield ()
        for start in range(0, len(clip_ids), _CLIPS):
            part = _Part(phase, clip_ids[start : start + _CLIPS])
            yield store.decide(policy, adoption, Batch(at_ms, part.clip_ids), part.handle)
            if part.is_end:
                break


class _Part:
    """Clips of a phase that are handled in one transaction."""

    def __init__(self, phase: Phase, clip_ids: list[str]) -> None:
        self._phase = phase
        self.clip_ids = clip_ids
        self.is_end = False

    def handle(self, transaction: PoolTransaction, _facts: Facts) -> None:
        state = transaction.state
        for clip_id in self.clip_ids:
            self.is_end = self._phase.is_end(state)
            if self.is_end:
                return
            if self._phase.is_room(state, clip_id):
                state.handle(self._phase.event(clip_id))
