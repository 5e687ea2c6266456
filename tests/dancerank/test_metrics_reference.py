"""The reference of metrics lists what is exported, and everything that rules and dashboard query."""

import re
from pathlib import Path

import pytest

from dancerank.reference.metrics import RULES, alerts_by_metric, reference
from exporters.prometheus import PrometheusObserver
from exporters.prometheus.definitions import METRICS

DEPLOY = RULES.parents[1]
NAMES = {metric.name for metric in METRICS}


def test_every_exported_metric_is_defined_once_and_in_the_reference() -> None:
    exported = {
        f"{family.name}_total" if family.type == "counter" else family.name
        for family in PrometheusObserver().registry.collect()
        if family.name.startswith("dancerank_")
    }
    assert len(METRICS) == len(NAMES)
    assert exported == NAMES
    page = reference()
    assert all(f"| `{metric.name}` | {metric.kind}" in page for metric in METRICS)


@pytest.mark.parametrize("path", [*DEPLOY.glob("prometheus/*"), *DEPLOY.glob("grafana/*")], ids=lambda path: path.name)
def test_every_metric_named_in_rules_and_dashboard_is_in_the_reference(path: Path) -> None:
    named = set(re.findall(r"(?<![\w:])dancerank_\w+", path.read_text()))
    assert {re.sub("_(bucket|sum|count)$", "", name) for name in named} <= NAMES


def test_alerts_are_found_through_recording_rules_and_not_by_parts_of_names() -> None:
    rules = """
      - record: dancerank:freshness_seconds:p99
        expr: histogram_quantile(0.99, rate(dancerank_freshness_seconds_bucket[5m]))
      - alert: Slow
        expr: dancerank:freshness_seconds:p99 > 60
      - alert: Drift
        expr: dancerank_drift_clips > 1 and dancerank_drift_clips_more > 1
    """
    assert alerts_by_metric(rules) == {"dancerank_freshness_seconds": ["Slow"], "dancerank_drift_clips": ["Drift"]}
