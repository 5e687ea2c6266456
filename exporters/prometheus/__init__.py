"""Reports of the running system about itself, for Prometheus."""

from exporters.prometheus.metrics import PrometheusObserver

__all__ = ["PrometheusObserver"]
