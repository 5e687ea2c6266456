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
from schemas.events import Identifier
from schemas.modalities import Dimension, Modality
from schemas.observation import Agreement, Calibration, Drift, Observer, TierFilling
from schemas.ports import TopicPartition
from schemas.readiness import ProcessState, Reason, WaitsFor
from tests.servers import free_port
from tests.servers.prometheus import PrometheusServer
from tests.waiting import pause, wait_until

DEPLOY = Path(__file__).parents[3] / "deploy"
RULES = DEPLOY / "prometheus" / "dancerank-rules.yml"
AT = TopicPartition("clips.uploaded", 3)

AGREEMENTS = [Agreement("ch-1", Dimension.FUSED, 0.5, 40), Agreement(None, Dimension.FUSED, 0.25, 70)]
CALIBRATIONS = [Calibration(Dimension.FUSED, -0.1, 0.2)]
DRIFT = Drift({Dimension.SCENIC: 0.3}, {Modality.FACIAL: 0.04}, {Modality.FACIAL: 1.5}, 1000, 900)

WAITS = ProcessState(
    ready=False, reasons=[Reason(WaitsFor.DATABASE, "the database does not answer")], interrupted_s=42.0
)

Labels = dict[str, str]
REPORTS: list[tuple[str, Callable[[Observer], None], str, Labels, float]] = [
    ("consumed", lambda o: o.consumed("t", 5), "dancerank_records_consumed_total", {"topic": "t"}, 5),
    ("produced", lambda o: o.produced("t", 4), "dancerank_records_produced_total", {"topic": "t"}, 4),
    (
        "dead_lettered",
        lambda o: o.dead_lettered("t", "malformed_event"),
        "dancerank_records_dead_lettered_total",
        {"topic": "t", "reason": "malformed_event"},
        1,
    ),
    ("joints_filled", lambda o: o.joints_filled(0.25), "dancerank_filled_joints_ratio_sum", {}, 0.25),
    (
        "training_distance",
        lambda o: o.training_distance(Modality.FACIAL, 1.5),
        "dancerank_training_distance_ratio_sum",
        {"modality": "facial"},
        1.5,
    ),
    ("outside_training", lambda o: o.outside_training(), "dancerank_clips_outside_training_total", {}, 1),
    (
        "pool_decided",
        lambda o: o.pool_decided("nominated", "t", 100),
        "dancerank_pool_decisions_total",
        {"rule": "nominated", "tier": "t"},
        1,
    ),
    (
        "pool_decided",
        lambda o: o.pool_decided("expired", None, 0),
        "dancerank_pool_decisions_total",
        {"rule": "expired", "tier": ""},
        1,
    ),
    ("joints_filled", lambda o: o.joints_filled(0.25), "dancerank_filled_joints_ratio_sum", {}, 0.25),
    (
        "training_distance",
        lambda o: o.training_distance(Modality.FACIAL, 1.5),
        "dancerank_training_distance_ratio_sum",
        {"modality": "facial"},
        1.5,
    ),
    ("outside_training", lambda o: o.outside_training(), "dancerank_clips_outside_training_total", {}, 1),
    (
        "pool_decided",
        lambda o: o.pool_decided("nominated", "t", 100),
        "dancerank_pool_exposures_granted_total",
        {"tier": "t"},
        100,
    ),
    (
        "pools_filled",
        lambda o: o.pools_filled([TierFilling("trial", 7, 3, 400, 150, 1000)], 2),
        "dancerank_pool_clips",
        {"tier": "trial"},
        7,
    ),
    (
        "pools_filled",
        lambda o: o.pools_filled([TierFilling("trial", 7, 3, 400, 150, 1000)], 2),
        "dancerank_pool_waiting_clips",
        {"tier": "trial"},
        3,
    ),
    (
        "pools_filled",
        lambda o: o.pools_filled([TierFilling("trial", 7, 3, 400, 150, 1000)], 2),
        "dancerank_pool_window_used_views",
        {"tier": "trial"},
        400,
    ),
    (
        "pools_filled",
        lambda o: o.pools_filled([TierFilling("trial", 7, 3, 400, 150, 1000)], 2),
        "dancerank_pool_window_leased_views",
        {"tier": "trial"},
        150,
    ),
    ("pool_leases_expired", lambda o: o.pool_leases_expired(3), "dancerank_pool_leases_expired_total", {}, 3),
    (
        "pools_filled",
        lambda o: o.pools_filled([TierFilling("trial", 7, 3, 400, 150, 1000)], 2),
        "dancerank_pool_window_capacity_views",
        {"tier": "trial"},
        1000,
    ),
    (
        "pools_filled",
        lambda o: o.pools_filled([TierFilling("trial", 7, 3, 400, 150, 1000)], 2),
        "dancerank_pool_decisions_unpublished",
        {},
        2,
    ),
    (
        "skipped",
        lambda o: o.skipped("t", "other_generation"),
        "dancerank_records_skipped_total",
        {"topic": "t", "reason": "other_generation"},
        1,
    ),
    (
        "active_generation",
        lambda o: [o.active_generation(name) for name in (None, "g1", "g2")],
        "dancerank_generation_in_force_info",
        {"generation": "g2"},
        1,
    ),
    (
        "unknown_modality",
        lambda o: o.unknown_modality("audio"),
        "dancerank_unknown_modalities_total",
        {"modality": "audio"},
        1,
    ),
    ("interrupted", lambda o: o.interrupted("transport"), "dancerank_interruptions_total", {"reason": "transport"}, 1),
    (
        "request_refused",
        lambda o: o.request_refused("no_key"),
        "dancerank_requests_refused_total",
        {"reason": "no_key"},
        1,
    ),
    (
        "lag_unknown",
        lambda o: [o.lag_unknown(AT), o.lag(AT, 7, 1.5), o.lag(AT._replace(partition=4), 8, 1.5), o.lag_unknown(AT)],
        "dancerank_consumer_lag_records",
        {"topic": "clips.uploaded", "partition": "4"},
        8,
    ),
    (
        "lag",
        lambda o: o.lag(AT, 7, 1.5),
        "dancerank_consumer_lag_records",
        {"topic": "clips.uploaded", "partition": "3"},
        7,
    ),
    (
        "lag",
        lambda o: o.lag(AT, 7, 1.5),
        "dancerank_consumer_lag_seconds",
        {"topic": "clips.uploaded", "partition": "3"},
        1.5,
    ),
    (
        "lag_measured",
        lambda o: o.lag_measured(1_700_000_000_500),
        "dancerank_lag_measured_timestamp_seconds",
        {},
        1_700_000_000.5,
    ),
    ("batch_formed", lambda o: o.batch_formed(8, 750, 1000), "dancerank_batch_clips_sum", {}, 8),
    ("batch_formed", lambda o: o.batch_formed(8, 750, 1000), "dancerank_batch_frames_total", {}, 750),
    ("batch_formed", lambda o: o.batch_formed(8, 750, 1000), "dancerank_batch_padded_frames_total", {}, 1000),
    ("batch_formed", lambda o: o.batch_formed(8, 750, 1000), "dancerank_batch_padding_ratio_sum", {}, 0.25),
    (
        "stage_timed",
        lambda o: o.stage_timed("inference", 0.2, Modality.FACIAL),
        "dancerank_stage_duration_seconds_sum",
        {"stage": "inference", "modality": "facial"},
        0.2,
    ),
    (
        "stage_timed",
        lambda o: o.stage_timed("load", 0.1),
        "dancerank_stage_duration_seconds_count",
        {"stage": "load", "modality": "all"},
        1,
    ),
    (
        "provider_in_use",
        lambda o: o.provider_in_use(None, "CPUExecutionProvider"),
        "dancerank_execution_provider_info",
        {"modality": "all", "provider": "CPUExecutionProvider"},
        1,
    ),
    ("in_flight", lambda o: o.in_flight(12), "dancerank_clips_in_flight", {}, 12),
    (
        "index_size",
        lambda o: o.index_size(Modality.SCENIC, 9),
        "dancerank_index_vectors",
        {"modality": "scenic"},
        9,
    ),
    (
        "records_lost",
        lambda o: o.records_lost(TopicPartition("clips.uploaded", 2), 40),
        "dancerank_records_lost_total",
        {"topic": "clips.uploaded", "partition": "2"},
        40,
    ),
    ("snapshot_failed", lambda o: o.snapshot_failed(), "dancerank_snapshots_failed_total", {}, 1),
    ("reactions_capped", lambda o: o.reactions_capped(3), "dancerank_reactions_beyond_views_total", {}, 3),
    ("backfilled", lambda o: o.backfilled(), "dancerank_backfilled_clips_total", {}, 1),
    ("retrievable", lambda o: o.retrievable(3.0), "dancerank_freshness_seconds_sum", {}, 3),
    (
        "agreement_measured",
        lambda o: o.agreement_measured(AGREEMENTS),
        "dancerank_agreement_spearman",
        {"challenge": "ch-1", "dimension": "fused"},
        0.5,
    ),
    (
        "agreement_measured",
        lambda o: o.agreement_measured(AGREEMENTS),
        "dancerank_agreement_clips",
        {"challenge": "all challenges", "dimension": "fused"},
        70,
    ),
    (
        "calibration_measured",
        lambda o: o.calibration_measured(CALIBRATIONS),
        "dancerank_calibration_bias",
        {"dimension": "fused"},
        -0.1,
    ),
    (
        "calibration_measured",
        lambda o: o.calibration_measured(CALIBRATIONS),
        "dancerank_calibration_error",
        {"dimension": "fused"},
        0.2,
    ),
    ("drift_measured", lambda o: o.drift_measured(DRIFT), "dancerank_drift_score_psi", {"dimension": "scenic"}, 0.3),
    ("drift_measured", lambda o: o.drift_measured(DRIFT), "dancerank_drift_norm_psi", {"modality": "facial"}, 0.04),
    ("drift_measured", lambda o: o.drift_measured(DRIFT), "dancerank_drift_norm_ratio", {"modality": "facial"}, 1.5),
    ("drift_measured", lambda o: o.drift_measured(DRIFT), "dancerank_drift_clips", {"sample": "window"}, 900),
    (
        "model_measured",
        lambda o: o.model_measured(1_700_000_000_500),
        "dancerank_model_measured_timestamp_seconds",
        {},
        1_700_000_000.5,
    ),
    ("watch", lambda o: o.watch("rank", lambda: WAITS), "dancerank_ready", {"process": "rank"}, 0),
    (
        "watch",
        lambda o: o.watch("rank", lambda: WAITS),
        "dancerank_waiting",
        {"process": "rank", "reason": "database"},
        1,
    ),
    (
        "watch",
        lambda o: o.watch("rank", lambda: WAITS),
        "dancerank_waiting",
        {"process": "rank", "reason": "kafka"},
        0,
    ),
    ("watch", lambda o: o.watch("rank", lambda: WAITS), "dancerank_interrupted_seconds", {"process": "rank"}, 42),
    ("model_not_measured", lambda o: o.model_not_measured(), "dancerank_model_measurements_failed_total", {}, 1),
]


def observed() -> PrometheusObserver:
    """An observer that everything was reported to."""
    observer = PrometheusObserver()
    for _, report, *_ in REPORTS:
        report(observer)
    return observer


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
