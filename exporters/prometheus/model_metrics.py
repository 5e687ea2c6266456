"""Metrics of how right the model is. What is no longer told disappears, instead of standing for ever."""

from collections.abc import Collection
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge

from exporters.prometheus.replaced import ReplacedGauge
from schemas.observation import Agreement, Calibration, Drift

ALL_CHALLENGES: Final = "all challenges"
"""Label ``challenge`` of what is told of all of them. No challenge can be called so: identifiers hold no space."""


class ModelGauges:
    """The gauges of one registry."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._agreement = ReplacedGauge(
            "dancerank_agreement_spearman",
            "Spearman's correlation of scores with observed virality, by challenge; the mean where it is of all.",
            ["challenge", "dimension"],
            registry,
        )
        self._agreement_clips = ReplacedGauge(
            "dancerank_agreement_clips",
            "Clips that the correlation was taken over.",
            ["challenge", "dimension"],
            registry,
        )
        self._bias = ReplacedGauge(
            "dancerank_calibration_bias",
            "Mean of the scores minus the observed virality of Eq. (2).",
            ["dimension"],
            registry,
        )
        self._error = ReplacedGauge(
            "dancerank_calibration_error",
            "Expected calibration error of the scores against the observed virality of Eq. (2), over tenths.",
            ["dimension"],
            registry,
        )
        self._score_psi = ReplacedGauge(
            "dancerank_drift_score_psi",
            "Population stability index of the latest scores against the generation's first.",
            ["dimension"],
            registry,
        )
        self._norm_psi = ReplacedGauge(
            "dancerank_drift_norm_psi",
            "Population stability index of the latest embeddings' norms against the generation's first.",
            ["modality"],
            registry,
        )
        self._norm_ratio = ReplacedGauge(
            "dancerank_drift_norm_ratio",
            "Mean norm of the latest embeddings over that of the generation's first.",
            ["modality"],
            registry,
        )
        self._drift_clips = ReplacedGauge(
            "dancerank_drift_clips",
            "Clips in the samples that are compared, the generation's first (reference) and latest (window).",
            ["sample"],
            registry,
        )
        self.measured_at_s = Gauge(
            "dancerank_model_measured_timestamp_seconds",
            "When the model was last measured; 0: never by this process.",
            registry=registry,
        )
        self.failed = Counter(
            "dancerank_model_measurements_failed_total",
            "Measurements of the model that the database did not answer.",
            registry=registry,
        )

    def report_agreement(self, agreements: Collection[Agreement]) -> None:
        named = {(a.challenge_id or ALL_CHALLENGES, str(a.dimension)): a for a in agreements}
        self._agreement.replace({labels: agreement.correlation for labels, agreement in named.items()})
        self._agreement_clips.replace({labels: agreement.clips for labels, agreement in named.items()})

    def report_calibration(self, calibrations: Collection[Calibration]) -> None:
        self._bias.replace({(str(c.dimension),): c.bias for c in calibrations})
        self._error.replace({(str(c.dimension),): c.error for c in calibrations})

    def report_drift(self, drift: Drift) -> None:
        self._score_psi.replace({(str(dimension),): psi for dimension, psi in drift.score_psi.items()})
        self._norm_psi.replace({(str(modality),): psi for modality, psi in drift.norm_psi.items()})
        self._norm_ratio.replace({(str(modality),): ratio for modality, ratio in drift.norm_ratio.items()})
        self._drift_clips.replace({("reference",): drift.reference_clips, ("window",): drift.window_clips})
