"""Feeds the pools: scored clips, engagement and deletions in, decisions out."""

import logging
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import Final, NamedTuple, cast

from ranking.pools.machine import SKEW_MS
from ranking.pools.policy import Policy
from ranking.pools.service.engagement import reactions
from ranking.pools.service.facts import Facts
from ranking.pools.service.rounds import hold_round
from ranking.pools.service.settings import PoolSettings
from ranking.pools.service.store import PoolStore
from ranking.pools.service.transaction import Batch, PoolTransaction
from ranking.pools.state import Engaged, Rated, Removed
from ranking.scores.standings import Standing
from ranking.views.log_records import OTHER_GENERATION, check_scored_times
from schemas.clock import Clock, SystemClock
from schemas.codec import decode, unreported
from schemas.errors import (
    DancerankError,
    MalformedEvent,
    RankingsBehind,
    StoreUnavailable,
)
from schemas.events import ClipDeleted, ClipScored, EngagementObserved, PoolDecision
from schemas.modalities import Dimension
from schemas.observation import Observer, TierFilling
from schemas.ports import Record, Refusal, TopicPartition
from schemas.questions.pools import PoolsAnswer
from schemas.times import check_time, written_ms

log = logging.getLogger(__name__)

MOST_COUNT: Final = 10**12
"""More likes, comments, reposts or views than that no clip has; sums of greater counts would not fit a column."""

_LOOK_AGAIN_S: Final = 0.003
_RANKINGS_TIMEOUT_S: Final = 5.0


PoolInput = ClipScored | EngagementObserved | ClipDeleted


class PoolEntry(NamedTuple):
    """A record that the pools learn from, decoded."""

    record: Record
    event: PoolInput


def read_pool_entries(
    records: Iterable[Record],
    scored_topics: Collection[str],
    on_unknown_modality: Callable[[str], None] = unreported,
    clock: Clock | None = None,
    observer: Observer | None = None,
) -> tuple[list[PoolEntry], list[Refusal]]:
    """The records that the pools can learn from, and those that they cannot, each in order. A scored clip on another
    topic than ``scored_topics`` is none: the rankings, which a clip waits for, never come to it.
    """
    clock = clock or SystemClock()
    beyond: list[str] = []
    entries: list[PoolEntry] = []
    refused: list[Refusal] = []
    for record in records:
        try:
            known = (ClipScored, EngagementObserved, ClipDeleted)
            event = cast(PoolInput, decode(record.value, *known, on_unknown_modality=on_unknown_modality))
            if isinstance(event, EngagementObserved):
                _check_counts(event)
                check_time(event.observed_at_ms, written_ms(record, clock), field="observed_at_ms")
                if event.views is not None and reactions(event) > event.views:
                    beyond.append(event.clip_id)
            if isinstance(event, ClipScored):
                check_scored_times(record, event, clock)
            if isinstance(event, ClipScored) and record.topic not in scored_topics:
                here = " or ".join(scored_topics)
                raise MalformedEvent(f"a scored clip does not belong here; send it to {here}", field="schema")
        except DancerankError as error:
            refused.append(Refusal(record, error))
        else:
            entries.append(PoolEntry(record, event))
    if beyond:
        if observer is not None:
            observer.reactions_capped(len(beyond))
        log.warning(
            "%d observations have more reactions than views, the first of clip %s; a rate counts as many as views",
            len(beyond),
            beyond[0],
        )
    return entries, refused


class PoolWorker:
    """``schemas.ports.View`` of the topics of scored clips, engagement and deletions; its maintenance is
    ``round_in_parts``.

    Whatever is handled, is handled in one transaction with the positions after it; what was decided is published from
    the database afterwards, so that a crash loses none. A clip is rated once the rankings hold it and all before it
    in its challenge.
    """

    def __init__(
        self,
        store: PoolStore,
        policy: Policy,
        announce: Callable[[], None],
        observer: Observer,
        clock: Clock,
        settings: PoolSettings | None = None,
        *,
        rankings_timeout_s: float = _RANKINGS_TIMEOUT_S,
        seen: Callable[[Sequence[ClipScored]], None] = lambda clips: None,
        look: Callable[[], PoolsAnswer] | None = None,
    ) -> None:
        """Makes ``policy`` active. ``announce`` is called when there may be decisions to publish, ``seen`` with every
        batch of scored clips that was handled; ``look`` returns how full the pools are, which is reported after each
        round. A batch whose scored clips the rankings do not hold within ``rankings_timeout_s`` seconds is retried.

        Raises ``ConfigurationError`` if another policy was known by its version.
        """
        self._store = store
        self._policy = policy
        self._announce = announce
        self._observer = observer
        self._clock = clock
        self._settings = settings or PoolSettings()
        self._rankings_timeout_s = rankings_timeout_s
        self._seen = seen
        self._look = look
        self._adoption = store.adopt(policy, clock.now_ms())
        self._ranked: dict[TopicPartition, int] = {}

    def positions(self, partitions: Iterable[TopicPartition]) -> Mapping[TopicPartition, int]:
        found = self._store.positions(partitions)
        self._ranked.clear()  # a database that was restored from a copy may hold less than before
        return found

    def apply(self, entries: Sequence[PoolEntry], positions: Mapping[TopicPartition, int], /) -> Sequence[Refusal]:
        ahead = self._ahead_of_rankings(entries)
        if ahead:
            others = {entry.record.topic_partition for entry in ahead}
            self._apply(ahead, {at: offset for at, offset in positions.items() if at in others})
            entries = [entry for entry in entries if entry.record.topic_partition not in others]
        self._await_rankings(entries)
        self._apply(entries, positions)
        return []

    def _ahead_of_rankings(self, entries: Sequence[PoolEntry]) -> list[PoolEntry]:
        """While the rankings lack a scored clip, what comes from other partitions, which need not wait for it:
        observations of a clip that is not known yet are deferred until it is.
        """
        wanted = _scored_to(entries)
        return (
            [entry for entry in entries if entry.record.topic_partition not in wanted] if self._behind(wanted) else []
        )

    def _apply(self, entries: Sequence[PoolEntry], positions: Mapping[TopicPartition, int]) -> None:
        at_ms = self._clock.now_ms()
        skipped: list[tuple[str, str]] = []

        def handle(transaction: PoolTransaction, facts: Facts) -> None:
            intake = Intake(transaction, at_ms, facts)
            intake.take(entries)
            transaction.advance(positions)
            skipped[:] = intake.skipped

        try:
            decisions = self._store.decide(self._policy, self._adoption, _batch(entries, at_ms), handle)
        except StoreUnavailable:
            self._ranked.clear()
            raise
        for topic, reason in skipped:
            self._observer.skipped(topic, reason)
        self._report(decisions)
        self._seen([entry.event for entry in entries if isinstance(entry.event, ClipScored)])
        if decisions:
            self._announce()

    def round(self) -> None:
        """Periodic work; if the database is unreachable, the next call retries."""
        for _ in self.round_in_parts():
            pass

    def round_in_parts(self) -> Iterator[None]:
        """``round``; what comes meanwhile is handled between its parts, each of which is about as long as a batch."""
        try:
            yield from self._round_in_parts()
        except StoreUnavailable as error:
            log.warning("a round of the pools failed: %s", error)

    def _round_in_parts(self) -> Iterator[None]:
        at_ms = self._clock.now_ms()
        is_due = False

        def begin(transaction: PoolTransaction, facts: Facts) -> None:
            nonlocal is_due
            is_due = transaction.begin_round(at_ms, round(self._settings.round_interval_s * 1000))
            if is_due:
                Intake(transaction, at_ms, facts).take_due()
                transaction.forget_windows(at_ms)

        self._report(self._store.decide(self._policy, self._adoption, Batch(at_ms), begin))
        yield
        if is_due:
            for decisions in hold_round(self._store, self._policy, self._adoption, self._clock.now_ms):
                self._report(decisions)
                if decisions:
                    self._announce()
                yield
        expired = self._store.tidy_leases(self._policy, self._clock.now_ms())
        if expired:
            self._observer.pool_leases_expired(expired)
        self._announce()
        yield
        if self._store.take_snapshot(self._clock.now_ms(), interval_s=self._settings.snapshot_interval_s):
            log.info("a snapshot of the pools has taken the place of their journal")
        yield
        self._report_filling()

    def leave(self) -> None:
        """Return what is leased, at the end. If the database is unreachable, the leases expire."""
        try:
            self._store.leave()
        except DancerankError as error:
            log.warning("leases of the pools are left to expire: %s", error)

    def _report(self, decisions: Sequence[PoolDecision]) -> None:
        for decision in decisions:
            self._observer.pool_decided(decision.rule, decision.tier, decision.exposures)

    def _report_filling(self) -> None:
        if self._look is None:
            return
        pools = self._look()
        tiers = [
            TierFilling(each.tier, each.clips, each.waiting, each.used, each.leased, each.capacity)
            for each in pools.tiers
        ]
        self._observer.pools_filled(tiers, pools.decisions - pools.published)

    def _await_rankings(self, entries: Sequence[PoolEntry]) -> None:
        """Return once the rankings hold every scored clip of ``entries``. Raises ``RankingsBehind``."""
        wanted = _scored_to(entries)
        has_waited = False
        started_s = self._clock.monotonic_s()
        while behind := self._behind(wanted):
            if self._clock.monotonic_s() - started_s > self._rankings_timeout_s:
                raise RankingsBehind(
                    f"the rankings have not come to {behind} within {self._rankings_timeout_s:g} s, and a clip is "
                    "rated by its place in them; does dancerank rank run on this database?"
                )
            has_waited = True
            time.sleep(_LOOK_AGAIN_S)
        if has_waited:
            self._observer.stage_timed("rankings", self._clock.monotonic_s() - started_s)

    def _behind(self, wanted: Mapping[TopicPartition, int]) -> str:
        ranked = self.ranked_to(wanted)
        return ", ".join(f"{at.topic}[{at.partition}]@{to}" for at, to in wanted.items() if ranked.get(at, 0) < to)

    def ranked_to(self, wanted: Mapping[TopicPartition, int]) -> Mapping[TopicPartition, int]:
        """How far the rankings have come; they are asked only where they had not come to ``wanted`` the last time, as
        they hold a clip until it is deleted. Raises as ``PoolStore``.
        """
        lacking = [at for at, to in wanted.items() if self._ranked.get(at, 0) < to]
        if lacking:
            self._ranked |= self._store.ranked_to(lacking)
        return self._ranked


def _scored_to(entries: Sequence[PoolEntry]) -> dict[TopicPartition, int]:
    """The positions after the last scored clip of each partition."""
    wanted: dict[TopicPartition, int] = {}
    for record, event in entries:
        if isinstance(event, ClipScored):
            at = record.topic_partition
            wanted[at] = max(wanted.get(at, 0), record.offset + 1)
    return wanted


def _batch(entries: Sequence[PoolEntry], at_ms: int) -> Batch:
    scored = [entry.event for entry in entries if isinstance(entry.event, ClipScored)]
    deleted = [entry.event.clip_id for entry in entries if isinstance(entry.event, ClipDeleted)]
    return Batch(at_ms, [entry.event.clip_id for entry in entries], scored, deleted)


class Intake:
    """Entries into events of the pools, within one transaction."""

    def __init__(self, transaction: PoolTransaction, at_ms: int, facts: Facts) -> None:
        self._transaction = transaction
        self._at_ms = at_ms
        self._facts = facts
        self.skipped: list[tuple[str, str]] = []
        """Topics of what was not counted, and why; to be reported once the transaction is done."""
        self._standings: Mapping[str, Mapping[Dimension, Standing]] = {}

    def take(self, entries: Sequence[PoolEntry]) -> None:
        """Handle ``entries``, which are those of the transaction's batch, in order."""
        self._rank([entry.event for entry in entries if isinstance(entry.event, ClipScored)])
        for record, event in entries:
            match event:
                case ClipScored():
                    self._scored(event, record.topic)
                case EngagementObserved():
                    self._engaged(event, record.topic)
                case ClipDeleted():
                    self._transaction.state.handle(Removed(clip_id=event.clip_id, at_ms=self._at_ms))
                    self._transaction.engagement.forget(event.clip_id)

    def take_due(self) -> None:
        """Handle observations that were of the future and no longer are."""
        due = self._transaction.engagement.take_due(self._at_ms + SKEW_MS)
        if due:
            self._facts = self._transaction.read([event.clip_id for event in due])
        for event in due:
            self._engaged(event, None)

    def _rank(self, scored: Sequence[ClipScored]) -> None:
        state, chosen, active = self._transaction.state, self._facts.chosen, self._facts.active
        new = {clip.clip_id for clip in scored if state.clip(clip.clip_id) is None and clip.generation in chosen}
        if new and active is not None:
            self._standings = self._transaction.standings(new, active)

    def _scored(self, clip: ClipScored, topic: str) -> None:
        """Rate a clip by the active generation, whether its record is of that one or of one active before: when
        another one is chosen, each clip still comes by at least one of the two.
        """
        state = self._transaction.state
        if state.clip(clip.clip_id) is not None:
            return
        places = self._standings.get(clip.clip_id)
        outside = clip.clip_id in self._facts.outside
        unknown = places is None and not outside
        if clip.generation not in self._facts.chosen or (unknown and clip.generation != self._facts.active):
            self.skipped.append((topic, OTHER_GENERATION))
            return
        if places and places[Dimension.FUSED].challenge_id != clip.challenge_id:
            return  # it was uploaded again for another challenge, whose record rates it there
        state.handle(
            Rated(
                clip_id=clip.clip_id,
                dancer_id=clip.dancer_id,
                challenge_id=clip.challenge_id,
                percentiles={dimension: found.place.percentile for dimension, found in (places or {}).items()},
                challenge_clips=places[Dimension.FUSED].clips if places else 0,
                at_ms=self._at_ms,
                outside_training=outside,
            )
        )
        for event in self._transaction.engagement.take_up(clip.clip_id):
            self._engaged(event, None)

    def _engaged(self, event: EngagementObserved, topic: str | None) -> None:
        """``topic`` is where it comes from, ``None`` for one that was deferred, and counted, before."""
        change = self._transaction.state.handle(
            Engaged(
                clip_id=event.clip_id,
                observed_at_ms=event.observed_at_ms,
                reactions=reactions(event),
                views=event.views,
                at_ms=self._at_ms,
            )
        )
        if change.deferred is not None:
            self._transaction.engagement.defer(event, change.deferred)
            if topic is not None:
                self.skipped.append((topic, change.deferred.value))
            return
        if (upload := self._facts.uploads.get(event.clip_id)) is not None:
            self._transaction.engagement.observe(event, upload.challenge_id, upload.at_ms)


def _check_counts(event: EngagementObserved) -> None:
    for name in ("likes", "comments", "reposts", "views"):
        count = getattr(event, name) or 0
        if count > MOST_COUNT:
            raise MalformedEvent(f"{name} is {count}; no clip has more than {MOST_COUNT}", field=name)
