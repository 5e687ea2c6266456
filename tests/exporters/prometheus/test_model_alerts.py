"""When the alerts about the model fire, as promtool computes it."""

from pathlib import Path

import pytest

from tests.exporters.prometheus.rule_cases import check_alert

HOURS_2 = 120
SCRAPED = '{job="pools", instance="a"}'
AGREEMENT = 'dancerank_agreement_spearman{job="pools", instance="a", challenge="all challenges", dimension="fused"}'
CLIPS = 'dancerank_agreement_clips{job="pools", instance="a", challenge="all challenges", dimension="fused"}'
MEASURED = f"dancerank_model_measured_timestamp_seconds{SCRAPED}"
FAILED = f"dancerank_model_measurements_failed_total{SCRAPED}"

OUTSIDE = 'dancerank_clips_outside_training_total{job="streamers", instance="a"}'
SCORED = 'dancerank_stage_duration_seconds_count{job="streamers", instance="a", stage="total", modality="all"}'


def constant(value: float) -> str:
    return f"{value}x{HOURS_2}"


@pytest.mark.prometheus
@pytest.mark.parametrize(
    ("alert", "series", "labels"),
    [
        ("DancerankNoAgreement", {AGREEMENT: constant(0.05), CLIPS: constant(800)}, {"job": "pools"}),
        ("DancerankNoAgreement", {AGREEMENT: constant(0.05), CLIPS: constant(80)}, None),
        ("DancerankNoAgreement", {AGREEMENT: constant(0.4), CLIPS: constant(800)}, None),
        (
            "DancerankScoreDrift",
            {'dancerank_drift_score_psi{job="pools", instance="a", dimension="facial"}': constant(0.3)},
            {"job": "pools", "dimension": "facial"},
        ),
        (
            "DancerankScoreDrift",
            {'dancerank_drift_score_psi{job="pools", instance="a", dimension="facial"}': constant(0.2)},
            None,
        ),
        (
            "DancerankEmbeddingDrift",
            {'dancerank_drift_norm_psi{job="pools", instance="a", modality="scenic"}': constant(0.3)},
            {"job": "pools", "modality": "scenic"},
        ),
        (
            "DancerankStyleDrift",
            {
                'dancerank_drift_style_psi{job="pools", instance="a", style="waltz"}': constant(0.2),
                'dancerank_drift_style_psi{job="pools", instance="a", style="unknown"}': constant(0.2),
            },
            {"job": "pools", "instance": "a"},
        ),
        ("DancerankModelNotMeasured", {MEASURED: constant(60)}, {"job": "pools", "instance": "a"}),
        ("DancerankModelNotMeasured", {MEASURED: f"0+60x{HOURS_2}", FAILED: constant(0)}, None),
        ("DancerankModelNotMeasured", {MEASURED: constant(0), FAILED: constant(0)}, None),
        (
            "DancerankModelNotMeasured",
            {MEASURED: constant(0), FAILED: f"0+1x{HOURS_2}"},
            {"job": "pools", "instance": "a"},
        ),
        (
            "DancerankClipsOutsideTraining",
            {OUTSIDE: f"0+3x{HOURS_2}", SCORED: f"0+10x{HOURS_2}"},
            {"job": "streamers"},
        ),
        ("DancerankClipsOutsideTraining", {OUTSIDE: f"0+0.1x{HOURS_2}", SCORED: f"0+10x{HOURS_2}"}, None),
        ("DancerankClipsOutsideTraining", {OUTSIDE: constant(0), SCORED: constant(0)}, None),
    ],
)
def test_an_alert_about_the_model_fires_when_it_should(
    alert: str, series: dict[str, str], labels: dict[str, str] | None, promtool: str, tmp_path: Path
) -> None:
    fired = [] if labels is None else [{"severity": "warning", **labels}]
    check_alert(promtool, tmp_path, alert, series, fired)
