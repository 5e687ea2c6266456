"""Dead letters of every topic that is read are found, repaired by their type, and replayed to their source."""

import io
from collections.abc import Callable, Mapping

import msgspec
import pytest

from dancerank import dead_letters as module
from dancerank.dead_letters import DeadLetters, as_json, chosen
from dancerank.settings import Settings
from schemas.codec import encode_json
from schemas.errors import MalformedEvent
from schemas.events import ClipDeleted, EngagementObserved, Event, InlineFeatures
from schemas.ports import Record
from tests.clips import upload
from tests.ranking.examples import scored_clip
from transport.dead_letter import dead_letter, dead_letter_topic
from transport.dead_letter_records import DeadLetter, DeadLetterError, read_dead_letter

SETTINGS = Settings()
UPLOADS, SCORED = SETTINGS.streamer.uploads_topic, SETTINGS.streamer.scored_topic
ENGAGEMENT, DELETIONS = SETTINGS.pools.engagement_topic, SETTINGS.ranking.deletions_topic
EVENTS: Mapping[str, Event] = {
    UPLOADS: upload("clip-1", InlineFeatures(b"-"), challenge_id="renegade"),
    SCORED: scored_clip("clip-1", challenge_id="renegade"),
    ENGAGEMENT: EngagementObserved(clip_id="clip-1", observed_at_ms=1, likes=1, comments=0, reposts=0, views=9),
    DELETIONS: ClipDeleted("clip-1", "asked for"),
}


def dead_lettered(topic: str, value: bytes = b"\xc1") -> tuple[DeadLetter, Record]:
    sent = dead_letter(Record(topic, 1, 42, 0, b"?", value), MalformedEvent("bad"), clip_id=None, failed_at_ms=5)
    record = Record(sent.topic, 0, 7, 6, sent.key, sent.value, sent.headers)
    return read_dead_letter(record), record


@pytest.mark.parametrize("topic", EVENTS)
def test_a_repaired_event_of_any_topic_goes_out_under_its_clip(topic: str) -> None:
    dead_record, _ = dead_lettered(topic)
    value = encode_json(EVENTS[topic])
    assert DeadLetters(SETTINGS).repaired(dead_record, value, "the file") == (b"clip-1", value)


@pytest.mark.parametrize("topic", EVENTS)
def test_an_event_of_another_kind_is_no_repair(topic: str) -> None:
    dead_record, _ = dead_lettered(topic)
    for other, event in EVENTS.items():
        if other != topic:
            with pytest.raises(DeadLetterError, match=f"the file is still not an event for {topic}"):
                DeadLetters(SETTINGS).repaired(dead_record, encode_json(event), "the file")


@pytest.mark.parametrize(
    ("topic", "by"), [(UPLOADS, "renegade"), (SCORED, "renegade"), (ENGAGEMENT, None), (DELETIONS, None)]
)
def test_it_is_put_back_where_producers_of_its_topic_would_send_it(topic: str, by: str | None) -> None:
    dead_record, record = dead_lettered(topic, encode_json(EVENTS[topic]))
    (sent,) = DeadLetters(SETTINGS).outgoing(dead_record, record)
    assert (sent.topic, sent.value, sent.partition_by) == (topic, record.value, by)


def test_what_cannot_be_read_still_goes_by_its_key() -> None:
    dead_record, record = dead_lettered(UPLOADS, b"no event")
    assert DeadLetters(SETTINGS).outgoing(dead_record, record)[0].partition_by is None


def test_a_dead_letter_of_a_topic_that_the_settings_do_not_name_is_an_error_that_lists_theirs() -> None:
    dead_record, record = dead_lettered("elsewhere")
    for ask in (
        lambda: DeadLetters(SETTINGS).outgoing(dead_record, record),
        lambda: DeadLetters(SETTINGS).repaired(dead_record, b"{}", "the file"),
    ):
        with pytest.raises(DeadLetterError, match=rf"came from elsewhere.*{UPLOADS}.*{DELETIONS}"):
            ask()


@pytest.fixture
def existing(monkeypatch: pytest.MonkeyPatch) -> Callable[[set[str]], list[str]]:
    """Makes these topics the ones that exist, and gives those that were asked for."""

    def exist(topics: set[str]) -> list[str]:
        asked: list[str] = []

        def describe(_: object, names: list[str]) -> dict[str, object]:
            asked.extend(names)
            return {name: None for name in names if name in topics}

        monkeypatch.setattr(module, "describe_topics", describe)
        return asked

    return exist


def test_without_a_topic_the_letters_of_all_that_is_read_are_meant(
    existing: Callable[[set[str]], list[str]],
) -> None:
    there = {dead_letter_topic(SCORED), dead_letter_topic(UPLOADS)}
    asked = existing(there)
    assert DeadLetters(SETTINGS).topics(None) == sorted(there)
    assert {dead_letter_topic(topic) for topic in EVENTS} <= set(asked)


@pytest.mark.parametrize("named", [ENGAGEMENT, dead_letter_topic(ENGAGEMENT)])
def test_a_topic_is_meant_by_its_own_name_and_by_that_of_its_letters(
    existing: Callable[[set[str]], list[str]], named: str
) -> None:
    existing({dead_letter_topic(topic) for topic in EVENTS})
    assert DeadLetters(SETTINGS).topics(named) == [dead_letter_topic(ENGAGEMENT)]
    existing(set())
    with pytest.raises(DeadLetterError, match="nothing was dead-lettered there yet"):
        DeadLetters(SETTINGS).topics(named)


def test_what_is_not_a_dead_letter_is_skipped_and_reported_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    dead_record, record = dead_lettered(UPLOADS)
    strange = Record(record.topic, 2, 9, 0, b"k", b"v")
    monkeypatch.setattr(module, "KafkaSource", lambda *_, **__: io.BytesIO())  # it is closed, and that is all
    monkeypatch.setattr(module, "read_to_end", lambda *_, **__: iter([strange, record]))
    dead_letters = DeadLetters(SETTINGS)
    for _ in range(2):
        assert list(dead_letters.read([record.topic])) == [(dead_record, record)]
        assert [str(error).split()[0] for error in dead_letters.strange] == [f"{record.topic}:2:9"]


def test_json_that_an_editor_marked_with_a_byte_order_is_read() -> None:
    value = encode_json(EVENTS[DELETIONS])
    assert as_json(b"\xef\xbb\xbf" + value) == as_json(value) is not None


def test_the_newest_letters_are_chosen_and_shown_oldest_first() -> None:
    dead_record, _ = dead_lettered(UPLOADS)
    dated = [msgspec.structs.replace(dead_record, at_ms=at_ms) for at_ms in (3, 1, 2)]
    assert [one.at_ms for one in chosen(dated, 2)] == [2, 3]
    assert [one.at_ms for one in chosen(dated, 0)] == [1, 2, 3]
