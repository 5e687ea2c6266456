"""In any order and with any repetitions of records, both views end in the state of a model of ten lines."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import msgspec
import numpy as np
import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ranking.database.connection import Database
from ranking.database.tables import (
    attended_clips,
    clips,
    deleted_clips,
    guided_clips,
    joint_sums,
    metadata,
    scored_clips,
    scores,
    unranked_scores,
)
from ranking.scores.store import ScoreStore
from ranking.vectors.backends.numpy_exact import NumpyBackend
from ranking.vectors.embedding_space import EmbeddingSpace
from ranking.vectors.unit_vectors import unit
from ranking.vectors.view import IndexView
from ranking.views.log_records import DeletedRecord, LogEntry, positions_after
from schemas.clock import ManualClock
from schemas.codec import encode
from schemas.events import (
    ClipDeleted,
    ClipScored,
    ClipScoredV3,
    FeatureFile,
    StyleResult,
    VideoFile,
    embedding_array,
    outside_training,
    temporal_attention,
    training_distance,
)
from schemas.modalities import FUSED_MODALITIES, Modality
from schemas.observation import Observer
from schemas.ports import Record, ScoredRecord, TopicPartition
from tests.ranking.examples import DELETIONS, NOW_MS, TOPIC, attention_over, guidance, record, result, scored_clip

GENERATIONS = ("g1", "g2")
CLIPS = ("a", "b", "c")
PARTITIONS = [*(TopicPartition(TOPIC, number) for number in range(3)), TopicPartition(DELETIONS, 0)]
PARTITIONS.append(TopicPartition(DELETIONS, 1))

Held = dict[tuple[str, str], ScoredRecord]


def model(entries: Sequence[LogEntry]) -> tuple[Held, dict[str, int]]:
    """The latest record by generation and clip, and the latest time of deletion by clip."""
    held: Held = {}
    deleted: dict[str, int] = {}
    for entry in entries:
        if isinstance(entry, DeletedRecord):
            deleted[entry.event.clip_id] = max(entry.record.timestamp_ms, deleted.get(entry.event.clip_id, 0))
        else:
            key = (entry.clip.generation, entry.clip.clip_id)
            held[key] = max(entry, held.get(key, entry), key=_written)
    return {key: entry for key, entry in held.items() if key[1] not in deleted}, deleted


def _written(entry: ScoredRecord) -> tuple[int, int, int]:
    return entry.clip.uploaded_at_ms, entry.record.partition, entry.record.offset


def sql_state(store: ScoreStore) -> dict[str, Any]:
    with store._database.reading() as connection:
        rows = {
            table.name: sorted(tuple(row) for row in connection.execute(sa.select(table)))
            for table in (clips, scored_clips, scores, unranked_scores, attended_clips, deleted_clips)
        }
    return rows | {"positions": store.positions(PARTITIONS)}


def kept(clip: ClipScored) -> tuple[str | None, str | None, str | None]:
    match clip.features if isinstance(clip, ClipScoredV3) else None:
        case None:
            return None, None, None
        case FeatureFile(uri, sha256):
            return "file", uri, sha256
        case VideoFile(uri, sha256):
            return "video", uri, sha256


def shown(clip: ClipScored) -> tuple[str | None, float | None]:
    found = clip.style if isinstance(clip, ClipScoredV3) else None
    return (None, None) if found is None else (found.style or "unknown", found.probability)


def expected_sql(entries: Sequence[LogEntry]) -> dict[str, Any]:
    held, deleted = model(entries)
    newest = {
        clip_id: max((entry for (_, other), entry in held.items() if other == clip_id), key=_written)
        for _, clip_id in held
    }
    return {
        "clips": sorted(
            (c.clip_id, c.dancer_id, c.challenge_id, c.uploaded_at_ms, c.duration_s, r.partition, r.offset)
            for r, c in newest.values()
        ),
        "scored_clips": sorted(
            (c.generation, c.clip_id, c.challenge_id, c.uploaded_at_ms, c.scored_at_ms, ",".join(c.missing),
             training_distance(c), r.partition, r.offset, *kept(c), *shown(c)) for r, c in held.values()
        ),
        "scores": sorted(
            (c.generation, c.clip_id, str(dimension), c.challenge_id, score,
             c.modalities[Modality(dimension)].attention if dimension != "fused" else None, shown(c)[0])
            for _, c in held.values() for dimension, score in c.scores().items()
            if not outside_training(training_distance(c))
        ),
        "unranked_scores": sorted(
            (c.generation, c.clip_id, str(dimension), score,
             c.modalities[Modality(dimension)].attention if dimension != "fused" else None)
            for _, c in held.values() for dimension, score in c.scores().items()
            if outside_training(training_distance(c))
        ),
        "attended_clips": sorted(
            (c.generation, c.clip_id, str(found.modality), 1.0,
             msgspec.msgpack.encode(("dynamic", "static")), found.weights)
            for _, c in held.values() if (found := temporal_attention(c)) is not None
        ),
        "deleted_clips": sorted(deleted.items()),
        "positions": positions_after(entry.record for entry in entries),
    }  # fmt: skip


def stored(space: EmbeddingSpace, modality: Modality, clip_id: str) -> tuple[float, ...]:
    """The one vector that is held, in whichever width."""
    found = (index.vectors([clip_id])[0] for index in space._indexes[modality].values())
    (vector,) = (tuple(vector.tolist()) for vector in found if not np.isnan(vector[0]))
    return vector


def index_state(view: IndexView) -> dict[str, Any]:
    known = {}
    for generation, space in view._spaces.items():
        for clip_id in CLIPS:
            if (entry := space._catalogue.get(clip_id)) is not None:
                vectors = {m: stored(space, m, clip_id) for m in entry.modalities}
                place = (entry.style, entry.log_partition, entry.log_offset)
                known[generation, clip_id] = (entry.dancer_id, entry.challenge_id, *place, vectors)
    return {
        "clips": known,
        "deleted": view._deleted,
        "sizes": view.sizes(),
        "widths": {name: space.widths() for name, space in view._spaces.items() if len(space)},
        "positions": view.positions(PARTITIONS),
    }


def expected_index(entries: Sequence[LogEntry]) -> dict[str, Any]:
    held, deleted = model(entries)
    known = {
        (generation, clip_id): (c.dancer_id, c.challenge_id, shown(c)[0], r.partition, r.offset,
                  {m: tuple(unit(embedding_array(one)).tolist()) for m, one in c.modalities.items()})  # type: ignore[union-attr]
        for (generation, clip_id), (r, c) in held.items()
    }  # fmt: skip
    present = [modality for *_, vectors in known.values() for modality in vectors]
    sizes = {modality: present.count(modality) for modality in sorted(set(present))}
    widths: dict[str, dict[Modality, set[int]]] = {}
    for (generation, _), (*_, vectors) in known.items():
        for modality, vector in vectors.items():
            widths.setdefault(generation, {}).setdefault(modality, set()).add(len(vector))
    return {
        "clips": known,
        "deleted": set(deleted),
        "sizes": sizes,
        "widths": {name: {m: tuple(sorted(found)) for m, found in sorted(of.items())} for name, of in widths.items()},
        "positions": positions_after(entry.record for entry in entries),
    }


# Embeddings of two widths in one generation: a fault of producers, which must not make the views differ.
scored = st.builds(
    lambda clip_id, version, generation, challenge, modalities, score, more, distance, source, moves, style, attends: (
        scored_clip(
            clip_id,
            uploaded_at_ms=NOW_MS + version,
            generation=generation,
            challenge_id=challenge,
            dancer_id=f"dancer{version}",
            modalities={m: result((score + 1, n - 1.5, *more), score=score) for n, m in enumerate(modalities)},
            fused_score=score / 2,
            **({} if distance is None else {"training_distance": distance}),
            **({} if source is None else {"features": source}),
            **({} if moves is None else {"guidance": guidance(moves)}),
            **({} if style is None else {"style": style}),
            **({} if attends is None else {"temporal_attention": attention_over(70, attends, modalities[0])}),
        )
    ),
    st.sampled_from(CLIPS),
    st.integers(0, 3),
    st.sampled_from(GENERATIONS),
    st.sampled_from(["x", "y"]),
    st.lists(st.sampled_from(FUSED_MODALITIES), min_size=1, max_size=3, unique=True),
    st.integers(0, 9),
    st.sampled_from([(), (), (2.0,)]),
    st.sampled_from([None, 0.5, 1.5]),
    st.sampled_from([None, FeatureFile("file:///a"), FeatureFile("s3://b/a", "a" * 64), VideoFile("file:///v")]),
    st.sampled_from([None, 1, 2, 3]),
    st.sampled_from([None, *(StyleResult(style=style, probability=0.5) for style in ("waltz", "tango", None))]),
    st.sampled_from([None, None, 1, 2]),
)


@st.composite
def topics(draw: st.DrawFn) -> dict[TopicPartition, list[LogEntry]]:
    """Records of the log and deletions by partition; some events are repeated, in any partition."""
    events: list[ClipScored | str] = draw(st.lists(scored, min_size=1, max_size=8))
    events += draw(st.lists(st.sampled_from(CLIPS[1:]), max_size=3))
    events += draw(st.lists(st.sampled_from(events), max_size=4))
    logs: dict[TopicPartition, list[LogEntry]] = {at: [] for at in PARTITIONS}
    for event in draw(st.permutations(events)):
        if isinstance(event, ClipScored):
            at = PARTITIONS[draw(st.integers(0, 2))]
            logs[at].append(ScoredRecord(record(event, len(logs[at]), partition=at.partition), event))
        else:
            at, removal = PARTITIONS[draw(st.integers(3, 4))], ClipDeleted(clip_id=event, reason="")
            moment_ms = NOW_MS + draw(st.integers(0, 5))
            raw = Record(DELETIONS, at.partition, len(logs[at]), moment_ms, None, encode(removal))
            logs[at].append(DeletedRecord(raw, removal))
    return logs


@dataclass
class Delivery:
    """Reads partitions in turns, seeks back in some, and applies batches at any moment."""

    logs: Mapping[TopicPartition, Sequence[LogEntry]]
    apply: Callable[[Sequence[LogEntry], Mapping[TopicPartition, int]], object]
    next: dict[TopicPartition, int] = field(default_factory=dict)
    batch: list[LogEntry] = field(default_factory=list)

    def read(self, at: TopicPartition) -> None:
        offset = self.next.get(at, 0)
        if offset < len(self.logs[at]):
            self.batch.append(self.logs[at][offset])
            self.next[at] = offset + 1

    def hand_over(self) -> None:
        self.apply(self.batch, positions_after(entry.record for entry in self.batch))
        self.batch = []

    def go_back(self, at: TopicPartition, offset: int) -> None:
        self.next[at] = min(offset, self.next.get(at, 0))

    def finish(self) -> None:
        for at in self.logs:
            for _ in self.logs[at]:
                self.read(at)
        self.hand_over()


Move = tuple[str, TopicPartition, int]
moves = st.lists(
    st.tuples(
        st.sampled_from(["read", "read", "read", "read", "hand over", "hand over", "go back", "restart"]),
        st.sampled_from(PARTITIONS),
        st.integers(0, 4),
    ),
    max_size=40,
)


def deliver(delivery: Delivery, moves: Sequence[Move], restart: Callable[[], object] = lambda: None) -> None:
    for kind, at, number in moves:
        if kind == "read":
            delivery.read(at)
        elif kind == "go back":
            delivery.go_back(at, number)
        else:
            delivery.hand_over()
            if kind == "restart":
                restart()
    delivery.finish()


def everything(logs: Mapping[TopicPartition, Sequence[LogEntry]]) -> list[LogEntry]:
    return [entry for at in logs for entry in logs[at]]


def empty(store: ScoreStore) -> None:
    with store._database.writing() as connection:
        tables = (scores, unranked_scores, guided_clips, joint_sums, attended_clips, scored_clips, clips, deleted_clips)
        for table in tables:
            connection.execute(sa.delete(table))
        connection.execute(sa.delete(metadata.tables["applied_offsets"]))


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(logs=topics(), moves=moves)
def test_the_sql_view_ends_as_the_model_says(
    shared_store: ScoreStore, logs: dict[TopicPartition, list[LogEntry]], moves: list[Move]
) -> None:
    empty(shared_store)
    deliver(Delivery(logs, shared_store.apply), moves)
    assert sql_state(shared_store) == expected_sql(everything(logs))


@pytest.mark.postgresql
@settings(max_examples=20, deadline=None, suppress_health_check=list(HealthCheck))
@given(logs=topics(), moves=moves)
def test_the_sql_view_ends_as_the_model_says_on_postgresql_too(
    postgresql_database: Database, logs: dict[TopicPartition, list[LogEntry]], moves: list[Move]
) -> None:
    store = ScoreStore(postgresql_database)
    empty(store)
    deliver(Delivery(logs, store.apply), moves)
    assert sql_state(store) == expected_sql(everything(logs))


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(logs=topics(), moves=moves)
def test_the_index_view_ends_as_the_model_says_also_from_snapshots(
    logs: dict[TopicPartition, list[LogEntry]], moves: list[Move]
) -> None:
    views = [IndexView(NumpyBackend(), Observer(), ManualClock())]
    with TemporaryDirectory() as folder:

        def restart() -> None:
            views[-1].save(Path(folder))
            views.append(IndexView(NumpyBackend(), Observer(), ManualClock()))
            views[-1].restore(Path(folder))

        deliver(Delivery(logs, lambda entries, positions: views[-1].apply(entries, positions)), moves, restart)
    assert index_state(views[-1]) == expected_index(everything(logs))
