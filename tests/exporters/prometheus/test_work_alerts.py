"""When the alerts about lag, and about processes that do not work, fire, as promtool computes it."""

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

CRITICAL = {"severity": "critical"}
JOBS = {"dancerank-streamer", "dancerank-rank", "dancerank-pools", "dancerank-serve"}
DOWN = CRITICAL | {"job": "dancerank-rank", "instance": "a"}
RANK = '{job="dancerank-rank", instance="a", process="rank"}'
OF_RANK = DOWN | {"process": "rank"}


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
        ("DancerankDown", {'up{job="dancerank-rank", instance="a"}': constant(0)}, [DOWN]),
        ("DancerankDown", {'up{job="dancerank-rank", instance="a"}': constant(1)}, []),
        ("DancerankDown", {'up{job="another", instance="a"}': constant(0)}, []),
        *(
            (
                "DancerankAbsent",
                {f'up{{job="{job}"}}': constant(1) for job in JOBS - {absent}},
                [CRITICAL | {"job": absent}],
            )
            for absent in sorted(JOBS)
        ),
        ("DancerankAbsent", {f'up{{job="{job}"}}': constant(0) for job in JOBS}, []),
        ("DancerankNotReady", {f"dancerank_ready{RANK}": constant(0)}, [OF_RANK]),
        ("DancerankNotReady", {f"dancerank_ready{RANK}": constant(1)}, []),
        ("DancerankNotReady", {f"dancerank_ready{RANK}": "1x113 0 0"}, []),
        ("DancerankInterrupted", {f"dancerank_interrupted_seconds{RANK}": f"0+60x{MINUTES}"}, [OF_RANK]),
        ("DancerankInterrupted", {f"dancerank_interrupted_seconds{RANK}": constant(30)}, []),
        (
            "DancerankWaiting",
            {f'dancerank_waiting{RANK[:-1]}, reason="kafka"}}': constant(1)},
            [OF_RANK | {"severity": "warning", "reason": "kafka"}],
        ),
        ("DancerankWaiting", {f'dancerank_waiting{RANK[:-1]}, reason="kafka"}}': constant(0)}, []),
    ],
)
def test_an_alert_about_work_that_does_not_go_on_fires_when_it_should(
    alert: str, series: dict[str, str], fired: list[dict[str, str]], promtool: str, tmp_path: Path
) -> None:
    check_alert(promtool, tmp_path, alert, series, fired)
