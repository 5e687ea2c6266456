"""Gauges whose series are reported all at once, so that what is no longer reported disappears."""

from collections.abc import Mapping

from prometheus_client import CollectorRegistry

from exporters.prometheus.kinds import GaugeDefinition

Labels = tuple[str, ...]


class ReplacedGauge:
    """A gauge whose series are reported all at once."""

    def __init__(self, definition: GaugeDefinition, registry: CollectorRegistry) -> None:
        self._gauge = definition.create(registry)
        self._reported: set[Labels] = set()

    def replace(self, values: Mapping[Labels, float]) -> None:
        # Set first and remove then: a scrape between the two sees a series too many, never one too few.
        for labels, value in values.items():
            self._gauge.labels(*labels).set(value)
        for gone in self._reported - values.keys():
            self._gauge.remove(*gone)
        self._reported = set(values)
