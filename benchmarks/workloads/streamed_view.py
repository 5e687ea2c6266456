"""An index view of many clips that is asked while others come and go, for ``benchmarks.retrieval``.

The stream is a consumer, as the loop of ``dancerank serve`` is: every round it applies all that has become due, as one
poll returns all that was written, however long the round before took. Records are made beforehand, since making them is
not the work of the index. An upsert is due at a time that the rate alone sets; it can be found once it is applied.
"""

import gc
import itertools
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np

from benchmarks.workloads.vectors import HardVectors, Vectors, intrinsic_dimension
from dancerank.console.progress import counted, working
from ranking.vectors.backends.faiss_live import FaissBackend
from ranking.vectors.backends.live.index import LiveIndex
from ranking.vectors.backends.port import RowNumbers
from ranking.vectors.view import IndexView
from ranking.views.log_records import DeletedRecord, LogEntry
from schemas.clock import SystemClock
from schemas.events import ClipDeleted, ClipScored, ModalityResult, embedding_array, embedding_bytes
from schemas.modalities import Modality
from schemas.observation import Observer
from schemas.ports import Record, ScoredRecord, TopicPartition
from schemas.questions.retrieval import SimilarQuery

K: Final = 10
ASKED: Final = 2 * K
"""Hits of an answer: those that streamed in are left out, and the recall is that of the first ten of the others."""
UPSERTS_PER_S: Final = 500
DELETIONS_PER_S: Final = 50
_POLL_S: Final = 0.02
_PROBED: Final = 4
"""Of so many questions while clips stream in, one is for a clip that has just come, by its own vectors."""
_DELETED: Final = UPSERTS_PER_S // DELETIONS_PER_S
"""Of so many clips that stream in, one is deleted in the next round."""
_AT: Final = TopicPartition("clips.scored", 0)
_NOW_MS: Final = 1_700_000_000_000
_STREAMED_AT_ONCE: Final = 500
_FIRST_STREAMED: Final = 10**9
"""Clips that stream in are numbered from here on."""


class Answers(NamedTuple):
    """What was answered in one period: recall, seconds of each query, and hits that were deleted before or twice, or a
    clip that could be found and was not.
    """

    recall: float
    seconds: Sequence[float]
    wrong: int

    def quantile_s(self, share: float) -> float:
        return float(np.quantile(self.seconds, share))


class SettlingBackend(FaissBackend):
    """Knows the indexes that it made, to wait for their merges."""

    def __init__(self, folder: Path) -> None:
        super().__init__(threads=1, folder=folder)
        self._made: list[LiveIndex] = []

    def create(self, dim: int, numbers: RowNumbers) -> LiveIndex:
        self._made.append(super().create(dim, numbers))
        return self._made[-1]

    def settle(self) -> None:
        for index in self._made:
            index.settle()


class StreamedView:
    """A view of ``clips`` clips; ``queries`` further ones are asked for."""

    def __init__(self, vectors: HardVectors, clips: int, queries: int, folder: Path) -> None:
        self._vectors, self._clips, self._folder = vectors, clips, folder
        self._offsets = itertools.count()
        self._backend = SettlingBackend(folder / "segments")
        before = _own_memory_bytes()
        self._view = IndexView(self._backend, Observer(), SystemClock())
        batches = -(-clips // 4096)
        for number, block in enumerate(counted(vectors.blocks(clips), "Indexing", batches)):
            first = 4096 * number
            self._apply([self._scored(first + row, block, row) for row in range(len(next(iter(block.values()))))])
        float32_bytes = 4 * clips * sum(vectors.widths.values())
        self.memory_share_at_once = (_own_memory_bytes() - before) / float32_bytes
        with working("merging"):
            self._backend.settle()
        gc.collect()
        self.memory_share = (_own_memory_bytes() - before) / float32_bytes
        self._queries = vectors.block(10**6, queries)
        self.dimension = intrinsic_dimension(vectors.block(0)[Modality.HOLISTIC])
        self._truth = self._scan()
        self._deleted: set[str] = set()
        self._latest: ScoredRecord | None = None
        self._is_streaming = False
        self._waited_s: list[float] = []
        self.upserts_per_s = 0.0

    def restart(self) -> float:
        """Save a snapshot and open it; seconds that the opening took."""
        root = self._folder / "snapshots"
        self._view.save(root)
        view = IndexView(FaissBackend(threads=1, folder=self._folder / "segments"), Observer(), SystemClock())
        started_s = time.perf_counter()
        view.restore(root)
        seconds = time.perf_counter() - started_s
        if view.clips() != self._clips:
            raise AssertionError(f"{view.clips()} of {self._clips} clips came back")
        return seconds

    def ask(self, seconds: float) -> Answers:
        """Ask one question after the other for so long; each at least once, unless clips stream in: there are so many
        beforehand as come in the time.
        """
        taken: list[float] = []
        found, wrong, started_s = 0, 0, time.perf_counter()
        asked = itertools.cycle(range(len(self._truth)))
        least = 1 if self._is_streaming else len(self._truth)
        while time.perf_counter() - started_s < seconds or len(taken) < least:
            number = next(asked)
            query = self._query(number)
            if len(taken) % _PROBED == 0:
                wrong += self._misses_latest()
            deleted, before_s = set(self._deleted), time.perf_counter()
            hits = [hit.clip_id for hit in self._view.similar(query).hits]
            taken.append(time.perf_counter() - before_s)
            wrong += len(hits) - len(set(hits)) + sum(hit in deleted for hit in hits)
            lasting = [hit for hit in hits if int(hit) < _FIRST_STREAMED][:K]
            found += len(set(lasting) & self._truth[number])
        return Answers(found / (K * len(taken)), taken, wrong)

    @contextmanager
    def streaming(self, seconds: float) -> Iterator[None]:
        """Clips come and go on another thread meanwhile; for longer than ``seconds`` it makes them itself."""
        ends, records = threading.Event(), self._streamed()
        with working("making the clips that stream in"):
            made = [*itertools.islice(records, round(seconds * UPSERTS_PER_S))]
        thread = threading.Thread(target=self._stream, args=(ends, itertools.chain(made, records)))
        thread.start()
        self._is_streaming = True
        try:
            yield
        finally:
            ends.set()
            thread.join()
            self._backend.rest()  # the folder may be removed
            self._latest, self._is_streaming = None, False

    def freshness_s(self) -> float:
        """The 99th percentile, of all upserts that streamed in, of the seconds from when one was due until it could be
        found.
        """
        return float(np.quantile(self._waited_s, 0.99))

    def _streamed(self) -> Iterator[ScoredRecord]:
        for number in itertools.count():
            block = self._vectors.block(3 * 10**6 + number, _STREAMED_AT_ONCE)
            for row in range(_STREAMED_AT_ONCE):
                yield self._scored(_FIRST_STREAMED + number * _STREAMED_AT_ONCE + row, block, row)

    def _stream(self, ends: threading.Event, records: Iterator[ScoredRecord]) -> None:
        """Rounds in which all upserts that are due are applied, and deletions of clips that came in earlier ones."""
        started_s, applied = time.perf_counter(), 0
        gone: list[str] = []
        while not ends.is_set():
            began_s = time.perf_counter()
            due = int((began_s - started_s) * UPSERTS_PER_S) - applied
            if due:
                batch = [*itertools.islice(records, due)]
                self._apply([*batch, *map(self._removed, gone)])
                self._deleted.update(gone)
                ended_s, self._latest = time.perf_counter(), batch[-1]
                self._waited_s += [ended_s - started_s - (applied + n) / UPSERTS_PER_S for n in range(1, due + 1)]
                gone = [each.clip.clip_id for n, each in enumerate(batch, applied) if n % _DELETED == 0]
                applied += due
            ends.wait(max(0.0, began_s + _POLL_S - time.perf_counter()))
        self.upserts_per_s = applied / (time.perf_counter() - started_s)

    def _misses_latest(self) -> bool:
        """Whether the clip that came last, and stays, is not found by its own vectors."""
        latest = self._latest
        if latest is None or latest.clip.clip_id in self._deleted:
            return False
        embeddings = {m: embedding_array(each).tolist() for m, each in latest.clip.modalities.items()}
        hits = self._view.similar(SimilarQuery(embeddings=embeddings, k=1)).hits
        return hits[0].clip_id != latest.clip.clip_id and latest.clip.clip_id not in self._deleted

    def _query(self, number: int) -> SimilarQuery:
        embeddings = {modality: vectors[number].tolist() for modality, vectors in self._queries.items()}
        return SimilarQuery(embeddings=embeddings, k=ASKED)

    def _scan(self) -> list[set[str]]:
        """The ten nearest of all clips to each query, by float32 products of all."""
        best: list[list[tuple[float, int]]] = [[] for _ in range(len(next(iter(self._queries.values()))))]
        for number, block in enumerate(counted(self._vectors.blocks(self._clips), "Scanning", -(-self._clips // 4096))):
            scores = np.mean([self._queries[m] @ vectors.T for m, vectors in block.items()], axis=0)
            top = np.argpartition(-scores, min(K, scores.shape[1] - 1), axis=1)[:, :K]
            for query, rows in enumerate(top):
                mine = [(float(scores[query, row]), 4096 * number + int(row)) for row in rows]
                best[query] = sorted([*best[query], *mine], reverse=True)[:K]
        return [{str(row) for _, row in each} for each in best]

    def _apply(self, entries: Sequence[LogEntry]) -> None:
        self._view.apply(entries, {_AT: next(self._offsets)})

    def _scored(self, number: int, block: dict[Modality, Vectors], row: int) -> ScoredRecord:
        results = {m: ModalityResult(0.5, 0.25, embedding_bytes(vectors[row])) for m, vectors in block.items()}
        offset = next(self._offsets)
        clip = ClipScored(
            clip_id=str(number),
            dancer_id=f"dancer-{number // 5}",
            challenge_id="challenge",
            uploaded_at_ms=_NOW_MS + offset,
            duration_s=10.0,
            generation="g1",
            modalities=results,
            missing=(),
            fused_score=0.5,
            scored_at_ms=_NOW_MS + offset,
        )
        return ScoredRecord(Record("clips.scored", 0, offset, _NOW_MS, None, b""), clip)

    def _removed(self, clip_id: str) -> DeletedRecord:
        record = Record("clips.deleted", 0, next(self._offsets), _NOW_MS, None, b"")
        return DeletedRecord(record, ClipDeleted(clip_id=clip_id, reason=""))


def _own_memory_bytes() -> int:
    """Resident memory that is not of mapped files."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("RssAnon:"))
