import inspect
import json
import subprocess
import urllib.request
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
import yaml

from dancerank.listening import metrics
from exporters.prometheus import PrometheusObserver
from exporters.prometheus.definitions import ALL_CHALLENGES
from schemas.identifiers import Identifier
from schemas.modalities import Dimension, Modality
from schemas.observation import Agreement, Drift, Observer
from schemas.questions.readiness import ProcessState
from tests.exporters.prometheus.reports import AT, DRIFT, REPORTS, WAITS, Labels, observed
from tests.servers import free_port
from tests.servers.prometheus import PrometheusServer
from tests.waiting import pause, wait_until

DEPLOY = Path(__file__).parents[3] / "deploy"
RULES = DEPLOY / "prometheus" / "dancerank-rules.yml"


@pytest.mark.parametrize(
    ("method", "report", "metric", "labels", "value"), REPORTS, ids=[f"{r[0]}-{r[2]}" for r in REPORTS]
)
def test_a_report_moves_its_metric(
    method: str, report: Callable[[Observer], None], metric: str, labels: Labels, value: float
) -> None:
    observer = PrometheusObserver()
    report(observer)
    assert observer.registry.get_sample_value(metric, labels) == pytest.approx(value)


def test_every_report_has_a_metric() -> None:
    methods = {name for name, _ in inspect.getmembers(Observer, inspect.isfunction) if not name.startswith("_")}
    assert {report[0] for report in REPORTS} == methods
    assert methods <= vars(PrometheusObserver).keys()


def test_a_provider_that_is_no_longer_in_use_disappears() -> None:
    observer = PrometheusObserver()
    observer.provider_in_use(Modality.FACIAL, "CUDAExecutionProvider")
    observer.provider_in_use(Modality.FACIAL, "CPUExecutionProvider")
    body = observer.render()[1].decode()
    assert 'provider="CPUExecutionProvider"' in body
    assert "CUDA" not in body


def test_a_lag_that_is_unknown_is_absent_and_not_0() -> None:
    observer = PrometheusObserver()
    observer.lag(AT, 7, 1.5)
    observer.lag_unknown(AT)
    assert 'partition="' not in observer.render()[1].decode()


def test_readiness_is_asked_for_at_each_scrape_and_not_remembered() -> None:
    observer, states = PrometheusObserver(), [WAITS, ProcessState(ready=True, reasons=[], interrupted_s=0.0)]
    observer.watch("rank", lambda: states[0])
    assert observer.registry.get_sample_value("dancerank_ready", {"process": "rank"}) == 0
    states.pop(0)
    assert observer.registry.get_sample_value("dancerank_ready", {"process": "rank"}) == 1
    assert observer.registry.get_sample_value("dancerank_interrupted_seconds", {"process": "rank"}) == 0


def test_two_observers_share_nothing() -> None:
    first, second = PrometheusObserver(), PrometheusObserver()
    first.in_flight(3)
    assert second.registry.get_sample_value("dancerank_clips_in_flight") == 0


def test_the_number_of_series_does_not_grow_with_the_clips() -> None:
    observer = observed()
    before = len(observer.render()[1].splitlines())
    for number in range(500):
        observer.consumed("t", 1)
        observer.retrievable(number / 10)
        observer.stage_timed("inference", number / 100, Modality.FACIAL)
    assert len(observer.render()[1].splitlines()) == before


def test_challenges_that_are_no_longer_reported_disappear() -> None:
    observer = PrometheusObserver()
    for number in range(30):
        observer.agreement_measured([Agreement(f"ch-{number}", d, 0.5, 40) for d in Dimension])
    body = observer.render()[1].decode()
    assert {line.split('challenge="')[1].split('"')[0] for line in body.splitlines() if "challenge=" in line} == {
        "ch-29"
    }
    assert body.count("challenge=") == 2 * len(Dimension)
    observer.agreement_measured([])
    assert "challenge=" not in observer.render()[1].decode()


def test_drift_that_is_no_longer_reported_disappears() -> None:
    observer = PrometheusObserver()
    observer.drift_measured(DRIFT)
    observer.drift_measured(Drift({}, {}, {}, 3, 0))
    assert observer.registry.get_sample_value("dancerank_drift_score_psi", {"dimension": "scenic"}) is None
    assert observer.registry.get_sample_value("dancerank_drift_clips", {"sample": "reference"}) == 3


def test_no_challenge_can_have_the_label_of_the_mean_over_all() -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(ALL_CHALLENGES, Identifier)


@pytest.mark.prometheus
def test_promtool_accepts_the_metrics(promtool: str) -> None:
    body = observed().render()[1]
    # Those of the process and the platform have names that are not ours to choose.
    ours = b"".join(line for line in body.splitlines(keepends=True) if b"dancerank_" in line)
    checked = subprocess.run([promtool, "check", "metrics"], input=ours, capture_output=True, timeout=30, check=False)
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, b"", b"")


@pytest.mark.prometheus
def test_a_real_prometheus_scrapes_the_metrics_and_loads_the_rules(prometheus_binary: str) -> None:
    observer, port, ready = observed(), free_port(), ProcessState(ready=True, reasons=[], interrupted_s=0.0)
    configuration = yaml.safe_load((DEPLOY / "prometheus" / "prometheus.yml").read_text())
    configuration["global"]["scrape_interval"] = "1s"
    for job in configuration["scrape_configs"]:
        job["static_configs"] = [{"targets": [f"127.0.0.1:{port}"]}]
    with (
        metrics(observer, "rank", "127.0.0.1", port, "rank_metrics_port", lambda: ready),
        PrometheusServer(yaml.safe_dump(configuration), files={RULES.name: RULES.read_text()}) as server,
    ):
        found = awaited(server.url, 'dancerank_consumer_lag_seconds{job="dancerank-streamer"}')
        with urllib.request.urlopen(f"{server.url}/api/v1/rules", timeout=5) as response:
            rules = json.load(response)["data"]["groups"][0]["rules"]
    assert {sample["value"][1] for sample in found} == {"1.5"}
    assert {rule["name"] for rule in rules if rule["type"] == "alerting"} >= {
        "DancerankDeadLetters",
        "DancerankNoProgress",
    }


def awaited(url: str, expression: str) -> list[dict[str, list[str]]]:
    """What Prometheus has scraped, once it has."""
    found: list[dict[str, list[str]]] = []

    def ask() -> None:
        pause()
        query = urllib.request.quote(expression)
        with urllib.request.urlopen(f"{url}/api/v1/query?query={query}") as response:
            found.extend(json.load(response)["data"]["result"])

    wait_until(lambda: found, ask, what=f"{expression} was not scraped")
    return found
