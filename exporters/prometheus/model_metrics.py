"""Metrics of how right the model is. What is no longer reported disappears, instead of keeping its last value."""

from collections.abc import Collection

from prometheus_client import CollectorRegistry

from exporters.prometheus import definitions, style_definitions
from exporters.prometheus.definitions import ALL_CHALLENGES
from exporters.prometheus.replaced import ReplacedGauge
from schemas.observation import Agreement, Calibration, Drift


class ModelMetrics:
    """The model's metrics of one registry."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._agreement = ReplacedGauge(definitions.AGREEMENT, registry)
        self._agreement_clips = ReplacedGauge(definitions.AGREEMENT_CLIPS, registry)
        self._bias = ReplacedGauge(definitions.CALIBRATION_BIAS, registry)
        self._error = ReplacedGauge(definitions.CALIBRATION_ERROR, registry)
        self._score_psi = ReplacedGauge(definitions.SCORE_PSI, registry)
        self._norm_psi = ReplacedGauge(definitions.NORM_PSI, registry)
        self._norm_ratio = ReplacedGauge(definitions.NORM_RATIO, registry)
        self._style_share = ReplacedGauge(style_definitions.STYLE_SHARE, registry)
        self._style_psi = ReplacedGauge(style_definitions.STYLE_PSI, registry)
        self._drift_clips = ReplacedGauge(definitions.DRIFT_CLIPS, registry)
        self._measured_at_s = definitions.MEASURED_AT_S.create(registry)
        self._failed = definitions.MEASUREMENTS_FAILED.create(registry)

    def agreement(self, agreements: Collection[Agreement]) -> None:
        named = {(a.challenge_id or ALL_CHALLENGES, str(a.dimension)): a for a in agreements}
        self._agreement.replace({labels: agreement.correlation for labels, agreement in named.items()})
        self._agreement_clips.replace({labels: agreement.clips for labels, agreement in named.items()})

    def calibration(self, calibrations: Collection[Calibration]) -> None:
        self._bias.replace({(str(c.dimension),): c.bias for c in calibrations})
        self._error.replace({(str(c.dimension),): c.error for c in calibrations})

    def drift(self, drift: Drift) -> None:
        self._score_psi.replace({(str(dimension),): psi for dimension, psi in drift.score_psi.items()})
        self._norm_psi.replace({(str(modality),): psi for modality, psi in drift.norm_psi.items()})
        self._norm_ratio.replace({(str(modality),): ratio for modality, ratio in drift.norm_ratio.items()})
        self._style_share.replace(
            {
                (style, sample): share
                for style, moved in drift.styles.items()
                for sample, share in (("reference", moved.reference), ("window", moved.window))
            }
        )
        self._style_psi.replace({(style,): moved.psi for style, moved in drift.styles.items()})
        self._drift_clips.replace({("reference",): drift.reference_clips, ("window",): drift.window_clips})

    def measured(self, measured_at_ms: int) -> None:
        self._measured_at_s.set(measured_at_ms / 1000)

    def not_measured(self) -> None:
        self._failed.inc()
