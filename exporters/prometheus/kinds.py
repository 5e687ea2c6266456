"""Kinds of metrics, as data that a metric of a registry is created from."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram


class Label(NamedTuple):
    """A label and what its values are, in Markdown."""

    name: str
    values: str


@dataclass(frozen=True)
class Definition:
    """A metric. ``processes``: the commands that change it; the others export it as 0, or without a series."""

    kind: ClassVar[str]
    name: str
    meaning: str
    unit: str
    processes: Sequence[str]
    labels: Sequence[Label] = ()

    @property
    def label_names(self) -> list[str]:
        return [label.name for label in self.labels]


class CounterDefinition(Definition):
    kind = "counter"

    def create(self, registry: CollectorRegistry) -> Counter:
        return Counter(self.name, self.meaning, self.label_names, registry=registry)


class GaugeDefinition(Definition):
    kind = "gauge"

    def create(self, registry: CollectorRegistry) -> Gauge:
        return Gauge(self.name, self.meaning, self.label_names, registry=registry)


@dataclass(frozen=True)
class HistogramDefinition(Definition):
    kind = "histogram"
    buckets: Sequence[float] = ()

    def create(self, registry: CollectorRegistry) -> Histogram:
        return Histogram(self.name, self.meaning, self.label_names, buckets=self.buckets, registry=registry)
