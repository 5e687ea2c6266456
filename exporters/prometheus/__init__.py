"""What the running system reports about itself, for Prometheus."""

from exporters.prometheus.metrics import PrometheusObserver

__all__ = ["PrometheusObserver"]
