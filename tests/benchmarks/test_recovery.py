"""The benchmark of recovery: its clips, what it prints, and a short run on real servers."""

import itertools
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from benchmarks import recovery
from benchmarks.recovery import Recovery, Times
from dancerank.settings import Settings
from schemas.codec import decode, encode
from schemas.events import ClipScored, embedding_array
from schemas.modalities import FUSED_MODALITIES
from tests.servers.kafka import KafkaServer, NamedKafka
from transport.connection import KafkaConnection


def found(**changes: Any) -> Recovery:
    index, sql = Times([1.0, 3.0, 2.0], [8.0, 4.0, 5.0]), Times([1.5], [40.0])
    fields: dict[str, Any] = {"clips": 20_000, "tail": 1000, "snapshot_bytes": 21_600_000, "index": index, "sql": sql}
    return Recovery(**(fields | {"is_equal": True} | changes))


def test_its_clips_are_distinct_valid_and_the_same_each_time() -> None:
    clips = list(recovery.scored_clips(200, 16))
    assert len({clip.clip_id for clip in clips}) == 200
    assert len({clip.fused_score for clip in clips}) == 200
    assert len({clip.challenge_id for clip in clips}) == recovery.CHALLENGES
    for clip in clips:
        assert decode(encode(clip), ClipScored) == clip
        assert [len(embedding_array(clip.modalities[modality])) for modality in FUSED_MODALITIES] == [16] * 4
        assert sum(result.attention for result in clip.modalities.values()) == pytest.approx(1.0)
    assert clips == list(recovery.scored_clips(200, 16))


def test_ratios_are_those_of_the_medians() -> None:
    assert Times([1.0, 3.0, 2.0], [8.0, 4.0, 5.0]).ratio == 2.5


@pytest.mark.parametrize(("is_equal", "verdict"), [(True, "equal"), (False, "DIFFER")])
def test_seconds_ratios_speed_and_the_hashes_are_printed(
    is_equal: bool, verdict: str, capsys: pytest.CaptureFixture[str]
) -> None:
    recovery.report(Console(width=200), found(is_equal=is_equal))
    printed = capsys.readouterr().out
    for part in ("20,000", "1,000", "2.00 s (1.00–3.00)", "5.00 s (4.00–8.00)", "2.5", "4,000", "1.50 s", "40.00 s",
                 "26.7", "500", "21.6 MB", f"content hashes {verdict}"):  # fmt: skip
        assert part in printed
    figures = json.loads(json.dumps(recovery.figures(found())))
    assert (figures["index"]["ratio"], figures["sql"]["stored_s"], figures["is_equal"]) == (2.5, [1.5], True)


@pytest.mark.parametrize(
    ("option", "value", "error"),
    [("--tail", "1", "not a share between 0 and 1"), ("--clips", "1", "at least 2"), ("--rounds", "0", "at least 1")],
)
def test_what_cannot_be_measured_is_refused(
    option: str, value: str, error: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["recovery", option, value])
    with pytest.raises(SystemExit):
        recovery.parse()
    assert error in capsys.readouterr().err


@pytest.mark.kafka
@pytest.mark.postgresql
@pytest.mark.slow
def test_a_short_run_leads_to_the_same_content_each_way(
    kafka_server: KafkaServer | NamedKafka,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(recovery, "OUT", tmp_path)
    options = ["--clips", "300", "--tail", "0.1", "--rounds", "1", "--width", "8", "--kafka", kafka_server.address]
    monkeypatch.setattr("sys.argv", ["recovery", *options])
    recovery.main()
    assert "content hashes equal" in capsys.readouterr().out
    figures = json.loads((tmp_path / "recovery.json").read_text())
    assert (figures["clips"], figures["tail"]) == (300, 30)
    assert all(len(figures[view][way]) == 1 for view in ("index", "sql") for way in ("stored_s", "nothing_s"))


class NoSink:
    """Takes records and keeps none."""

    def __init__(self, connection: object) -> None:
        self.send = self.flush = lambda _: None

    def close(self) -> None:
        """Nothing is open."""


@pytest.mark.parametrize("differing", [None, "index_life", "sql_life"])
def test_content_that_differs_in_one_way_of_either_view_is_reported(
    differing: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lives(contents: Iterator[str]) -> Callable[[Settings, object], tuple[float, str]]:
        def life(settings: Settings, connection: object) -> tuple[float, str]:
            settings.ranking.index_folder.mkdir(exist_ok=True)
            return 1.0, next(contents)

        return life

    for name in ("index_life", "sql_life"):
        contents = map(str, itertools.count()) if name == differing else itertools.repeat("the same")
        monkeypatch.setattr(recovery, name, lives(contents))
    monkeypatch.setattr(recovery, "KafkaSink", NoSink)
    monkeypatch.setattr(recovery, "create_topics", lambda *_: None)
    reported: list[tuple[str, int, int]] = []
    measured = recovery.measure(
        tmp_path,
        KafkaConnection(servers=("nowhere:1",)),
        lambda: "sqlite://",
        lambda *step: reported.append(step),
        clips=20,
        tail=0.001,
        rounds=2,
    )
    assert measured.is_equal == (differing is None)
    assert (measured.tail, measured.index, measured.sql) == (1, Times([1.0] * 2, [1.0] * 2), Times([1.0], [1.0]))
    by_step = {what: [(done, total) for each, done, total in reported if each == what] for what, _, _ in reported}
    assert all(steps[-1][0] == steps[-1][1] for steps in by_step.values())  # each bar ends full


def test_an_unequal_outcome_ends_it_with_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class NoServer:
        new_database = stop = staticmethod(lambda: None)

    monkeypatch.setattr(recovery, "OUT", tmp_path)
    monkeypatch.setattr(recovery, "PostgresqlServer", NoServer)
    monkeypatch.setattr(recovery, "measure", lambda *_, **__: found(is_equal=False))
    monkeypatch.setattr("sys.argv", ["recovery", "--kafka", "nowhere:1"])
    with pytest.raises(SystemExit) as ended:
        recovery.main()
    assert ended.value.code == 1
    assert not json.loads((tmp_path / "recovery.json").read_text())["is_equal"]
