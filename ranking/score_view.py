"""The SQL view as its workers keep it: rows in the database, and tombstones of deleted clips in the log."""

from collections.abc import Iterable, Mapping, Sequence

from ranking.log import DELETED_CLIP, LogEntry
from ranking.score_rows import Erasure
from ranking.store import ScoreStore
from schemas.observation import Observer
from schemas.ports import OutgoingRecord, RecordSink, Refusal, TopicPartition


class ScoreView:
    """``schemas.ports.View`` of the log and the deletions in a database; erases deleted clips from the log too.

    A tombstone is a record without a value under the clip's key: compaction drops what stands before it in its
    partition. It is written once the clip is gone from the database, so that every record that was applied before
    stands before it; a record applied afterwards comes late and gets one of its own. The positions pass only then: a
    crash in between writes it again. A deletion puts one into every partition, for a clip that changed its challenge
    stands in several, and after a crash the database no longer knows in which.
    """

    def __init__(
        self,
        store: ScoreStore,
        sink: RecordSink,
        observer: Observer,
        *,
        scored_topic: str = "clips.scored",
        flush_timeout_s: float = 30.0,
    ) -> None:
        """Tombstones go to ``scored_topic`` through ``sink``; raises ``TransportError`` if they do not arrive."""
        self._store = store
        self._sink = sink
        self._observer = observer
        self._topic = scored_topic
        self._flush_timeout_s = flush_timeout_s

    def positions(self, partitions: Iterable[TopicPartition]) -> Mapping[TopicPartition, int]:
        return self._store.positions(partitions)

    def apply(self, entries: Sequence[LogEntry], positions: Mapping[TopicPartition, int], /) -> Sequence[Refusal]:
        return self._store.apply(entries, positions, erase=self._erase)

    def _erase(self, erasure: Erasure) -> None:
        every = range(self._sink.partitions(self._topic)) if erasure.deleted else ()
        places = {(clip_id, partition) for clip_id in erasure.deleted for partition in every}
        places |= {(entry.clip.clip_id, entry.record.partition) for entry in erasure.late}
        for clip_id, partition in sorted(places):
            self._sink.send(OutgoingRecord(self._topic, clip_id.encode(), None, partition=partition))
        self._sink.flush(self._flush_timeout_s)
        self._observer.produced(self._topic, len(places))
        for entry in erasure.late:
            self._observer.skipped(entry.record.topic, DELETED_CLIP)
