"""What a loop has said of its progress stays while it stands still, and is forgotten with what it gives up."""

from schemas.ports import Record, TopicPartition
from transport.reading_progress import ReadingProgress

FIRST, SECOND = TopicPartition("clips", 0), TopicPartition("clips", 1)
BOTH = (FIRST, SECOND)


def test_a_partition_that_is_held_and_not_mentioned_is_where_it_was() -> None:
    progress = ReadingProgress()
    progress.assigned(BOTH)
    progress.done({FIRST: 3, SECOND: 5})
    progress.done({SECOND: 6})
    assert (progress.position(FIRST), progress.position(SECOND)) == (3, 6)


def test_what_is_given_up_is_forgotten() -> None:
    progress = ReadingProgress()
    progress.assigned([FIRST])
    progress.assigned([SECOND])
    progress.read([Record(*FIRST, 0, 1000, None, b"")])
    progress.done({FIRST: 3, SECOND: 5})
    assert progress.last_read_ms(FIRST) == 1000
    progress.revoked([FIRST])
    progress.done({FIRST: 4})
    assert (FIRST in progress.held, progress.position(FIRST), progress.last_read_ms(FIRST)) == (False, None, None)
    progress.released()
    assert (SECOND in progress.held, progress.position(SECOND)) == (False, None)
