"""Uploads that retention removed before they were scored are counted; the streamer scores what is left."""

import pytest

from schemas.bundle import Bundle
from schemas.ports import TopicPartition
from tests.streaming import UPLOADS, Everything, Log, process, quick_settings, running, uploads, wait_until


class Lost(Everything):
    def records_lost(self, partition: TopicPartition, records: int) -> None:
        self._add(("lost", partition), records)


@pytest.mark.tried(
    kind="positions before the log's beginning",
    given="uploads that retention dropped while the streamer was down",
    outcome="counted and logged; the ones that are left are scored",
)
def test_uploads_that_were_dropped_while_it_was_down_are_counted_and_the_rest_is_scored(
    bundle: Bundle, caplog: pytest.LogCaptureFixture
) -> None:
    log, lost, at = Log(partitions=1), Lost(), TopicPartition(UPLOADS, 0)
    log.upload(*uploads(12)[:3])
    process(log, log.streamer(bundle, quick_settings()), 3)
    log.upload(*uploads(12)[3:])
    log.broker.delete_records(at, 8)
    process(log, log.streamer(bundle, quick_settings(), observer=lost), 7)
    assert sorted(clip.clip_id for clip in log.scored()) == sorted(f"clip-{n}" for n in (0, 1, 2, 8, 9, 10, 11))
    assert lost.counts["lost", at] == 5
    assert f"{UPLOADS}[0] begins at offset 8, but the next one to read is 3" in caplog.text
    assert "Send the uploads of that time again, and raise retention.ms" in caplog.text
    assert log.committed() == {at: 12}


def test_uploads_that_were_dropped_while_it_read_others_lose_nothing_that_was_read(bundle: Bundle) -> None:
    log, lost, at = Log(partitions=1), Lost(), TopicPartition(UPLOADS, 0)
    log.upload(*uploads(4))
    streamer = log.streamer(bundle, quick_settings(), observer=lost)
    with running(streamer):
        wait_until(lambda: log.settled() == 4)
        streamer._source.pause()
        log.upload(*uploads(10)[4:])
        log.broker.delete_records(at, 6)
        streamer._source.resume()
        wait_until(lambda: log.settled() == 8)
    assert lost.counts["lost", at] == 2
    assert len(log.scored()) == 8
