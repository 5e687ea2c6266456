"""Which ONNX Runtime execution provider really runs each network of this process."""

from typing import Final

from exporters.prometheus import PrometheusObserver
from exporters.prometheus.definitions import ALL

_METRIC: Final = "dancerank_execution_provider_info"


def providers_in_use(observer: PrometheusObserver) -> dict[str, str]:
    """Provider by modality, and of the fusion, as the streamer reported them when it opened its sessions."""
    samples = (sample for metric in observer.registry.collect() for sample in metric.samples)
    found = {s.labels["modality"]: s.labels["provider"] for s in samples if s.name == _METRIC and s.value}
    return {"fusion" if name == ALL else name: provider for name, provider in found.items()}
