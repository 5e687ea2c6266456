"""Every event that the pools handled, so that their decisions can be made again."""

from collections.abc import Iterator, Sequence
from hashlib import blake2b
from typing import Final, NamedTuple

import msgspec
import sqlalchemy as sa

from ranking.database.round_trip import Step, inserting
from ranking.database.tables import pool_clips, pool_decisions, pool_journal, pool_policies
from ranking.pools.ledger import PoolLedger
from ranking.pools.policy import Policy
from ranking.pools.service.sql_state import clip_of
from ranking.pools.state import PooledClip, PoolEvent, Rated
from schemas.codec import decode
from schemas.errors import FinalError
from schemas.events import PoolDecision

_encoder: Final = msgspec.msgpack.Encoder()
_decoder: Final = msgspec.msgpack.Decoder(list[PoolEvent])
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


def writing_events(connection: sa.Connection, batch: int, adoption: int, events: Sequence[PoolEvent]) -> list[Step]:
    """Steps that write the events of one transaction."""
    named = [
        msgspec.structs.replace(event, dancer_id=pseudonym(event.dancer_id)) if isinstance(event, Rated) else event
        for event in events
    ]
    row = {"batch": batch, "adoption": adoption, "content": _encoder.encode(named)}
    return inserting(connection, pool_journal, [row])


def replay(connection: sa.Connection, batches: int) -> Replay:
    """Handle the events of all ``batches`` in memory, from nothing, and compare every decision and every clip.

    Raises ``JournalIncomplete`` if the journal is not complete.
    """
    adopted = connection.execute(sa.select(pool_policies.c.adoption, pool_policies.c.content))
    policies = {row.adoption: msgspec.msgpack.decode(row.content, type=Policy) for row in adopted}
    stored = _decisions(connection)
    ledger: PoolLedger | None = None
    events = decisions = complete = 0
    for batch, adoption, content in _batches(connection):
        if batch != complete + 1:
            break
        complete = batch
        if ledger is None:
            ledger = PoolLedger(policies[adoption])
        elif ledger.policy is not policies[adoption]:
            ledger.adopt(policies[adoption])
        for event in _decoder.decode(content):
            events += 1
            for made in ledger.handle(event):
                decisions += 1
                known = next(stored, None)
                if made != known:
                    return Replay(events, decisions, 0, f"the journal gives {made}, the database holds {known}")
    if complete != batches:
        raise JournalIncomplete(
            f"the journal has a gap after batch {complete} of {batches}; decisions can be made again only if "
            "pools.journal was on from the beginning"
        )
    if (more := next(stored, None)) is not None:
        return Replay(events, decisions, 0, f"the database holds {more}, which the journal does not give")
    clips, difference = _compared(connection, ledger)
    return Replay(events, decisions, clips, difference)


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


def _batches(connection: sa.Connection) -> Iterator[tuple[int, int, bytes]]:
    table = pool_journal.c
    after = 0
    query = sa.select(table.batch, table.adoption, table.content).order_by(table.batch).limit(_PAGE)
    while page := connection.execute(query.where(table.batch > after)).all():
        yield from ((row.batch, row.adoption, row.content) for row in page)
        after = page[-1].batch


def _decisions(connection: sa.Connection) -> Iterator[PoolDecision]:
    table = pool_decisions.c
    after = 0
    query = sa.select(table.sequence, table.content).order_by(table.sequence).limit(_PAGE)
    while page := connection.execute(query.where(table.sequence > after)).all():
        yield from (decode(row.content, PoolDecision) for row in page)
        after = page[-1].sequence
