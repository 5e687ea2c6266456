"""Announces clips as the index view takes them in: from then on they can be found here."""

from collections.abc import Iterable, Iterator, Mapping, Sequence

import msgspec

from ranking.serving.live.broadcast import CLIP, Broadcast, LiveEvent
from ranking.vectors.view import IndexView
from ranking.views.log_records import DeletedRecord, LogEntry
from schemas.clock import Clock
from schemas.events import ClipScored, outside_training, training_distance
from schemas.ports import Refusal, ScoredRecord, TopicPartition

_encode = msgspec.json.Encoder().encode


class ScoredNow(msgspec.Struct, frozen=True):
    """The content of the event of a clip. ``outside_training``: it is in no ranking."""

    clip_id: str
    challenge_id: str
    dancer_id: str
    generation: str
    score: float
    outside_training: bool
    scored_at_ms: int


class AnnouncingView:
    """``schemas.ports.View`` of the log: the index view, and an event for each clip that was scored since the start.

    What was scored before is not announced: a process that starts reads the whole log.
    """

    def __init__(self, index: IndexView, broadcast: Broadcast, clock: Clock) -> None:
        self._index = index
        self._broadcast = broadcast
        self._started_ms = clock.now_ms()

    def positions(self, partitions: Iterable[TopicPartition]) -> Mapping[TopicPartition, int]:
        return self._index.positions(partitions)

    def apply(self, entries: Sequence[LogEntry], positions: Mapping[TopicPartition, int]) -> Sequence[Refusal]:
        refused = self._index.apply(entries, positions)
        self._broadcast.publish(self._news(entries))
        return refused

    def _news(self, entries: Sequence[LogEntry]) -> Iterator[LiveEvent]:
        new = [
            entry.clip
            for entry in entries
            if isinstance(entry, ScoredRecord) and entry.record.timestamp_ms >= self._started_ms
        ]
        if not new:
            return
        held = self._index.generations()
        deleted = {entry.event.clip_id for entry in entries if isinstance(entry, DeletedRecord)}
        for clip in new:
            if clip.generation in held and clip.clip_id not in deleted:
                yield LiveEvent(CLIP, clip.challenge_id, _encode(_scored(clip)))


def _scored(clip: ClipScored) -> ScoredNow:
    return ScoredNow(
        clip.clip_id,
        clip.challenge_id,
        clip.dancer_id,
        clip.generation,
        clip.fused_score,
        outside_training(training_distance(clip)),
        clip.scored_at_ms,
    )
