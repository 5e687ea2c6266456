"""Every event that the pools handled, so that their decisions can be made again."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from hashlib import blake2b
from typing import Any, Final, NamedTuple

import msgspec
import sqlalchemy as sa

from ranking.database.round_trip import POSTGRESQL, Step
from ranking.database.tables import (
    BATCHES,
    pool_budgets,
    pool_clips,
    pool_decisions,
    pool_journal,
    pool_leases,
    pool_policies,
    pool_workers,
)
from ranking.pools.ledger import PoolLedger
from ranking.pools.policy import Policy
from ranking.pools.service.sql_state import clip_of
from ranking.pools.state import Budget, PooledClip, PoolEvent, Rated
from schemas.codec import decode
from schemas.errors import FinalError
from schemas.events import PoolDecision
from schemas.pools import SCOPES, Limit


class _Batch(msgspec.Struct, frozen=True):
    """Events of one transaction, and how much of each budget that was asked for was used before, where it was any."""

    events: list[PoolEvent]
    used: list[tuple[str, int, str, str, int]]
    """Tier, start of the window, scope, holder and impressions."""


_encoder: Final = msgspec.msgpack.Encoder()
_decoder: Final = msgspec.msgpack.Decoder(_Batch | list[PoolEvent])
"""A list is of a release in which transactions took turns."""
_PAGE: Final = 500


class JournalIncomplete(FinalError):
    """The journal of the pools lacks events, so that decisions cannot be replayed from it."""

    code = "journal_incomplete"
    remedy = "Switch `pools.journal` on before the first decision; a gap cannot be filled afterwards."


class Replay(NamedTuple):
    """Result of a replay of all decisions. ``difference`` names the first one that differs."""

    events: int
    decisions: int
    clips: int
    difference: str | None


def pseudonym(dancer_id: str) -> str:
    """Pseudonym of a dancer in the journal, which outlives the clip: equal for equal dancers, 32 digits."""
    return blake2b(dancer_id.encode(), digest_size=16).hexdigest() if dancer_id else ""


def writing_events(
    connection: sa.Connection,
    batch: int,
    adoption: int,
    worker: str,
    number: int,
    events: Sequence[PoolEvent],
    consulted: Mapping[Budget, int],
) -> Step:
    """A step that writes the events of one transaction, with the use of the budgets that decisions depended on; the
    ``number``-th of its worker. PostgreSQL numbers the ``batch`` itself.
    """
    named = [
        msgspec.structs.replace(event, dancer_id=pseudonym(event.dancer_id)) if isinstance(event, Rated) else event
        for event in events
    ]
    used = [_row(budget, views) for budget, views in consulted.items() if views]
    row = {"adoption": adoption, "content": _encoder.encode(_Batch(named, used)), "worker": worker, "number": number}
    if connection.dialect.name == POSTGRESQL:
        return Step(_NEXT_BATCH, {f"of_{name}": value for name, value in row.items()})
    return Step(sa.insert(pool_journal), row | {"batch": batch})


def _row(budget: Budget, views: int) -> tuple[str, int, str, str, int]:
    holder = pseudonym(budget.holder) if budget.scope is Limit.DANCER else budget.holder
    return budget.tier, budget.window_start_ms, str(budget.scope), holder, views


_NEXT_BATCH: Final = sa.insert(pool_journal).values(
    batch=BATCHES.next_value(),
    **{name: sa.bindparam(f"of_{name}") for name in ("adoption", "content", "worker", "number")},
)


class _Ledger(PoolLedger):
    """A ledger whose budgets are used as they were for the worker of each batch, which may have known less of other
    workers, or have been unable to grant what these had leased.
    """

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
    """Handle the events of all batches in memory, from nothing, and compare every decision, every clip and every budget
    of a tier or lane.

    Batches of different workers have no order unless they are about the same clip; neither have their decisions. Raises
    ``JournalIncomplete`` if the journal is not complete.
    """
    adopted = connection.execute(sa.select(pool_policies.c.adoption, pool_policies.c.content))
    policies = {row.adoption: msgspec.msgpack.decode(row.content, type=Policy) for row in adopted}
    comparison = _Comparison(_decisions(connection))
    ledger: _Ledger | None = None
    events = 0
    complete: Counter[str] = Counter()
    for row in _batches(connection):
        if row.number != complete[row.worker] + 1:
            break
        complete[row.worker] += 1
        if ledger is None:
            ledger = _Ledger(policies[row.adoption])
        elif ledger.policy is not policies[row.adoption]:
            ledger.adopt(policies[row.adoption])
        batch = _decoder.decode(row.content)
        ledger.begin(_used(batch) if isinstance(batch, _Batch) else None)
        for event in batch.events if isinstance(batch, _Batch) else batch:
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


def _used(batch: _Batch) -> dict[Budget, int]:
    return {Budget(tier, start_ms, SCOPES[scope], holder): views for tier, start_ms, scope, holder, views in batch.used}


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
    held: Counter[Budget] = Counter()
    table, lease = pool_budgets.c, pool_leases.c
    for row in connection.execute(sa.select(pool_budgets).where(table.holder == "")):
        held[Budget(row.tier, row.window_start_ms, SCOPES[row.scope])] += row.used
    for row in connection.execute(sa.select(pool_leases).where(lease.used > 0)):
        for scope in (SCOPES[row.lane], Limit.TIER):
            held[Budget(row.tier, row.window_start_ms, scope)] += row.used
    made = {} if ledger is None else {budget: used for budget, used in ledger.budgets().items() if not budget.holder}
    for budget in sorted(made.keys() | held.keys()):
        if made.get(budget, 0) != held[budget]:
            return f"the journal gives {made.get(budget, 0)} impressions of {budget}, the database holds {held[budget]}"
    return None


def _compared(connection: sa.Connection, ledger: PoolLedger | None) -> tuple[int, str | None]:
    count = 0
    for row in connection.execution_options(yield_per=_PAGE).execute(sa.select(pool_clips)):
        count += 1
        held = clip_of(row)
        held = msgspec.structs.replace(held, dancer_id=pseudonym(held.dancer_id))
        made: PooledClip | None = ledger.clip(held.clip_id) if ledger is not None else None
        if made != held:
            return count, f"the journal gives {made}, the database holds {held}"
    if ledger is not None and sum(1 for _ in ledger.clips()) != count:
        return count, "the journal gives clips that the database does not hold"
    return count, None


def _batches(connection: sa.Connection) -> Iterator[sa.Row[Any]]:
    table = pool_journal.c
    after = 0
    query = sa.select(pool_journal).order_by(table.batch).limit(_PAGE)
    while page := connection.execute(query.where(table.batch > after)).all():
        yield from page
        after = page[-1].batch


def _decisions(connection: sa.Connection) -> Iterator[PoolDecision]:
    table = pool_decisions.c
    after = 0
    query = sa.select(table.sequence, table.content).order_by(table.sequence).limit(_PAGE)
    while page := connection.execute(query.where(table.sequence > after)).all():
        yield from (decode(row.content, PoolDecision) for row in page)
        after = page[-1].sequence
