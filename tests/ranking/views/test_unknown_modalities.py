"""A log written by a newer release, with results of a modality that this one does not know."""

import logging
from functools import partial
from typing import Any

import msgspec
import pytest

from ranking.database.connection import Database
from ranking.pools.service.worker import read_pool_entries
from ranking.scores.store import ScoreStore
from ranking.views.log_records import read_log
from ranking.views.loop import LoopOptions, ViewLoop
from schemas.codec import decode, encode, encode_json
from schemas.errors import MalformedEvent
from schemas.events import ClipScored
from schemas.modalities import FUSED_MODALITIES
from schemas.ports import RebalanceListener, RecordSource, View
from schemas.unknown_modalities import OTHER, UnknownModalities
from tests.ranking.examples import TOPIC, record, routine, scored_clip
from tests.ranking.pools.service import SCORED, Service
from tests.ranking.views.loops import DEAD, Reports, Setting, drain, index_view
from transport.memory import MemorySink, MemorySource


class Counts(Reports):
    def __init__(self) -> None:
        super().__init__()
        self.unknown: list[str] = []

    def unknown_modality(self, name: str) -> None:
        self.unknown.append(name)


def newer(clip: ClipScored, *, only: bool = False, name: str = "audio", missing: tuple[str, ...] = ()) -> bytes:
    """The clip as a release writes it that knows one more modality; ``only``: the others are not scored."""
    fields: dict[str, Any] = msgspec.msgpack.decode(encode(clip))
    result = next(iter(fields["modalities"].values()))
    fields["modalities"] = ({} if only else fields["modalities"]) | {name: result}
    fields["missing"] = [*fields["missing"], *missing]
    return msgspec.msgpack.encode(fields)


@pytest.mark.parametrize("encoded", [msgspec.msgpack.encode, msgspec.json.encode])
def test_an_unknown_modality_is_left_out_and_the_rest_kept(encoded: Any) -> None:
    clip, unknown = scored_clip(), list[str]()
    fields = msgspec.json.decode(encode_json(clip)) if encoded is msgspec.json.encode else None
    fields = fields or msgspec.msgpack.decode(encode(clip))
    fields["modalities"]["audio"] = {"a newer": "form"}
    fields["missing"] = ["depth"]
    assert decode(encoded(fields), ClipScored, on_unknown_modality=unknown.append) == clip
    assert unknown == ["audio"]


@pytest.mark.parametrize("encoded", [msgspec.msgpack.encode, msgspec.json.encode])
def test_attention_over_time_of_an_unknown_modality_is_left_out(encoded: Any) -> None:
    clip, json = routine(), encoded is msgspec.json.encode
    fields = msgspec.json.decode(encode_json(clip)) if json else msgspec.msgpack.decode(encode(clip))
    fields["modalities"]["audio"] = fields["modalities"]["routine"]
    assert decode(encoded(fields), ClipScored) == clip
    fields["temporal_attention"]["modality"] = "audio"
    assert decode(encoded(fields), ClipScored) == routine(temporal_attention=None)


def test_a_name_that_is_not_a_modalitys_is_malformed() -> None:
    for name in ("", "Audio", "au dio", "audio\n", "a" * 33):
        with pytest.raises(MalformedEvent):
            decode(newer(scored_clip(), name=name), ClipScored)


def test_a_known_result_that_is_broken_stays_malformed_beside_an_unknown_one() -> None:
    fields = msgspec.msgpack.decode(newer(scored_clip()))
    fields["modalities"]["facial"]["attention"] = 2.0
    unknown: list[str] = []
    with pytest.raises(MalformedEvent):
        decode(msgspec.msgpack.encode(fields), ClipScored, on_unknown_modality=unknown.append)
    assert unknown == []


def test_a_clip_without_any_result_is_malformed() -> None:
    fields = msgspec.msgpack.decode(encode(scored_clip()))
    with pytest.raises(MalformedEvent, match="at least one") as caught:
        decode(msgspec.msgpack.encode({**fields, "modalities": {}}), ClipScored)
    assert caught.value.field == "modalities"


def test_both_views_keep_what_they_know_and_count_the_rest(store: ScoreStore) -> None:
    setting, reports = Setting(), Counts()
    setting.send(newer(scored_clip("a")), newer(scored_clip("b"), only=True), scored_clip("c"))
    read = partial(read_log, deletions_topic="clips.deleted", on_unknown_modality=UnknownModalities(reports))
    index = index_view()
    quick = LoopOptions(poll_timeout_s=0.0, commits=False)

    def open_source(listener: RebalanceListener) -> RecordSource:
        return MemorySource(setting.broker, [TOPIC], group=None, listener=listener)

    def read_log_into(view: View) -> None:
        drain(ViewLoop(open_source, view, read, MemorySink(setting.broker), reports, setting.clock, quick))

    for view in (store, index):
        read_log_into(view)
    assert reports.unknown == ["audio"] * 4
    assert setting.broker.records(DEAD) == []
    assert store.generations() == {"g1": 3}
    assert index.clips() == 3
    assert set(store.clip("a", "g1").attention) == set(FUSED_MODALITIES)
    assert list(store.clip("b", "g1").scores) == ["fused"]
    setting.send(newer(scored_clip("b", uploaded_at_ms=scored_clip().uploaded_at_ms + 1)))
    read_log_into(index)
    assert index.clips() == 3


def test_the_pools_keep_what_they_know(sqlite_database: Database) -> None:
    service, reports = Service(sqlite_database), Counts()
    value = newer(scored_clip("c1", fused_score=0.9), only=True)
    entries, refused = read_pool_entries([record(value, 0)], [SCORED], UnknownModalities(reports))
    assert not refused
    service.rank(entries)
    service.apply(entries)
    assert service.rules("c1")
    assert reports.unknown == ["audio"]


def test_the_warning_comes_once_per_name_and_names_are_bounded(caplog: pytest.LogCaptureFixture) -> None:
    reports = Counts()
    unknown = UnknownModalities(reports)
    with caplog.at_level(logging.WARNING):
        for name in ["audio", *(f"m{n}" for n in range(150)), "audio"]:
            unknown(name)
    assert sum("'audio'" in message for message in caplog.messages) == 1
    assert len(caplog.messages) == 100
    assert (reports.unknown.count("audio"), reports.unknown.count(OTHER)) == (2, 51)
