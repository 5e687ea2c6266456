"""Every event that the pools handled, as it is written and read."""

from collections.abc import Iterator, Mapping, Sequence
from hashlib import blake2b
from typing import Final, NamedTuple

import msgspec
import sqlalchemy as sa

from ranking.database.round_trip import POSTGRESQL, Step
from ranking.database.tables import BATCHES, pool_journal
from ranking.pools.state import Budget, PoolEvent, Rated
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


class JournalBatch(NamedTuple):
    """Events of one transaction, the ``number``-th of its worker; ``used`` of each budget that its decisions depended
    on, before; ``None`` of a time when transactions took turns.
    """

    batch: int
    adoption: int
    worker: str
    number: int
    events: Sequence[PoolEvent]
    used: Mapping[Budget, int] | None


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


def journalled(connection: sa.Connection, after: int) -> Iterator[JournalBatch]:
    """The batches after batch ``after``, in the order of their numbers."""
    query = sa.select(pool_journal).order_by(pool_journal.c.batch).limit(_PAGE)
    while page := connection.execute(query.where(pool_journal.c.batch > after)).all():
        for row in page:
            batch = _decoder.decode(row.content)
            events, used = (batch.events, _used(batch)) if isinstance(batch, _Batch) else (batch, None)
            yield JournalBatch(int(row.batch), int(row.adoption), row.worker, int(row.number), events, used)
        after = page[-1].batch


def _used(batch: _Batch) -> dict[Budget, int]:
    return {Budget(tier, start_ms, SCOPES[scope], holder): views for tier, start_ms, scope, holder, views in batch.used}
