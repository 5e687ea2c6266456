"""A view that reads the log after its start says how far it has come."""

import logging

import msgspec
import pytest

from ranking.views.catching_up import CatchingUp
from schemas.clock import ManualClock
from schemas.ports import TopicPartition
from tests.ranking.examples import scored_clip
from tests.ranking.views import loops
from tests.ranking.views.loops import Setting, drain, index_view
from transport.memory import MemorySource

ENDS = {TopicPartition("log", 0): 100, TopicPartition("log", 1): 50}


@pytest.mark.tried(
    kind="waiting in the dark",
    given="rank or serve, with a long log to read at the start",
    outcome="a line at once and every ten seconds says how many records are left",
)
def test_a_line_at_once_and_every_ten_seconds_says_what_is_left(caplog: pytest.LogCaptureFixture) -> None:
    clock = ManualClock()
    with caplog.at_level(logging.INFO):
        catching_up = CatchingUp("IndexView", clock)
        for second in range(25):
            catching_up.report(ENDS, {TopicPartition("log", 0): second})
            clock.advance(1)
        catching_up.report({}, {})
        catching_up.report({}, {})
    assert caplog.messages == [
        "IndexView reads the log: 150 records in 2 partitions are left",
        "IndexView reads the log: 140 records in 2 partitions are left",
        "IndexView reads the log: 130 records in 2 partitions are left",
        "IndexView has read what was in the log, after 25 s",
    ]


def test_a_loop_reports_until_it_has_caught_up(
    setting: Setting, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loops, "SETTINGS", msgspec.structs.replace(loops.SETTINGS, max_records=7))
    setting.send(*[scored_clip(f"c{n}") for n in range(40)])
    with caplog.at_level(logging.INFO):
        loop = setting.loop(index_view(), group=None)
        drain(loop)
    lines = [message for message in caplog.messages if message.startswith("IndexView")]
    assert loop.caught_up
    assert "are left" in lines[0]
    assert "has read what was in the log" in lines[-1]


def test_a_view_with_nothing_to_read_says_nothing(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        CatchingUp("IndexView", ManualClock()).report({}, {})
    assert caplog.messages == []


@pytest.mark.tried(
    kind="readiness by memory",
    given="a view that starts while a partition of its log has no leader",
    outcome="what the others hold is read; it has not caught up before that partition's end is known and reached",
)
def test_a_view_has_not_caught_up_while_a_partition_has_no_leader(
    setting: Setting, monkeypatch: pytest.MonkeyPatch
) -> None:
    ends = MemorySource.end_offsets
    monkeypatch.setattr(MemorySource, "end_offsets", lambda source: dict(sorted(ends(source).items())[1:]))
    setting.send(*[scored_clip(f"c{n}") for n in range(40)])
    view = index_view()
    loop = setting.loop(view, group=None)
    drain(loop)
    assert (view.clips(), loop.caught_up) == (40, False)
    monkeypatch.setattr(MemorySource, "end_offsets", ends)
    drain(loop)
    assert loop.caught_up
