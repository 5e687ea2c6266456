"""The benchmark of the decisions' latency: what it sends, what it reckons, and a short run on real servers."""

import itertools
import json
from pathlib import Path

import pytest
from rich.console import Console

from benchmarks import figures, pool_latency
from benchmarks.workloads.pool_load import POLICY, SCORED_SHARE, Load
from dancerank.settings import Settings
from ranking.pools.ledger import PoolLedger
from ranking.pools.policy_file import parse_policy
from ranking.pools.state import Engaged, Rated
from schemas.codec import decode
from schemas.events import ClipScored, EngagementObserved
from tests.servers.kafka import KafkaServer, NamedKafka


def test_every_event_leads_to_the_one_decision_that_it_is_known_by() -> None:
    load = Load(Settings(), 20)
    ledger = PoolLedger(parse_policy(POLICY, "policy"))
    scored = 0
    for at_ms, (key, record) in enumerate(itertools.chain(load.known(), itertools.islice(load.mixture(), 1000))):
        assert record.value is not None
        event = decode(record.value, ClipScored, EngagementObserved)
        if isinstance(event, ClipScored):
            scored += 1
            made = ledger.handle(
                Rated(clip_id=event.clip_id, dancer_id=event.dancer_id, challenge_id=event.challenge_id,
                      percentiles=event.scores(), challenge_clips=1, at_ms=at_ms)
            )  # fmt: skip
        else:
            made = ledger.handle(
                Engaged(clip_id=event.clip_id, observed_at_ms=event.observed_at_ms, reactions=event.likes,
                        views=event.views, at_ms=event.observed_at_ms)
            )  # fmt: skip
        assert [(decision.clip_id, decision.number) for decision in made] == [key]
        assert record.key == key[0].encode()
    assert scored == pytest.approx(20 + SCORED_SHARE * 1000, abs=25)


def test_latencies_are_those_after_the_warm_up() -> None:
    sent = {("c", number): 1_000_000_000 + number for number in range(5)}
    read = {key: at_ns + 2_000_000 for key, at_ns in sent.items()}
    assert pool_latency.latencies(sent, read, 2) == {("c", number): 2.0 for number in (2, 3, 4)}


def test_a_summary_has_percentiles_and_the_greatest() -> None:
    found = pool_latency.summary([float(value) for value in range(1, 102)])
    assert found == {"p50": 51.0, "p95": 96.0, "p99": 100.0, "max": 101.0, "events": 101}


def test_stages_are_means_between_two_looks() -> None:
    before, after = {"apply": (1.0, 10.0), "rankings": (0.0, 0.0)}, {"apply": (1.5, 30.0), "rankings": (0.0, 0.0)}
    found = pool_latency.means(before, after)
    assert found == {"apply_ms": 25.0, "apply_times": 20.0, "rankings_ms": 0.0, "rankings_times": 0.0}


@pytest.mark.parametrize(("p99", "verdict"), [(50.0, "(met)"), (50.1, "(missed)")])
def test_the_bar_is_named_beside_what_was_reached(p99: float, verdict: str, capsys: pytest.CaptureFixture[str]) -> None:
    one = {"p50": 1.0, "p95": 2.0, "p99": p99, "max": 99.0, "events": 1200}
    stages = {f"{stage}_{what}": 1.0 for stage in pool_latency.STAGES for what in ("ms", "times")}
    report = {
        "rate": 500.0, "seconds": 30.0, "workers": 1, "handled_per_s": 499.6, "ratio_to_bare": 3.25, "stages": stages,
        "cores": {"rank": 0.5}, "latency_ms": dict.fromkeys(("all decisions", pool_latency.BARE), one),
    }  # fmt: skip
    pool_latency.show(Console(width=200), report)
    printed = capsys.readouterr().out
    assert verdict in printed
    assert "wanted: at most 50 ms" in printed
    assert "3.2 times the bare copy's" in printed
    assert "1,200" in printed


@pytest.mark.kafka
@pytest.mark.postgresql
@pytest.mark.slow
def test_a_short_run_tells_of_every_event(
    kafka_server: KafkaServer | NamedKafka,
    postgresql_url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(figures, "OUT", tmp_path)
    monkeypatch.setattr(pool_latency, "WARM_UP_S", 0.5)
    monkeypatch.setattr(pool_latency, "KNOWN_CLIPS", 50)
    servers = ["--kafka", kafka_server.address, "--database", postgresql_url]
    monkeypatch.setattr("sys.argv", ["pool_latency", "--seconds", "2", "--rate", "50", *servers])
    pool_latency.main()
    report = json.loads((tmp_path / "pool-latency.json").read_text())
    assert report["latency_ms"]["all decisions"]["events"] == report["latency_ms"][pool_latency.BARE]["events"] == 100
    assert 0 < report["latency_ms"][pool_latency.ENGAGED]["p50"] < 10_000
    assert report["stages"]["apply_times"] > 0
    first = report["figures"][0]
    assert (first["name"], first["bar"]) == ("all decisions, p99", 50.0)
    assert first["value"] == report["latency_ms"]["all decisions"]["p99"]
    assert "wanted: at most 50 ms" in capsys.readouterr().out
