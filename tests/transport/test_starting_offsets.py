"""Where reading begins, given positions and what the log still holds; nothing is passed over without being named."""

import pytest

from schemas.errors import PositionBeyondLog
from schemas.ports import LogGap, TopicPartition
from transport.starting_offsets import Start, starting_offsets

AT = TopicPartition("clips", 3)


def start(*, stored: int | None = None, committed: int | None = None, kept: tuple[int, int] = (10, 20)) -> Start:
    by_partition = [{} if position is None else {AT: position} for position in (stored, committed)]
    return starting_offsets(*by_partition, {AT: kept[0]}, {AT: kept[1]}, "Kafka at broker:9092")


def test_without_a_position_a_partition_begins_at_its_beginning_and_misses_nothing() -> None:
    assert start() == Start({AT: 10}, [])


@pytest.mark.parametrize("position", [10, 15, 20])
def test_a_position_within_the_log_is_where_it_continues(position: int) -> None:
    assert start(stored=position) == start(committed=position) == Start({AT: position}, [])


def test_stored_positions_win_over_committed_ones() -> None:
    assert start(stored=12, committed=18) == Start({AT: 12}, [])
    assert start(stored=3, committed=18) == Start({AT: 10}, [LogGap(AT, 3, 10)])


@pytest.mark.parametrize("where", ["stored", "committed"])
def test_a_position_before_the_beginning_is_a_gap_of_as_many_records_at_most(where: str) -> None:
    found = start(**{where: 4})
    assert found == Start({AT: 10}, [LogGap(AT, 4, 10)])
    assert found.gaps[0].records == 6
    assert str(found.gaps[0]) == (
        "clips[3] begins at offset 10, but the next one to read is 4: up to 6 records were dropped before they were "
        "read"
    )


def test_a_log_of_which_nothing_is_left_is_a_gap_up_to_its_end() -> None:
    assert start(committed=4, kept=(20, 20)) == Start({AT: 20}, [LogGap(AT, 4, 20)])


def test_a_stored_position_beyond_the_end_is_refused() -> None:
    with pytest.raises(PositionBeyondLog, match=r"clips\[3\] ends at offset 20.*is 21.*broker:9092.*delete the view"):
        start(stored=21)


def test_a_committed_position_beyond_the_end_is_logged_and_all_that_is_kept_is_read(
    caplog: pytest.LogCaptureFixture,
) -> None:
    assert start(committed=21) == Start({AT: 10}, [])
    assert "clips[3] ends at offset 20, but the committed position is 21" in caplog.text
    assert "read again from offset 10" in caplog.text
