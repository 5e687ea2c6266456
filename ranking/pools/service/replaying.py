"""Makes all decisions again, from the journal and the snapshot before it."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Final, NamedTuple

import msgspec
import sqlalchemy as sa

from ranking.database.tables import pool_clips, pool_decisions, pool_policies, pool_workers
from ranking.pools.ledger import PoolLedger
from ranking.pools.policy import Policy
from ranking.pools.service.journal import journalled, pseudonym
from ranking.pools.service.snapshots import clips_of, granted, newest
from ranking.pools.service.sql_state import clip_of
from ranking.pools.state import Budget, PooledClip
from schemas.codec import decode
from schemas.errors import FinalError
from schemas.events import PoolDecision

_PAGE: Final = 500


class JournalIncomplete(FinalError):
    """The journal of the pools lacks events, so that decisions cannot be replayed from it."""

    code = "journal_incomplete"
    remedy = "Switch `pools.journal` on for all workers; a replay starts from the next snapshot."


class Replay(NamedTuple):
    """Result of a replay of all decisions. ``difference`` names the first one that differs."""

    events: int
    decisions: int
    clips: int
    difference: str | None


class _Ledger(PoolLedger):
    """A ledger whose budgets are used as they were for the worker of each batch, which may have known less of other
    workers, or have been unable to grant what these had leased.
    """

    def restore(self, clips: Iterable[PooledClip], budgets: Mapping[Budget, int]) -> None:
        """Start from what a snapshot holds."""
        for clip in clips:
            self._put(clip)
        self._used.update(budgets)

    def begin(self, used: Mapping[Budget, int] | None) -> None:
        """A batch begins; ``None`` for one of a time when no two were decided at once."""
        self._consulted = used
        self._before: dict[Budget, int] = {}

    def used(self, budget: Budget) -> int:
        total = super().used(budget)
        if self._consulted is None:
            return total
        return self._consulted.get(budget, 0) + total - self._before.setdefault(budget, total)


def replay(connection: sa.Connection) -> Replay:
    """Handle the events of all batches in memory, from the newest snapshot or from nothing, and compare every decision
    since, every clip and every budget of a tier or lane.

    Batches of different workers have no order unless they are about the same clip; neither have their decisions. Raises
    ``JournalIncomplete`` if the journal is not complete.
    """
    adopted = connection.execute(sa.select(pool_policies.c.adoption, pool_policies.c.content))
    policies = {row.adoption: msgspec.msgpack.decode(row.content, type=Policy) for row in adopted}
    snapshot = newest(connection)
    ledger: _Ledger | None = None
    complete: Counter[str] = Counter()
    if snapshot is not None:
        ledger = _Ledger(policies[snapshot.adoption])
        ledger.restore(clips_of(connection, snapshot), snapshot.budgets)
        complete.update(snapshot.batches)
    comparison = _Comparison(_decisions(connection, 0 if snapshot is None else snapshot.sequence))
    events = 0
    for batch in journalled(connection, 0 if snapshot is None else snapshot.batch):
        if batch.number != complete[batch.worker] + 1:
            break
        complete[batch.worker] += 1
        if ledger is None:
            ledger = _Ledger(policies[batch.adoption])
        elif ledger.policy is not policies[batch.adoption]:
            ledger.adopt(policies[batch.adoption])
        ledger.begin(batch.used)
        for event in batch.events:
            events += 1
            for made in ledger.handle(event):
                difference = comparison.made(made)
                if difference is not None:
                    return Replay(events, comparison.count, 0, difference)
    _check_complete(connection, complete)
    difference = comparison.rest()
    if difference is not None:
        return Replay(events, comparison.count, 0, difference)
    clips, difference = _compared(connection, ledger)
    return Replay(events, comparison.count, clips, difference or _compared_budgets(connection, ledger))


class _Comparison:
    """Decisions as they are made, with those that are stored, in an order that may differ by those made at once."""

    def __init__(self, stored: Iterator[PoolDecision]) -> None:
        self._stored = stored
        self._ahead: dict[tuple[str, int], PoolDecision] = {}
        self.count = 0

    def made(self, decision: PoolDecision) -> str | None:
        """What differs."""
        self.count += 1
        key = decision.clip_id, decision.number
        while key not in self._ahead and (stored := next(self._stored, None)) is not None:
            self._ahead[stored.clip_id, stored.number] = stored
        known = self._ahead.pop(key, None)
        return None if known == decision else f"the journal gives {decision}, the database holds {known}"

    def rest(self) -> str | None:
        """What is stored and was not made."""
        more = next(iter(self._ahead.values()), None) or next(self._stored, None)
        return None if more is None else f"the database holds {more}, which the journal does not give"


def _check_complete(connection: sa.Connection, complete: Mapping[str, int]) -> None:
    for worker, batches in connection.execute(sa.select(pool_workers.c.worker, pool_workers.c.batches)):
        last = complete.get(worker, 0)
        if last != batches:
            raise JournalIncomplete(
                f"the journal has a gap after batch {last} of {batches} of worker {worker or '(none)'}; "
                "decisions can be made again only if pools.journal was on from the beginning"
            )


def _compared_budgets(connection: sa.Connection, ledger: PoolLedger | None) -> str | None:
    held = granted(connection)
    made = {} if ledger is None else {budget: used for budget, used in ledger.budgets().items() if not budget.holder}
    for budget in sorted(made.keys() | held.keys()):
        here, there = made.get(budget, 0), held.get(budget, 0)
        if here != there:
            return f"the journal gives {here} impressions of {budget}, the database holds {there}"
    return None


def _compared(connection: sa.Connection, ledger: PoolLedger | None) -> tuple[int, str | None]:
    count = 0
    with connection.execution_options(yield_per=_PAGE).execute(sa.select(pool_clips)) as rows:
        for row in rows:
            count += 1
            held = clip_of(row)
            held = msgspec.structs.replace(held, dancer_id=pseudonym(held.dancer_id))
            made: PooledClip | None = ledger.clip(held.clip_id) if ledger is not None else None
            if made != held:
                return count, f"the journal gives {made}, the database holds {held}"
    if ledger is not None and sum(1 for _ in ledger.clips()) != count:
        return count, "the journal gives clips that the database does not hold"
    return count, None


def _decisions(connection: sa.Connection, after: int) -> Iterator[PoolDecision]:
    table = pool_decisions.c
    query = sa.select(table.sequence, table.content).order_by(table.sequence).limit(_PAGE)
    while page := connection.execute(query.where(table.sequence > after)).all():
        yield from (decode(row.content, PoolDecision) for row in page)
        after = page[-1].sequence
