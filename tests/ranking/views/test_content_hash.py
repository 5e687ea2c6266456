"""Content hashes: equal where two views hold the same, different wherever one field differs."""

import math
import random
import sqlite3
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ranking.database import tables
from ranking.database.connection import Database
from ranking.scores.store import ScoreStore
from ranking.vectors.backends.faiss_live import FaissBackend
from ranking.vectors.backends.live.tiers import Shape
from ranking.vectors.backends.numpy_exact import NumpyBackend, NumpyIndex
from ranking.vectors.backends.port import IndexedClip, SnapshotBackend, VectorIndex
from ranking.vectors.catalogue import Catalogue, CatalogueEntry
from ranking.vectors.content_hash import index_content
from ranking.vectors.profiles import IndexesByWidth
from ranking.vectors.unit_vectors import unit
from ranking.vectors.view import IndexView
from ranking.views.log_records import LogEntry, positions_after
from schemas.events import FeatureFile, VideoFile
from schemas.modalities import FUSED_MODALITIES, Modality
from schemas.ports import ScoredRecord, TopicPartition
from tests.ranking.examples import (
    NOW_MS,
    apply,
    attention_over,
    deletion,
    guidance,
    logged,
    record,
    result,
    routine,
    scored_clip,
)
from tests.ranking.views.loops import index_view
from tests.ranking.views.test_ordering import Delivery, Move, deliver, empty, everything, moves, topics

SKELETAL, HOLISTIC, FACIAL, SCENIC = FUSED_MODALITIES


def scored(offset: int = 0, *, partition: int = 0, **changes: Any) -> ScoredRecord:
    clip = scored_clip(**({"clip_id": "c1", "modalities": {SKELETAL: result(), SCENIC: result()}} | changes))
    return ScoredRecord(record(clip, offset, partition=partition), clip)


def applied(store: ScoreStore, entries: Sequence[LogEntry], batch: int = 1000) -> str:
    """Hash of an empty store after these."""
    empty(store)
    for start in range(0, len(entries), batch):
        part = entries[start : start + batch]
        store.apply(part, positions_after(entry.record for entry in part))
    return store.content()


CHANGES: dict[str, LogEntry] = {
    "clip": scored(clip_id="c2", dancer_id="dancer-of-c1"),
    "dancer": scored(dancer_id="another"),
    "challenge": scored(challenge_id="another"),
    "time of upload": scored(uploaded_at_ms=NOW_MS + 1),
    "duration": scored(duration_s=10.000001),
    "generation": scored(generation="g2"),
    "time of scoring": scored(scored_at_ms=NOW_MS + 1001),
    "missing": scored(missing=(HOLISTIC,)),
    "partition": scored(partition=1),
    "offset": scored(1),
    "fused score": scored(fused_score=math.nextafter(0.5, 1)),
    "score": scored(modalities={SKELETAL: result(score=math.nextafter(0.5, 1)), SCENIC: result()}),
    "attention": scored(modalities={SKELETAL: result(attention=math.nextafter(0.25, 1)), SCENIC: result()}),
    "modality": scored(modalities={HOLISTIC: result(), SCENIC: result()}),
    "one modality more": scored(modalities=dict.fromkeys((SKELETAL, FACIAL, SCENIC), result())),
    "one less": scored(modalities={SKELETAL: result()}),
    "source": scored(features=FeatureFile("file:///a")),
    "another source": scored(features=FeatureFile("file:///b")),
    "a video": scored(features=VideoFile("file:///a")),
    "checksum": scored(features=FeatureFile("file:///a", "a" * 64)),
    "guidance": scored(guidance=guidance(1)),
    "another guidance": scored(guidance=guidance(2)),
    "attention over time": scored(temporal_attention=attention_over(70, 1, SCENIC)),
    "another attention over time": scored(temporal_attention=attention_over(70, 2, SCENIC)),
    "deleted": deletion("c1"),
    "deleted later": deletion("c1", timestamp_ms=NOW_MS + 1),
    "another deleted": deletion("c3"),
}


def test_the_hash_of_the_sql_view_differs_for_every_single_field(store: ScoreStore) -> None:
    found = {what: applied(store, [entry]) for what, entry in CHANGES.items()}
    found |= {"as it was": applied(store, [scored()]), "nothing": applied(store, [])}
    found["two clips"] = applied(store, [scored(), scored(1, clip_id="c2")])
    assert len(set(found.values())) == len(found)
    assert all(len(value) == 64 for value in found.values())


def test_a_change_of_any_one_cell_is_seen(store: ScoreStore, tmp_path: Path) -> None:
    fully = scored(guidance=guidance(), temporal_attention=attention_over(70, 1, SCENIC))
    entries = [fully, scored(1, generation="g2"), deletion("c9")]
    before = applied(store, entries)
    names = ("clips", "scored_clips", "scores", "guided_clips", "joint_sums", "attended_clips", "deleted_clips")
    for table in map(tables.metadata.tables.__getitem__, names):
        for column in table.columns:
            assert applied(store, entries) == before
            other = "other" if column.type.python_type is str else 7
            with closing(sqlite3.connect(tmp_path / "scores.db")) as behind_our_back:
                first = f"(SELECT min(rowid) FROM {table.name})"
                behind_our_back.execute(f"UPDATE {table.name} SET {column.name} = ? WHERE rowid = {first}", [other])
                behind_our_back.commit()
            assert store.content() != before, column


def test_the_hash_of_the_sql_view_does_not_depend_on_batches_order_or_repetitions(store: ScoreStore) -> None:
    draw = random.Random(4)
    entries: list[LogEntry] = [
        *logged(
            [
                scored_clip(f"c{number % 20}", uploaded_at_ms=NOW_MS + number // 7, guidance=guidance(number))
                for number in range(40)
            ]
        ),
        *logged([scored_clip(f"c{number}", generation="g2") for number in range(20)], partition=1),
        *logged([routine(f"c{n % 20}", seed=n, uploaded_at_ms=NOW_MS + n // 3) for n in range(20)], partition=2),
        *(deletion(f"c{number}", number) for number in range(0, 20, 5)),
    ]
    expected = applied(store, entries)
    for batch in (1, 3, 7, 50):
        mixed = draw.sample(entries, len(entries)) + draw.sample(entries, 10)
        assert applied(store, mixed, batch) == expected


@settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))
@given(logs=topics(), moves=moves)
def test_however_the_log_is_delivered_the_sql_view_hashes_alike(
    shared_store: ScoreStore, logs: dict[TopicPartition, list[LogEntry]], moves: list[Move]
) -> None:
    expected = applied(shared_store, everything(logs))
    empty(shared_store)
    deliver(Delivery(logs, shared_store.apply), moves)
    assert shared_store.content() == expected


@pytest.mark.postgresql
def test_sqlite_and_postgresql_hold_the_same(store: ScoreStore, postgresql_database: Database) -> None:
    entries = [
        *logged(
            [
                scored_clip(name, fused_score=0.1 + 0.2, duration_s=7.0, guidance=guidance(3))
                for name in ("b", "B", "a-1", "a_1", "ä")
            ]
            + [routine()]
        ),
        deletion("gone"),
    ]
    other = ScoreStore(postgresql_database)
    assert applied(other, entries) == applied(store, entries)


def indexed(clip_id: str, row: int = -1) -> list[IndexedClip]:
    return [IndexedClip(clip_id, "ch", "d", row)]


class Held:
    """A catalogue and its indexes, kept as a view keeps them."""

    def __init__(self, kind: SnapshotBackend | None = None) -> None:
        self.catalogue, self.deleted = Catalogue(), set[str]()
        self.indexes: dict[Modality, VectorIndex] = {}
        self._kind = kind or NumpyBackend()

    def put(self, clip_id: str = "c1", vectors: dict[Modality, Sequence[float]] | None = None, **changes: Any) -> None:
        vectors = {SKELETAL: (0.6, 0.8), SCENIC: (1.0, 0.0)} if vectors is None else vectors
        fields: dict[str, Any] = {
            "clip_id": clip_id,
            "dancer_id": "d",
            "challenge_id": "ch",
            "uploaded_at_ms": NOW_MS,
            "log_partition": 0,
            "log_offset": 0,
            "modalities": tuple(vectors),
        }
        self.catalogue.put(CatalogueEntry(**(fields | changes)))
        for modality in FUSED_MODALITIES:
            if modality in vectors:
                row = np.array([unit(vectors[modality])], np.float32)
                index = self.indexes.setdefault(modality, self._kind.create(row.shape[1], self.catalogue))
                index.upsert(indexed(clip_id, self.catalogue.row_of(clip_id)), row)
            elif modality in self.indexes:
                self.indexes[modality].remove([clip_id])

    def delete(self, clip_id: str) -> None:
        self.deleted.add(clip_id)
        for index in self.indexes.values():
            index.remove([clip_id])
        self.catalogue.delete(clip_id)

    def content(self, generation: str = "g1", **others: "Held") -> str:
        return index_content({name: each.parts() for name, each in {generation: self, **others}.items()}, self.deleted)

    def parts(self) -> tuple[Catalogue, IndexesByWidth]:
        return self.catalogue, {modality: {index.dim: index} for modality, index in self.indexes.items()}


def held(*deleted: str, **changes: Any) -> Held:
    made = Held()
    made.put(**changes)
    for clip_id in deleted:
        made.delete(clip_id)
    return made


def test_the_hash_of_an_index_differs_for_every_single_field() -> None:
    nearly = 0.601  # the next but one in float16
    found = [
        held().content(),
        held().content("g2"),
        held().content(g2=held()),
        *(held(**change).content() for change in (
            {"clip_id": "c2"}, {"dancer_id": "x"}, {"challenge_id": "x"}, {"uploaded_at_ms": 1}, {"log_partition": 1},
            {"log_offset": 1}, {"style": "waltz"}, {"style": "unknown"},
            {"vectors": {SKELETAL: (nearly, 0.8), SCENIC: (1.0, 0.0)}},
            {"vectors": {SKELETAL: (0.8, 0.6), SCENIC: (1.0, 0.0)}},
            {"vectors": {SKELETAL: (1.0, 0.0), SCENIC: (0.6, 0.8)}},
            {"vectors": {SKELETAL: (0.6, 0.8, 0.0), SCENIC: (1.0, 0.0)}},
            {"vectors": {SKELETAL: (0.6, 0.8), FACIAL: (1.0, 0.0)}},
            {"vectors": {SKELETAL: (0.6, 0.8)}},
        )),
        held("c1").content(),
        held("c2").content(),
        held("c1", "c2").content(),
        Held().content(),
    ]  # fmt: skip
    assert len(set(found)) == len(found)


def test_the_hash_tells_which_clip_has_which_of_two_widths() -> None:
    def of(*widths: int) -> str:
        catalogue, indexes = Catalogue(), {width: NumpyIndex(width) for width in widths}
        for clip_id, width in zip("ab", widths, strict=True):
            catalogue.put(CatalogueEntry(clip_id, "d", "c", 0, 0, 0, (SKELETAL,)))
            indexes[width].upsert([IndexedClip(clip_id, "c", "d")], np.eye(1, width, dtype=np.float32))
        return index_content({"g1": (catalogue, {SKELETAL: indexes})}, ())

    assert of(2, 3) == of(2, 3) != of(3, 2)


def test_every_vector_counts_however_many_are_taken_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ranking.vectors.content_hash._CLIPS_AT_ONCE", 2)

    def of(other: int | None) -> str:
        made = Held()
        for number in range(7):
            made.put(f"c{number}", {SCENIC: (number, 1.0 if number != other else -1.0)})
        return made.content()

    assert len({of(other) for other in (None, *range(7))}) == 8


def test_the_order_of_generations_and_deletions_does_not_count() -> None:
    one, other = held(clip_id="a"), held(clip_id="b")
    spaces = {name: each.parts() for name, each in (("g1", one), ("g2", other))}
    gone = [f"gone-{number}" for number in range(20)]
    assert index_content(spaces, gone) == index_content(dict(reversed(spaces.items())), gone[::-1])


def viewed(entries: Sequence[LogEntry]) -> IndexView:
    view = index_view()
    view.apply(entries, positions_after(entry.record for entry in entries))
    return view


def test_the_hash_of_an_index_view_covers_every_generation_and_every_deletion() -> None:
    logs: list[list[LogEntry]] = [
        [],
        [scored()],
        [scored(), scored(1, generation="g2")],
        [scored(), scored(1, generation="g3")],
        [scored(), scored(1, generation="g2", fused_score=0.75, modalities={SKELETAL: result([0.0, 1.0])})],
        [scored(), deletion("c2")],
        [scored(), deletion("c3")],
        [deletion("c1")],
    ]
    assert len({viewed(log).content() for log in logs}) == len(logs)


def test_a_view_is_hashed_between_two_batches_never_within_one(monkeypatch: pytest.MonkeyPatch) -> None:
    view, inside, goes_on = viewed([scored()]), threading.Event(), threading.Event()
    upsert = NumpyIndex.upsert

    def slow(*arguments: Any) -> None:
        upsert(*arguments)
        inside.set()
        assert goes_on.wait(60)

    monkeypatch.setattr(NumpyIndex, "upsert", slow)
    batch = [scored(1, clip_id="c2"), scored(2, clip_id="c3")]
    with ThreadPoolExecutor(2) as pool:
        applied = pool.submit(view.apply, batch, positions_after(entry.record for entry in batch))
        assert inside.wait(60)
        asked = pool.submit(view.content)
        with pytest.raises(TimeoutError):
            asked.result(0.2)
        goes_on.set()
        applied.result(20)
        assert asked.result(20) == viewed([scored(), *batch]).content()


def test_a_vector_that_no_clip_accounts_for_is_seen() -> None:
    more = held()
    more.indexes[SCENIC].upsert(indexed("c9"), np.array([[0.0, 1.0]], np.float32))
    assert more.content() != held().content()
    other = held()
    other.indexes[FACIAL] = NumpyBackend().create(2, other.catalogue)
    other.indexes[FACIAL].upsert(indexed("c1"), np.array([[0.0, 1.0]], np.float32))
    assert len({each.content() for each in (held(), more, other)}) == 3
    less = held()
    less.indexes[SCENIC].remove(["c1"])
    with pytest.raises(KeyError):
        less.content()


def test_an_index_without_vectors_and_a_generation_without_clips_are_ignored() -> None:
    emptied = held(vectors={SKELETAL: (0.6, 0.8)})
    emptied.indexes[SCENIC] = NumpyBackend().create(2, emptied.catalogue)
    assert emptied.content() == held(vectors={SKELETAL: (0.6, 0.8)}).content()
    assert held().content(g2=Held()) == held().content()
    assert Held().content(g2=held("c1")) == Held().content()


def test_the_hash_of_an_index_does_not_depend_on_ids_order_or_kind() -> None:
    draw, rng = random.Random(2), np.random.default_rng(2)
    vectors = rng.standard_normal((30, 2, 5)).astype(np.float32)

    def filled(kind: SnapshotBackend, order: Sequence[int]) -> str:
        made = Held(kind)
        for number in order:
            made.put(f"c{number}", {SKELETAL: vectors[number, 1]})  # an earlier upload
            made.put(f"c{number}", {SKELETAL: vectors[number, 0], SCENIC: vectors[number, 1]})
            if number % 4 == 0:
                made.delete(f"c{number}")
        return made.content()

    in_order = range(30)
    expected = filled(NumpyBackend(), in_order)
    coded = Shape(capacity=2, ratio=2, exact_below=16, coded_from=16)
    kinds: list[Callable[[], SnapshotBackend]] = [
        NumpyBackend,
        FaissBackend,
        lambda: FaissBackend(shape=coded, background=False),
    ]
    for kind in kinds:
        assert filled(kind(), draw.sample(in_order, 30)) == expected


@settings(deadline=None)
@given(*[st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 2), st.booleans()), max_size=5)] * 2)
def test_two_indexes_hash_alike_if_and_only_if_they_hold_the_same(
    one: list[tuple[str, int, bool]], other: list[tuple[str, int, bool]]
) -> None:
    def state(steps: list[tuple[str, int, bool]]) -> tuple[str, object]:
        made, plain, deleted = Held(), dict[str, int](), set[str]()
        for clip_id, number, goes in steps:
            if goes:
                made.delete(clip_id)
                plain.pop(clip_id, None)
                deleted.add(clip_id)
            elif clip_id not in deleted:
                made.put(clip_id, {SKELETAL: (number, 1.0)}, log_offset=number)
                plain[clip_id] = number
        return made.content(), (plain, deleted)

    (hash_one, state_one), (hash_other, state_other) = state(one), state(other)
    assert (hash_one == hash_other) == (state_one == state_other)


def test_a_hash_is_of_one_moment_though_others_write(any_database: Database) -> None:
    store = ScoreStore(any_database)
    apply(store, [scored_clip("c1")])
    before, interrupted = store.content(), threading.Event()

    def meanwhile(_c: object, _cursor: object, statement: str, *_: object) -> None:
        if "FROM clips" in statement and not interrupted.is_set():
            interrupted.set()
            with ThreadPoolExecutor(1) as writing:
                writing.submit(apply, store, [scored_clip("c2")], start=1).result()

    sa.event.listen(any_database._engine, "after_cursor_execute", meanwhile)
    assert store.content() == before
    assert interrupted.is_set()
    assert store.content() != before
