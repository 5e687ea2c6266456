"""When the alerts about the model fire, as promtool computes it."""

import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

RULES = Path(__file__).parents[3] / "deploy" / "prometheus" / "dancerank-rules.yml"
HOURS_2 = 120
SCRAPED = '{job="pools", instance="a"}'
AGREEMENT = 'dancerank_agreement_spearman{job="pools", instance="a", challenge="all challenges", dimension="fused"}'
CLIPS = 'dancerank_agreement_clips{job="pools", instance="a", challenge="all challenges", dimension="fused"}'
MEASURED = f"dancerank_model_measured_timestamp_seconds{SCRAPED}"
FAILED = f"dancerank_model_measurements_failed_total{SCRAPED}"


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
        ("DancerankModelNotMeasured", {MEASURED: constant(60)}, {"job": "pools", "instance": "a"}),
        ("DancerankModelNotMeasured", {MEASURED: f"0+60x{HOURS_2}", FAILED: constant(0)}, None),
        ("DancerankModelNotMeasured", {MEASURED: constant(0), FAILED: constant(0)}, None),
        (
            "DancerankModelNotMeasured",
            {MEASURED: constant(0), FAILED: f"0+1x{HOURS_2}"},
            {"job": "pools", "instance": "a"},
        ),
    ],
)
def test_an_alert_about_the_model_fires_when_it_should(
    alert: str, series: dict[str, str], labels: dict[str, str] | None, promtool: str, tmp_path: Path
) -> None:
    rules: dict[str, Any] = yaml.safe_load(RULES.read_text())
    for rule in (rule for group in rules["groups"] for rule in group["rules"]):
        rule.pop("annotations", None)  # which alert fires is the question, not in which words
    (tmp_path / RULES.name).write_text(yaml.safe_dump(rules))
    fired = [] if labels is None else [{"exp_labels": {"severity": "warning", **labels}}]
    case = {
        "interval": "1m",
        "input_series": [{"series": name, "values": values} for name, values in series.items()],
        "alert_rule_test": [{"eval_time": "115m", "alertname": alert, "exp_alerts": fired}],
    }
    test = {"rule_files": [RULES.name], "evaluation_interval": "1m", "tests": [case]}
    (tmp_path / "test.yml").write_text(yaml.safe_dump(test))
    checked = subprocess.run(
        [promtool, "test", "rules", "test.yml"], cwd=tmp_path, capture_output=True, text=True, timeout=30, check=False
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr
