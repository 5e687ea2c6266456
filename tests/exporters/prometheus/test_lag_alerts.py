"""When the alerts about lag fire, as promtool computes it."""

from pathlib import Path

import pytest

from tests.exporters.prometheus.rule_cases import check_alert

MINUTES = 120
BOTH = {"severity": "critical", "job": "rank"}
OF_A, OF_B = (f'{{job="rank", instance="{name}", topic="clips.scored", partition="0"}}' for name in "ab")
OF_A_TOO = '{job="rank", instance="a", topic="clips.scored", partition="1"}'
LAG, MEASURED = "dancerank_consumer_lag_records", "dancerank_lag_measured_timestamp_seconds"
CONSUMED = 'dancerank_records_consumed_total{job="rank", instance="a", topic="clips.scored"}'
LAGS, GROWS = {"severity": "critical", "job": "rank", "topic": "clips.scored"}, f"0+20x{MINUTES}"


def constant(value: float) -> str:
    return f"{value}x{MINUTES}"


@pytest.mark.prometheus
@pytest.mark.parametrize(
    ("alert", "series", "fired"),
    [
        ("DancerankNoProgress", {LAG + OF_A: constant(7), CONSUMED: constant(226)}, [LAGS]),
        ("DancerankNoProgress", {LAG + OF_A: constant(7), CONSUMED: GROWS}, []),
        ("DancerankNoProgress", {LAG + OF_A: constant(0), CONSUMED: constant(226)}, []),
        ("DancerankLagGrowing", {LAG + OF_A: GROWS}, [LAGS | {"severity": "warning"}]),
        # Two members may both report a partition that neither holds: its records wait once.
        ("DancerankLagGrowing", {LAG + OF_A: f"0+5x{MINUTES}", LAG + OF_B: f"0+5x{MINUTES}"}, []),
        (
            "DancerankLagGrowing",
            {LAG + OF_A: f"0+5x{MINUTES}", LAG + OF_A_TOO: GROWS},
            [LAGS | {"severity": "warning"}],
        ),
        (
            "DancerankLagNotMeasured",
            {f'{MEASURED}{{job="rank", instance="a"}}': constant(60)},
            [BOTH | {"instance": "a"}],
        ),
        (
            "DancerankLagNotMeasured",
            {f'{MEASURED}{{job="rank", instance="a"}}': constant(0)},
            [BOTH | {"instance": "a"}],
        ),
        ("DancerankLagNotMeasured", {f'{MEASURED}{{job="rank", instance="a"}}': f"0+60x{MINUTES}"}, []),
    ],
)
def test_an_alert_about_lag_fires_when_it_should(
    alert: str, series: dict[str, str], fired: list[dict[str, str]], promtool: str, tmp_path: Path
) -> None:
    check_alert(promtool, tmp_path, alert, series, fired)
