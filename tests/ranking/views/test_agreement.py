"""What one view of the log makes of a record, the other makes of it too, in whichever order records come."""

import logging
from collections.abc import Sequence
from itertools import permutations
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import sqlalchemy as sa

from ranking.database.connection import Database
from ranking.database.tables import scored_clips, scores
from ranking.scores.store import ScoreStore
from ranking.vectors.backends.faiss_live import FaissBackend
from ranking.vectors.backends.numpy_exact import NumpyBackend
from ranking.vectors.backends.port import IndexBackend
from ranking.vectors.view import IndexView
from ranking.views.log_records import LogEntry, positions_after, read_log
from schemas.clock import ManualClock
from schemas.codec import encode
from schemas.errors import MalformedEvent, QueryError
from schemas.events import ModalityResult
from schemas.modalities import FUSED_MODALITIES, Modality
from schemas.observation import Observer
from schemas.ports import Record
from schemas.questions.retrieval import SimilarQuery
from tests.ranking.databases import migrated
from tests.ranking.examples import DELETIONS, NOW_MS, TOPIC, result, scored_clip
from tests.ranking.vectors.own_backends import RemoteService

SKELETAL, HOLISTIC, SCENIC = Modality.SKELETAL, Modality.HOLISTIC, Modality.SCENIC
LARGEST, SMALLEST = 65504.0, 6e-8
"""Of float16."""


def embedded(clip_id: str, **embeddings: Sequence[float]) -> dict[str, Any]:
    """A scored clip of these embeddings, as fields."""
    modalities = {Modality(name): result(values) for name, values in embeddings.items()}
    event = scored_clip(clip_id, modalities=modalities, missing=())
    fields: dict[str, Any] = msgspec.msgpack.decode(encode(event))
    return fields


def changed(**fields: Any) -> dict[str, Any]:
    return embedded("odd", skeletal=[1, 0]) | fields


def with_result(**fields: Any) -> dict[str, Any]:
    odd = embedded("odd", skeletal=[1, 0])
    odd["modalities"]["skeletal"] |= fields
    return odd


ORDINARY = [embedded("a", skeletal=[1, 0], scenic=[1, 2]), embedded("b", skeletal=[0, 1])]


class BothViews:
    """Fed with the same raw records; what each holds and refuses."""

    def __init__(self, store: ScoreStore, index: IndexView) -> None:
        self.store, self.index = store, index
        self.refused: list[list[str]] = [[], []]

    def read(self, values: Sequence[dict[str, Any]], *, batch: int = 100) -> None:
        records = [Record(TOPIC, 0, n, NOW_MS, None, msgspec.msgpack.encode(value)) for n, value in enumerate(values)]
        for start in range(0, len(records), batch):
            for view, refused in zip((self.store, self.index), self.refused, strict=True):
                entries, unreadable = read_log(
                    records[start : start + batch], DELETIONS, clock=ManualClock(start_ms=NOW_MS)
                )
                late = view.apply(entries, _after(entries))
                refused += [f"{refusal.record.offset}: {refusal.error}" for refusal in (*unreadable, *late)]

    def held(self) -> tuple[set[str], set[str]]:
        with self.store._database.reading() as connection:
            ranked = {f"{row.generation}/{row.clip_id}" for row in connection.execute(sa.select(scored_clips))}
        spaces = self.index._spaces.items()
        indexed = {f"{name}/{entry.clip_id}" for name, space in spaces for entry in space.parts()[0].entries()}
        return ranked, indexed


def _after(entries: Sequence[LogEntry]) -> Any:
    return positions_after(entry.record for entry in entries)


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgresql)])
def store(request: pytest.FixtureRequest) -> ScoreStore:
    database: Database = request.getfixturevalue(f"{request.param}_database")
    return ScoreStore(database, ManualClock(start_ms=NOW_MS))


@pytest.fixture
def views(store: ScoreStore) -> BothViews:
    return BothViews(store, IndexView(FaissBackend(), Observer(), ManualClock(start_ms=NOW_MS)))


ACCEPTED = (
    pytest.param(embedded("odd", skeletal=[1, 0, 0]), marks=pytest.mark.tried(
        kind="two readers, two truths", given="a log record of another embedding width",
        outcome="ranked and indexed; compared with its own width")),
    pytest.param(embedded("odd", skeletal=[1.0]), marks=pytest.mark.tried(
        kind="two readers, two truths", given="an embedding of width 1", outcome="ranked and indexed")),
    pytest.param(embedded("odd", skeletal=[1, 0], scenic=[0.0] * 5), marks=pytest.mark.tried(
        kind="two readers, two truths", given="an embedding of zeros", outcome="ranked; absent from that index")),
    pytest.param(embedded("odd", skeletal=[-0.0, -0.0]), id="negative zeros alone"),
    pytest.param(embedded("odd", skeletal=[LARGEST, -LARGEST]), id="largest float16"),
    pytest.param(embedded("odd", skeletal=[SMALLEST, 0]), id="smallest float16"),
    pytest.param(with_result(score=1.7e308), id="largest score"),
    pytest.param(with_result(score=5e-324), id="smallest score"),
    pytest.param(with_result(score=7), id="a whole number as score"),
    pytest.param(changed(fused_score=-0.0), marks=pytest.mark.tried(
        kind="two readers, two truths", given="a score of negative zero", outcome="one zero on every database")),
    pytest.param(changed(generation="-"), id="a generation that is a dash"),
    pytest.param(changed(clip_id="\U0001f483" * 128, challenge_id="é\u0301\uffff"), id="ids of 4 bytes a character"),
    pytest.param(changed(missing=["holistic", "facial", "scenic"]), id="all others missing"),
)  # fmt: skip

REFUSED = (
    pytest.param(changed(missing=["scenic"] * 20), "twice", marks=pytest.mark.tried(
        kind="two readers, two truths", given="a modality that is named missing twenty times",
        outcome="refused by both views")),
    pytest.param(changed(missing=["skeletal"]), "has a result", id="present and missing"),
    pytest.param(with_result(embedding=b"\x00\x7c\x00\x00"), "finite", marks=pytest.mark.tried(
        kind="two readers, two truths", given="an embedding that overflows float16", outcome="refused by both views")),
    pytest.param(with_result(embedding=b"\x00\x7e\x00\x00"), "finite", id="NaN in an embedding"),
    pytest.param(with_result(embedding=b"\x00\x3c\x00"), "whole number of float16", id="half a value"),
    pytest.param(with_result(embedding=b""), "at least one", id="an empty embedding"),
    pytest.param(with_result(attention=float("nan")), "attention", id="attention that is NaN"),
    pytest.param(with_result(score=float("inf")), "finite", id="an infinite score"),
    pytest.param(changed(fused_score=float("nan")), "finite", id="a fused score that is NaN"),
    pytest.param(changed(modalities={}), "at least one result", id="no results"),
)  # fmt: skip


@pytest.mark.parametrize("odd", ACCEPTED)
def test_both_views_hold_what_one_holds(views: BothViews, odd: dict[str, Any]) -> None:
    views.read([ORDINARY[0], odd, ORDINARY[1]])
    ranked, indexed = views.held()
    assert ranked == indexed == {"g1/a", "g1/b", f"{odd['generation']}/{odd['clip_id']}"}
    assert views.refused == [[], []]


@pytest.mark.parametrize(("odd", "reason"), REFUSED)
def test_both_views_refuse_what_one_refuses(views: BothViews, odd: dict[str, Any], reason: str) -> None:
    views.read([ORDINARY[0], odd, ORDINARY[1]])
    ranked, indexed = views.held()
    assert ranked == indexed == {"g1/a", "g1/b"}
    assert views.refused[0] == views.refused[1]
    assert [reason in refused for refused in views.refused[0]] == [True]


def test_widths_agree_in_every_order_and_batch(sqlite_database: Database, tmp_path: Path) -> None:
    """Of one clip the latest record holds, whatever its width is; other clips keep what they have."""
    values = [
        *(embedded("a", skeletal=[1, 0]), embedded("b", skeletal=[1, 0, 0]), embedded("c", skeletal=[0, 1, 0])),
        embedded("a", skeletal=[1, 1, 0], scenic=[1]) | {"uploaded_at_ms": NOW_MS + 1},
    ]
    contents, answers = set(), set()
    for number, order in enumerate(permutations(values)):
        for batch in (1, 2, 4):
            with migrated(f"sqlite:///{tmp_path}/{number}-{batch}.db") as database:
                clock = ManualClock(start_ms=NOW_MS)
                both = BothViews(ScoreStore(database, clock), IndexView(NumpyBackend(), Observer(), clock))
                both.read(order, batch=batch)
                ranked, indexed = both.held()
                assert ranked == indexed == {"g1/a", "g1/b", "g1/c"}
                # Offsets differ with the order, and stand in the content.
                answers.add(repr([both.index.similar(SimilarQuery(clip_id=clip)) for clip in "abc"]))
                contents.add(repr([space.widths() for space in both.index._spaces.values()]))
    assert contents == {repr([{SCENIC: (1,), SKELETAL: (3,)}])}
    assert len(answers) == 1


@pytest.fixture(params=[FaissBackend, NumpyBackend, RemoteService])
def backend(request: pytest.FixtureRequest) -> IndexBackend:
    made: IndexBackend = request.param()
    return made


def test_clips_are_compared_with_those_of_their_own_width(
    backend: IndexBackend, tmp_path: Path, sqlite_database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    both = BothViews(ScoreStore(sqlite_database), IndexView(backend, Observer(), ManualClock(start_ms=NOW_MS)))
    with caplog.at_level(logging.WARNING):
        both.read(
            [
                embedded("a", skeletal=[1, 0], scenic=[1, 1]),
                embedded("b", skeletal=[1, 0.5]),
                embedded("c", skeletal=[1, 0, 0], scenic=[1, 0]),
                embedded("d", skeletal=[0, 1, 0]),
            ]
        )
    (warning,) = [message for message in caplog.messages if "widths" in message]
    assert "generation g1 has skeletal embeddings of the widths 2, 3, so two bundles share its name" in warning
    restored = IndexView(backend, Observer(), ManualClock(start_ms=NOW_MS))
    both.index.save(tmp_path)
    assert restored.restore(tmp_path)
    assert restored.content() == both.index.content()
    for view in (both.index, restored):
        found = view.similar(SimilarQuery(clip_id="a", weights={SKELETAL: 1.0, SCENIC: 1.0}))
        assert [(hit.clip_id, [*hit.similarities], hit.missing) for hit in found.hits] == [
            ("b", [SKELETAL], [SCENIC]),
            ("c", [SCENIC], [SKELETAL]),
        ]
        assert [hit.clip_id for hit in view.similar(SimilarQuery(clip_id="d")).hits] == ["c"]
        wide = SimilarQuery(embeddings={SKELETAL: [1.0, 0.0, 0.0]})
        assert [hit.clip_id for hit in view.similar(wide).hits] == ["c", "d"]
        with pytest.raises(QueryError, match="expected 2 or 3 numbers"):
            view.similar(SimilarQuery(embeddings={SKELETAL: [1.0]}))


def test_a_dancer_is_compared_in_the_width_of_most_of_their_clips() -> None:
    view = IndexView(NumpyBackend(), Observer(), ManualClock(start_ms=NOW_MS))
    values = [
        *(embedded(name, skeletal=[1, 0, 0]) | {"dancer_id": "ada"} for name in "ab"),
        embedded("c", skeletal=[1, 0]) | {"dancer_id": "ada"},
        *(embedded("d", skeletal=[1, 0]), embedded("e", skeletal=[1, 0, 1])),
    ]
    records = [Record(TOPIC, 0, n, NOW_MS, None, msgspec.msgpack.encode(value)) for n, value in enumerate(values)]
    entries, _ = read_log(records, DELETIONS)
    view.apply(entries, _after(entries))
    assert [hit.clip_id for hit in view.similar(SimilarQuery(dancer_id="ada")).hits] == ["e"]


@pytest.fixture
def databases(sqlite_database: Database, postgresql_database: Database) -> list[ScoreStore]:
    return [ScoreStore(database, ManualClock(start_ms=NOW_MS)) for database in (sqlite_database, postgresql_database)]


@pytest.mark.postgresql
def test_every_database_holds_the_same_numbers(databases: list[ScoreStore]) -> None:
    for store in databases:
        views = BothViews(store, IndexView(NumpyBackend(), Observer(), ManualClock(start_ms=NOW_MS)))
        views.read([param.values[0] | {"clip_id": f"c{n}"} for n, param in enumerate(ACCEPTED)])  # type: ignore[operator]
    assert databases[0].content() == databases[1].content()
    for store in databases:
        with store._database.reading() as connection:
            zeros = connection.scalars(sa.select(scores.c.score).where(scores.c.score == 0)).all()
        assert zeros
        assert not np.signbit(zeros).any()


def test_a_result_that_names_no_modality_twice_is_built_as_before() -> None:
    assert scored_clip("a", modalities={SKELETAL: result()}).missing == tuple(
        m for m in FUSED_MODALITIES if m != SKELETAL
    )
    with pytest.raises(ValueError, match="twice"):
        scored_clip("a", modalities={SKELETAL: ModalityResult(1.0, 1.0, b"\x00\x3c")}, missing=(SCENIC, SCENIC))


def test_a_record_that_names_a_modality_twice_is_malformed() -> None:
    record = Record(TOPIC, 0, 0, NOW_MS, None, msgspec.msgpack.encode(changed(missing=["scenic", "scenic"])))
    _, (refusal,) = read_log([record], DELETIONS)
    assert isinstance(refusal.error, MalformedEvent)
