"""``docs/metrics.md`` from the metrics' definitions: ``python -m dancerank.reference.metrics > docs/metrics.md``."""

import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from dancerank.reference.pages import page, section
from exporters.prometheus.definitions import METRICS
from exporters.prometheus.kinds import Definition, HistogramDefinition

RULES: Final = Path(__file__).parents[2] / "deploy" / "prometheus" / "dancerank-rules.yml"
_RULE: Final = re.compile(r"^ +- (alert|record): (\S+)$", re.MULTILINE)
_INTRODUCTION: Final = f"""\
`stream`, `rank` and `pools run` serve `/metrics` on a port of their own (`server.*_metrics_port`), `serve` on its HTTP
port, in Prometheus' text format. `serve --with-rank` also moves the metrics of `rank`. Beside those below, every
process exports `process_*` and `python_info` of Prometheus' client library.

A histogram `NAME` has the series `NAME_bucket`, `NAME_sum` and `NAME_count`. The alerts are those of
[{RULES.name}](../deploy/prometheus/{RULES.name}); the dashboard is
[dancerank.json](../deploy/grafana/dancerank.json)."""


def reference() -> str:
    """The whole page, in Markdown."""
    alerts = alerts_by_metric(RULES.read_text())
    columns = ("name", "type", "unit", "labels", "meaning", "moved by", "alerts")
    groups: dict[str, list[Definition]] = {}
    for each in METRICS:
        groups.setdefault(_subject(each), []).append(each)
    tables = [
        section(subject, _SUBJECTS[subject], columns, [_row(each, alerts) for each in definitions])
        for subject, definitions in groups.items()
    ]
    return page("Metrics", _INTRODUCTION, "dancerank.reference.metrics", tables)


def alerts_by_metric(rules: str) -> Mapping[str, list[str]]:
    """The alerts that use each metric in the text of a rule file, also those that use it through a recording rule."""
    _, *parts = _RULE.split(rules)
    texts = {(kind, name): text for kind, name, text in zip(*[iter(parts)] * 3, strict=True)}
    recorded = {name: text for (kind, name), text in texts.items() if kind == "record"}
    found: dict[str, list[str]] = {}
    for (kind, alert), text in texts.items():
        if kind == "alert":
            whole = text + "".join(used for name, used in recorded.items() if name in text)
            for metric in METRICS:
                if re.search(rf"\b{metric.name}(_bucket|_sum|_count)?\b", whole):
                    found.setdefault(metric.name, []).append(alert)
    return found


_SUBJECTS: Final = {
    "Processes": "Records, batches, stages, index and API.",
    "Traffic pools": "All workers of `pools run` report the same gauges; take the greatest, not the sum.",
    "Model": "Agreement with observed virality, calibration and drift. All workers report the same; take the greatest.",
}


def _subject(metric: Definition) -> str:
    if metric.name.startswith("dancerank_pool_"):
        return "Traffic pools"
    return "Model" if metric.processes == ("pools run",) else "Processes"


def _row(metric: Definition, alerts: Mapping[str, list[str]]) -> tuple[str, ...]:
    labels = "; ".join(f"`{label.name}`: {label.values}" for label in metric.labels) or "–"
    kind = metric.kind
    if isinstance(metric, HistogramDefinition):
        kind += f", buckets to {metric.buckets[-1]:g}"
    used = ", ".join(alerts.get(metric.name, ())) or "–"
    processes = ", ".join(f"`{name}`" for name in metric.processes)
    return f"`{metric.name}`", kind, metric.unit, labels, metric.meaning, processes, used


if __name__ == "__main__":
    sys.stdout.write(reference())
