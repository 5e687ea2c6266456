"""Policies are compared for those who ask, one comparison at a time, within a time, in a process of its own."""

import re
import subprocess
import threading
import time
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dancerank.comparing import Comparisons
from dancerank.comparing.child import MOST_REACTIONS, answer, said
from dancerank.comparing.messages import Task
from dancerank.model_answers import model_reader
from dancerank.policies import read_policy, shipped_policy
from dancerank.settings import Settings, shipped_bundle
from dancerank.simulation.comparison import compare
from dancerank.simulation.synthetic import SyntheticWorlds
from ranking.pools.service.reading import PoolReader
from ranking.pools.service.settings import PoolSettings
from ranking.scores.store import ScoreStore
from ranking.serving.api import create_app
from ranking.serving.service import RankingService
from schemas.bundle import read_bundle
from schemas.clock import SystemClock
from schemas.errors import NotOffered, QueryError, TooManyAtOnce
from schemas.questions.pool_comparisons import ComparisonQuestion
from tests.ranking.databases import migrated
from tests.ranking.pools.examples import POLICY
from tests.ranking.pools.rows import Pools
from tests.ranking.serving.test_api import Client
from tests.waiting import wait_until

TEXT = shipped_policy().read_text()
OTHER = TEXT.replace("four-tiers-2", "less").replace("capacity = 6_000", "capacity = 3_000")
QUESTION = ComparisonQuestion(policies=(TEXT, OTHER), seeds=(1, 2), clips=60, days=2.0)


@pytest.fixture
def comparisons() -> Iterator[Comparisons]:
    with closing(Comparisons(Settings())) as made:
        yield made


def test_the_figures_are_those_of_the_simulator() -> None:
    found = answer(Task(QUESTION, str(shipped_bundle()), "onnxruntime", ["cpu"]))
    worlds = SyntheticWorlds(read_bundle(shipped_bundle()), 60, 2.0)
    (outcomes,) = compare([worlds.world(seed) for seed in (1, 2)], [read_policy(shipped_policy())], lambda *_: None)
    policy = found.policies[0]
    assert [each.version for each in found.policies] == ["four-tiers-2", "less"]
    for measured in policy.allocations:
        each = [outcome.allocations[measured.allocation].measures for outcome in outcomes]
        assert measured.regret == pytest.approx(np.mean([measures.regret for measures in each]))
        assert measured.gini == pytest.approx(np.mean([measures.gini for measures in each]))
        assert (len(measured.lifts), len(measured.reactions)) == (20, len(policy.days))
        assert measured.reactions[0] == 0 or policy.days[0] == 0
    oracle = next(each for each in policy.allocations if each.allocation == "oracle")
    assert (oracle.regret, oracle.reactions[-1]) == (0, pytest.approx(1))
    for tier in policy.tiers:
        assert sum(tier.by_quarter_day) >= tier.granted
    assert sum(policy.rules.values()) == np.mean([sum(outcome.rules.values()) for outcome in outcomes])


def test_a_comparison_is_made_in_a_process_of_its_own(comparisons: Comparisons) -> None:
    question = ComparisonQuestion(policies=(TEXT,), clips=100, days=2.0)
    found = comparisons.compare(question)
    assert (found.seeds, [each.version for each in found.policies]) == ([1], ["four-tiers-2"])
    assert found.policies[0].granted > 0


@pytest.mark.parametrize(
    ("policies", "field", "problem"),
    [
        (("version = ",), "policies.0", r"policies\.0, line 1: not valid TOML"),
        ((TEXT, TEXT.replace("gate = 0.08", "gate = 8")), "policies.1", r"policies\.1, line \d+: tiers\[1\]\.gate"),
        ((TEXT, TEXT), "policies.1", "both policies are called four-tiers-2"),
    ],
)
def test_a_broken_policy_is_named_with_its_line(policies: tuple[str, ...], field: str, problem: str) -> None:
    task = Task(ComparisonQuestion(policies=policies), str(shipped_bundle()), "onnxruntime", ["cpu"])
    refused = said(task).failed
    assert refused is not None
    assert re.search(problem, refused.message)
    assert (refused.is_asked_for, refused.field) == (True, field)


@pytest.mark.tried(
    kind="legal and absurd values",
    given="a policy of 10,000 empty tiers, in which to find the wrong line takes minutes",
    outcome="422 once the time of a comparison is over; other requests are answered meanwhile",
)
def test_a_policy_that_takes_minutes_to_read_is_read_where_nobody_waits_for_it() -> None:
    made = Comparisons(Settings(pools=PoolSettings(comparison_timeout_s=1)))
    before_s = time.thread_time()
    with pytest.raises(QueryError, match=r"longer than 1 s.*shorter policies"):
        made.compare(ComparisonQuestion(policies=("[[tiers]]\n" * 10_000,)))
    assert time.thread_time() - before_s < 0.5, "processor time of the process that answers requests"


def test_a_policy_that_grants_nothing_is_the_askers_fault_and_a_bundle_that_is_absent_is_not(tmp_path: Any) -> None:
    none = TEXT.replace("share = 0.2", "share = 0.0").replace("fewest_clips = 20", "fewest_clips = 100_000")
    question = ComparisonQuestion(policies=(none,), clips=100, days=2.0)
    blamed = said(Task(question, str(shipped_bundle()), "onnxruntime", ["cpu"])).failed
    assert blamed is not None
    assert "granted no impressions" in blamed.message
    assert blamed.is_asked_for
    absent = said(Task(question, str(tmp_path), "onnxruntime", ["cpu"])).failed
    assert absent is not None
    assert "no readable manifest" in absent.message
    assert not absent.is_asked_for


@pytest.mark.tried(
    kind="legal and absurd values",
    given="a comparison of a policy whose tiers grant a thousand million times as many impressions",
    outcome="422 that says to divide them, before memory is taken for their reactions",
)
def test_a_policy_whose_reactions_no_memory_holds_is_refused_with_what_to_change() -> None:
    huge = re.sub(r"((?:exposures|capacity) = [\d_]+)", r"\1_000_000_000", TEXT)
    question = ComparisonQuestion(policies=(huge,), clips=100, days=2.0)
    tracemalloc.start()
    try:
        refused = said(Task(question, str(shipped_bundle()), "onnxruntime", ["cpu"])).failed
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert refused is not None
    assert refused.is_asked_for
    assert f"more than {MOST_REACTIONS} reactions; divide the exposures" in refused.message
    assert peak_bytes < 1_000_000_000


def test_what_this_machine_lacks_is_in_the_log_and_not_in_the_answer(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with closing(Comparisons(Settings(bundle=tmp_path))) as made, pytest.raises(NotOffered) as refused:
        made.compare(ComparisonQuestion(policies=(TEXT,)))
    with migrated("sqlite://") as database:
        card = model_reader(Settings(bundle=tmp_path), None, database, SystemClock()).answer(None, None, 0)
    assert str(tmp_path) not in f"{refused.value.message} {card.card_problem}"
    assert caplog.text.count(f"{tmp_path / 'bundle.json'}: no readable manifest") == 2


def slow(monkeypatch: pytest.MonkeyPatch, then: Callable[[], object] = lambda: None) -> list[subprocess.Popen[Any]]:
    """Children that never end by themselves; ``then`` is called once one has started."""
    started: list[subprocess.Popen[Any]] = []
    popen = subprocess.Popen

    def start(_: list[str], **options: Any) -> subprocess.Popen[Any]:
        started.append(popen(["sleep", "600"], **options))
        then()
        return started[-1]

    monkeypatch.setattr("dancerank.comparing.comparisons.subprocess.Popen", start)
    return started


def test_a_comparison_that_takes_too_long_is_ended_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    made = Comparisons(Settings(pools=PoolSettings(comparison_timeout_s=1)))
    started = slow(monkeypatch)
    with pytest.raises(QueryError, match=r"longer than 1 s.*pools\.comparison_timeout_s"):
        made.compare(QUESTION)
    assert started[0].poll() is not None


def test_one_comparison_is_made_at_a_time_and_closing_ends_it(
    comparisons: Comparisons, monkeypatch: pytest.MonkeyPatch
) -> None:
    started = slow(monkeypatch)
    refused: list[type[Exception]] = []

    def ask() -> None:
        try:
            comparisons.compare(QUESTION)
        except TooManyAtOnce as error:
            refused.append(type(error))

    first = threading.Thread(target=ask)
    first.start()
    wait_until(lambda: started and comparisons._child is not None)
    with pytest.raises(TooManyAtOnce, match="another comparison"):
        comparisons.compare(QUESTION)
    comparisons.close()
    first.join()
    assert (len(started), refused, started[0].poll() is not None) == (1, [TooManyAtOnce], True)


def test_the_policies_to_begin_with_are_the_active_one_and_those_that_ship(
    tmp_path: Any, comparisons: Comparisons
) -> None:
    with migrated(f"sqlite:///{tmp_path / 'pools.db'}") as database:
        service = RankingService(ScoreStore(database), pools=PoolReader(database, SystemClock()))
        client = Client(create_app(service, lambda: ("text/plain", b""), comparisons=comparisons))
        assert [each["name"] for each in client.get("/v1/pools/policies").json()] == ["four-tiers"]
        Pools(database, POLICY).write()
        known = client.get("/v1/pools/policies").json()
        assert [(each["name"], each["version"]) for each in known] == [("active", "p1"), ("four-tiers", "four-tiers-2")]
        asked = {"policies": ["four-tiers", "version = "]}
        refused = client.request("POST", "/v1/pools/comparison", json=asked)
        assert (refused.status_code, refused.json()["error"]["parameter"]) == (422, "policies.1")
        for wrong, parameter in (
            ({"clips": 99}, "clips"),
            ({"seeds": []}, "seeds"),
            ({"seeds": [True]}, "seeds.0"),
            ({"policies": []}, "policies"),
        ):
            refused = client.request("POST", "/v1/pools/comparison", json=asked | wrong)
            assert (refused.status_code, refused.json()["error"]["parameter"]) == (422, parameter)
        without = Client(create_app(service, lambda: ("text/plain", b"")))
        assert without.request("POST", "/v1/pools/comparison", json=asked).status_code == 501
