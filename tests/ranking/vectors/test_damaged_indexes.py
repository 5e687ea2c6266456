"""An index whose file is damaged is rebuilt from the log; the others answer meanwhile."""

import threading
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import msgspec
import pytest

from ranking.vectors.backends.faiss_live import FaissBackend
from ranking.vectors.backends.port import SnapshotBackend
from ranking.vectors.rebuilding import rebuilding
from ranking.vectors.view import IndexView
from ranking.views.log_records import LogEntry, read_log
from ranking.views.loop import LoopOptions, ViewLoop
from schemas.clock import ManualClock
from schemas.codec import encode
from schemas.errors import KafkaRefused, SnapshotError
from schemas.modalities import FUSED_MODALITIES, Modality
from schemas.observation import Observer
from schemas.ports import OutgoingRecord, RebalanceListener, Record, View
from schemas.questions.retrieval import SimilarQuery
from tests.ranking.examples import NOW_MS, TOPIC, apply, apply_entries, deletion, logged, scored_clip
from tests.ranking.vectors.own_backends import SegmentedBackend
from tests.ranking.vectors.test_incremental_snapshots import clip
from tests.waiting import wait_until
from transport.memory import MemoryBroker, MemorySink, MemorySource
from transport.topics import TopicSpec

CLIPS = 9
Harm = Callable[[Path], object]


def changed_byte(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.unlink()  # another name of the file may be that of an index in memory
    path.write_bytes(content)


def truncated(path: Path) -> None:
    content = path.read_bytes()[:-1]
    path.unlink()
    path.write_bytes(content)


@pytest.fixture(params=[SegmentedBackend, partial(FaissBackend, background=False)], ids=["segmented", "faiss"])
def backend(request: pytest.FixtureRequest) -> Callable[[], SnapshotBackend]:
    made: Callable[[], SnapshotBackend] = request.param
    return made


def view(backend: Callable[[], SnapshotBackend]) -> IndexView:
    return IndexView(backend(), Observer(), ManualClock(start_ms=NOW_MS))


def files_of(folder: Path, modality: Modality) -> list[Path]:
    """Everything on the disk of one index in a snapshot."""
    manifest = msgspec.json.decode((folder / "manifest.json").read_bytes())
    (index,) = (each for each in manifest["spaces"][0]["indexes"] if each["modality"] == modality)
    return [
        folder / f"0-{modality}-{index['width']}.state",
        *(folder.parent / "segments" / n for n in index["segments"]),
    ]


@pytest.mark.tried(
    kind="decoding errors",
    given="a file of one index changed by one bit, truncated or missing, in the only snapshot",
    outcome="named; that index is rebuilt from the log, the others stay and answer",
)
@pytest.mark.parametrize("harm", [changed_byte, truncated, Path.unlink])
def test_only_the_index_whose_file_is_damaged_is_rebuilt(
    tmp_path: Path, backend: Callable[[], SnapshotBackend], harm: Harm, caplog: pytest.LogCaptureFixture
) -> None:
    one = view(backend)
    log = logged([clip(number) for number in range(CLIPS)])
    apply_entries(one, *log)
    folder = one.save(tmp_path)
    assert folder is not None
    for number in range(len(files_of(folder, Modality.SCENIC))):
        damaged = files_of(folder, Modality.SCENIC)[number]
        whole = damaged.read_bytes()
        harm(damaged)
        restored = view(backend)
        assert restored.restore(tmp_path)
        assert str(damaged) in caplog.text
        (said,) = restored.incomplete()
        assert "the scenic index of generation g1 is being rebuilt from the log" in said
        assert str(damaged) in said
        assert restored.sizes() == {m: CLIPS for m in FUSED_MODALITIES if m is not Modality.SCENIC} | {
            Modality.SCENIC: 0
        }
        query = SimilarQuery(clip_id="clip00001", k=20)
        answer, meanwhile = one.similar(query), restored.similar(query)
        assert meanwhile.approximate
        assert {hit.clip_id for hit in meanwhile.hits} == {hit.clip_id for hit in answer.hits}
        assert restored.save(tmp_path) is None, "an incomplete index is not saved"
        with pytest.raises(SnapshotError, match="rebuilds this index from the log"):
            restored.content()
        apply_entries(restored, deletion("clip00002"))
        for batch in (log[:5], log[4:]):
            restored.refill(batch)
        restored.finish_refilling()
        expected = view(backend)
        apply_entries(expected, *log, deletion("clip00002"))
        assert restored.incomplete() == []
        assert restored.content() == expected.content()
        assert restored.similar(query) == expected.similar(query)
        if damaged.exists():
            damaged.unlink()
        damaged.write_bytes(whole)


def test_once_it_is_complete_again_the_next_snapshot_is_whole(
    tmp_path: Path, backend: Callable[[], SnapshotBackend]
) -> None:
    one = view(backend)
    log = logged([clip(number) for number in range(CLIPS)])
    apply_entries(one, *log)
    folder = one.save(tmp_path)
    assert folder is not None
    truncated(files_of(folder, Modality.FACIAL)[-1])
    restored = view(backend)
    assert restored.restore(tmp_path)
    restored.refill(log)
    restored.finish_refilling()
    assert restored.save(tmp_path) is not None
    again = view(backend)
    assert again.restore(tmp_path)
    assert again.incomplete() == []
    assert again.content() == one.content()


def test_records_that_are_not_what_is_held_are_not_put_in(
    tmp_path: Path, backend: Callable[[], SnapshotBackend]
) -> None:
    one = view(backend)
    older = logged([clip(number) for number in range(3)])
    newer = logged([scored_clip("clip00001", uploaded_at_ms=NOW_MS + 1, modalities=clip(7).modalities)], start=3)
    apply_entries(one, *older, *newer)
    folder = one.save(tmp_path)
    assert folder is not None
    truncated(files_of(folder, Modality.FACIAL)[-1])
    restored = view(backend)
    assert restored.restore(tmp_path)
    restored.refill([*newer, *older])
    restored.finish_refilling()
    assert restored.content() == one.content()


def test_what_the_log_has_lost_is_said_and_counts_as_absent(
    tmp_path: Path, backend: Callable[[], SnapshotBackend], caplog: pytest.LogCaptureFixture
) -> None:
    one = view(backend)
    log = logged([clip(number) for number in range(3)])
    apply_entries(one, *log)
    folder = one.save(tmp_path)
    assert folder is not None
    truncated(files_of(folder, Modality.FACIAL)[-1])
    restored = view(backend)
    assert restored.restore(tmp_path)
    restored.refill(log[1:])
    restored.finish_refilling()
    assert "the log has no facial embedding any more of 1 clips" in caplog.text
    assert restored.sizes() == {m: 3 for m in FUSED_MODALITIES if m is not Modality.FACIAL} | {Modality.FACIAL: 2}
    restored.content()
    assert restored.save(tmp_path) is not None
    assert view(backend).restore(tmp_path)


def test_an_older_snapshot_that_is_whole_is_preferred(tmp_path: Path, backend: Callable[[], SnapshotBackend]) -> None:
    one = view(backend)
    apply(one, [clip(number) for number in range(3)])
    one.save(tmp_path)
    apply(one, [clip(3)], start=3)
    folder = one.save(tmp_path)
    assert folder is not None
    truncated(files_of(folder, Modality.FACIAL)[0])
    restored = view(backend)
    assert restored.restore(tmp_path)
    assert (restored.clips(), restored.incomplete()) == (3, [])


def test_a_damaged_catalogue_cannot_be_left_out(tmp_path: Path, backend: Callable[[], SnapshotBackend]) -> None:
    one = view(backend)
    apply(one, [clip(0)])
    one.save(tmp_path)
    (catalogue,) = tmp_path.glob("segments/catalogue-*")
    truncated(catalogue)
    with pytest.raises(
        SnapshotError, match=r"segments/catalogue-.*delete the folder to rebuild the index from the log"
    ):
        view(backend).restore(tmp_path)


def test_the_log_is_read_once_more_on_a_thread_and_no_longer(tmp_path: Path) -> None:
    clock = ManualClock(start_ms=NOW_MS)
    broker = MemoryBroker(clock)
    broker.ensure_topics([TopicSpec(name=TOPIC, partitions=2)])
    sink = MemorySink(broker)
    for number in range(CLIPS):
        sink.send(OutgoingRecord(TOPIC, b"k", encode(clip(number)), partition_by=f"challenge-{number % 3}"))
    sink.flush(1)
    read = partial(read_log, deletions_topic="clips.deleted", clock=clock)

    def open_source(listener: RebalanceListener) -> MemorySource:
        return MemorySource(broker, [TOPIC], group=None, listener=listener)

    def loop(of: View[LogEntry], between_steps: Callable[[], object] | None = None) -> ViewLoop[LogEntry]:
        options = LoopOptions(poll_timeout_s=0.0, commits=False, max_records=2, maintenance_interval_s=0.0)
        return ViewLoop(open_source, of, read, None, Observer(), clock, options, maintenance=between_steps)

    def kept(of: IndexView) -> IndexView:
        reading = loop(of)
        while not reading.caught_up:
            reading.step()
        reading._source.close()
        return of

    one = kept(IndexView(SegmentedBackend(), Observer(), clock))
    folder = one.save(tmp_path)
    assert folder is not None
    truncated(files_of(folder, Modality.HOLISTIC)[-1])
    restored = IndexView(SegmentedBackend(), Observer(), clock)
    assert restored.restore(tmp_path)
    with rebuilding(restored, loop, within_s=60.0):
        wait_until(lambda: not restored.incomplete(), what="the index stays incomplete")
        wait_until(lambda: "index-rebuilding" not in {thread.name for thread in threading.enumerate()})
    assert restored.content() == one.content()
    with rebuilding(restored, loop, within_s=60.0):
        assert "index-rebuilding" not in {thread.name for thread in threading.enumerate()}, "nothing is incomplete"


def test_an_index_that_could_not_be_rebuilt_says_so_and_asks_for_a_restart(tmp_path: Path) -> None:
    clock = ManualClock(start_ms=NOW_MS)
    one = IndexView(SegmentedBackend(), Observer(), clock)
    apply(one, [clip(number) for number in range(3)])
    folder = one.save(tmp_path)
    assert folder is not None
    truncated(files_of(folder, Modality.HOLISTIC)[-1])
    restored = IndexView(SegmentedBackend(), Observer(), clock)
    assert restored.restore(tmp_path)

    broker = MemoryBroker(clock)
    broker.ensure_topics([TopicSpec(name=TOPIC, partitions=1)])

    class RefusedSource(MemorySource):
        def poll(self, *, max_records: int, timeout_s: float) -> Sequence[Record]:
            raise KafkaRefused("the log may not be read")

    def open_source(listener: RebalanceListener) -> MemorySource:
        return RefusedSource(broker, [TOPIC], group=None, listener=listener)

    def loop(of: View[LogEntry], between_steps: Callable[[], object]) -> ViewLoop[LogEntry]:
        read = partial(read_log, deletions_topic="clips.deleted", clock=clock)
        return ViewLoop(open_source, of, read, None, Observer(), clock, LoopOptions(), maintenance=between_steps)

    (meanwhile,) = restored.incomplete()
    assert "is being rebuilt" in meanwhile
    with rebuilding(restored, loop, within_s=60.0):
        wait_until(lambda: restored.incomplete() != [meanwhile], what="the failure is not said")
        (said,) = restored.incomplete()
    assert "was not rebuilt (the log may not be read), and answers leave out clips until a restart" in said
