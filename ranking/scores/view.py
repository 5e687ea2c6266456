"""The SQL view as its workers keep it: rows in the database, and tombstones of deleted clips in the log."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from ranking.scores.rows import Erasure
from ranking.scores.store import ScoreStore
from ranking.views.limits import FLUSH_TIMEOUT_S
from ranking.views.log_records import DELETED_CLIP, LogEntry
from schemas.observation import Observer
from schemas.ports import OutgoingRecord, RecordSink, Refusal, TopicPartition


class ScoreView:
    """``schemas.ports.View`` of the log and the deletions in a database; erases deleted clips from the log too.

    A tombstone is a record without a value under the clip's key: compaction drops what stands before it in its
    partition. It is written once the clip is gone from the database, so that every record that was applied before
    stands before it; a record applied afterwards comes late and gets one of its own. The positions pass only then: a
    crash in between writes it again. A deletion puts one into every partition, for a clip that changed its challenge
    stands in several, and in every log, and after a crash the database no longer knows in which.
    """

    def __init__(
        self,
        store: ScoreStore,
        sink: RecordSink,
        observer: Observer,
        *,
        scored_topics: Sequence[str] = ("clips.scored",),
        flush_timeout_s: float = FLUSH_TIMEOUT_S,
    ) -> None:
        """Tombstones go to all ``scored_topics`` through ``sink``; raises ``TransportError`` if they do not arrive."""
        self._store = store
        self._sink = sink
        self._observer = observer
        self._topics = scored_topics
        self._flush_timeout_s = flush_timeout_s

    def positions(self, partitions: Iterable[TopicPartition]) -> Mapping[TopicPartition, int]:
        return self._store.positions(partitions)

    def apply(self, entries: Sequence[LogEntry], positions: Mapping[TopicPartition, int], /) -> Sequence[Refusal]:
        return self._store.apply(entries, positions, erase=self._erase)

    def _erase(self, erasure: Erasure) -> None:
        places: set[tuple[str, int, str]] = set()
        if erasure.deleted:
            everywhere = [(topic, at) for topic in self._topics for at in range(self._sink.partitions(topic))]
            places |= {(*place, clip_id) for place in everywhere for clip_id in erasure.deleted}
        places |= {(entry.record.topic, entry.record.partition, entry.clip.clip_id) for entry in erasure.late}
        for topic, partition, clip_id in sorted(places):
            self._sink.send(OutgoingRecord(topic, clip_id.encode(), None, partition=partition))
        self._sink.flush(self._flush_timeout_s)
        for topic, count in Counter(topic for topic, *_ in places).items():
            self._observer.produced(topic, count)
        for entry in erasure.late:
            self._observer.skipped(entry.record.topic, DELETED_CLIP)
