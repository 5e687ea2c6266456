"""Gauges whose series are told all at once, so that what is no longer told disappears."""

from collections.abc import Mapping

from prometheus_client import CollectorRegistry, Gauge

Labels = tuple[str, ...]


class ReplacedGauge:
    """A gauge whose series are told all at once."""

    def __init__(self, name: str, documentation: str, labels: list[str], registry: CollectorRegistry) -> None:
        self._gauge = Gauge(name, documentation, labels, registry=registry)
        self._told: set[Labels] = set()

    def replace(self, values: Mapping[Labels, float]) -> None:
        # Set first and remove then: a scrape between the two sees a series too many, never one too few.
        for labels, value in values.items():
            self._gauge.labels(*labels).set(value)
        for gone in self._told - values.keys():
            self._gauge.remove(*gone)
        self._told = set(values)
