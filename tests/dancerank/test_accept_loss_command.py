"""``offsets accept-loss``: an operator decides that views may continue without deletions that their topic dropped."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest
from kafka import KafkaAdminClient
from kafka import TopicPartition as KafkaTopicPartition

from dancerank.processes import Processes
from dancerank.topics import create_topics
from ranking.pools.service.store import POOLS_VIEW
from ranking.scores.store import SCORES_VIEW
from ranking.views.accepted_losses import AcceptedLosses
from ranking.views.applied_offsets import ViewPositions
from schemas.codec import encode
from schemas.events import ClipDeleted
from schemas.ports import OutgoingRecord, TopicPartition
from tests.dancerank.offsets_desk import OffsetsDesk, filled
from tests.ranking.databases import migrated
from tests.waiting import wait_until, watching
from transport.connection import KafkaConnection, open_client
from transport.kafka_sink import KafkaSink

pytestmark = pytest.mark.kafka

DROPPED = 4


class Desk(OffsetsDesk):
    """With a topic of deletions, of which the broker drops the first."""

    @property
    def topic(self) -> str:
        return self.settings.ranking.deletions_topic

    @property
    def at(self) -> TopicPartition:
        return filled(self.topic)

    def decide(self, *options: str, answer: str | None = None) -> tuple[int, str]:
        return self.run("accept-loss", *options, answer=answer)

    def delete(self, clips: int) -> None:
        create_topics(self.settings, self.connection)
        with closing(KafkaSink(self.connection)) as sink:
            for number in range(clips):
                event = ClipDeleted(clip_id=f"c-{number}", reason="asked for")
                sink.send(OutgoingRecord(self.topic, b"k", encode(event)))
            sink.flush(10.0)

    def drop(self, before: int) -> None:
        """As retention does."""
        admin, _ = open_client(KafkaAdminClient, self.connection)
        with closing(admin):
            admin.delete_records({KafkaTopicPartition(*self.at): before})

    def accepted(self) -> dict[TopicPartition, int]:
        with migrated(self.settings.ranking.database_url) as database:
            return dict(AcceptedLosses(database).of([self.at, TopicPartition(self.topic, 0)]))


@pytest.fixture
def desk(
    tmp_path: Path, kafka_connection: KafkaConnection, fresh_name: Callable[[str], str], monkeypatch: pytest.MonkeyPatch
) -> Desk:
    return Desk.made(tmp_path, kafka_connection, fresh_name, monkeypatch)


def test_where_nothing_was_dropped_there_is_nothing_to_accept(desk: Desk) -> None:
    desk.delete(3)
    desk.store(SCORES_VIEW, {desk.at: 1})
    code, output = desk.decide("--yes")
    assert code == 0
    assert f"Nothing was dropped from {desk.topic} that is not accepted already." in output
    assert desk.accepted() == {}


@pytest.mark.parametrize("answer", ["n\n", "\n", ""], ids=["no", "enter", "end of input"])
def test_what_was_dropped_is_shown_and_nothing_is_accepted_without_a_yes(desk: Desk, answer: str) -> None:
    desk.delete(6)
    desk.store(SCORES_VIEW, {desk.at: 1})
    desk.drop(DROPPED)
    code, output = desk.decide(answer=answer)
    assert code == 1
    assert "│ topic │ partition │ first │ rankings at │ pools at │ accepted before │" in output.replace("┃", "│")
    assert f"│ {desk.topic} │ 1 │ {DROPPED} │ 1 │ – │ – │" in output
    assert "Continue without them?" in output
    assert desk.accepted() == {}


@pytest.mark.parametrize(("options", "answer"), [([], "y\n"), (["--yes"], None), (["-y"], None)])
def test_a_yes_is_stored_for_every_process_and_logged(
    desk: Desk, options: list[str], answer: str | None, capfd: pytest.CaptureFixture[str]
) -> None:
    desk.delete(6)
    desk.store(SCORES_VIEW, {desk.at: 1})
    desk.store(POOLS_VIEW, {desk.at: 2})
    desk.drop(DROPPED)
    code, output = desk.decide(*options, answer=answer)
    assert code == 0
    assert f"│ {desk.topic} │ 1 │ {DROPPED} │ 1 │ 2 │ – │" in output
    assert desk.accepted() == {desk.at: DROPPED}
    logged = f"deletions before offset {DROPPED} of {desk.topic}[1] were accepted as lost, in sqlite:///"
    assert logged in output + capfd.readouterr().err
    assert "Nothing was dropped" in desk.decide("--yes")[1]


def test_what_is_dropped_after_a_decision_takes_another_one(desk: Desk) -> None:
    desk.delete(6)
    desk.store(SCORES_VIEW, {desk.at: 1})
    desk.drop(DROPPED)
    assert desk.decide("--yes")[0] == 0
    desk.drop(DROPPED + 1)
    code, output = desk.decide("--yes")
    assert code == 0
    assert f"│ {desk.topic} │ 1 │ {DROPPED + 1} │ 1 │ – │ {DROPPED} │" in output
    assert desk.accepted() == {desk.at: DROPPED + 1}


def test_a_ranker_that_waits_for_the_decision_continues_once_it_is_made(desk: Desk) -> None:
    desk.delete(6)
    desk.store(SCORES_VIEW, {desk.at: 1})
    desk.drop(DROPPED)
    processes, stop = Processes(desk.settings), threading.Event()

    def is_undecided() -> bool:
        return any("deletions_lost" in each.sentence for each in processes.state().reasons)

    def positions() -> int:
        with migrated(desk.settings.ranking.database_url) as database:
            return ViewPositions(database).of(SCORES_VIEW, [desk.at])[desk.at]

    with processes.ranker() as loop, ThreadPoolExecutor(1) as thread:
        ranking = thread.submit(loop.run, stop)
        try:
            wait_until(is_undecided, watching(lambda: ranking.done() and ranking.result()), what="it did not wait")
            assert positions() == 1
            assert desk.decide("--yes")[0] == 0
            wait_until(lambda: positions() == 6, what="it did not continue", progress=positions)
            wait_until(lambda: processes.state().ready, what="it was not ready")
        finally:
            stop.set()
        ranking.result()


@pytest.mark.parametrize(
    ("content", "refusal"),
    [(None, "view.db does not exist"), (b"", "view.db is empty")],
    ids=["no file", "no tables"],
)
def test_a_decision_needs_a_database_of_the_views(desk: Desk, content: bytes | None, refusal: str) -> None:
    desk.delete(6)
    desk.drop(DROPPED)
    file = Path(desk.settings.ranking.database_url.removeprefix("sqlite:///"))
    if content is not None:
        file.write_bytes(content)
    code, output = desk.decide("--yes")
    assert code == 1
    assert "no rankings in sqlite:///" in output
    assert refusal in output
    assert file.exists() == (content is not None)


def test_a_topic_that_does_not_exist_is_not_reported_as_whole(desk: Desk) -> None:
    with migrated(desk.settings.ranking.database_url):
        code, output = desk.decide("--yes")
    assert code == 1
    assert f"there is no topic {desk.topic}" in output
