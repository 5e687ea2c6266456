"""When the alert about records that were lost fires, as promtool computes it."""

from pathlib import Path

import pytest

from tests.exporters.prometheus.rule_cases import check_alert

OF_A, OF_B = (
    f'dancerank_records_lost_total{{job="rank", instance="{name}", topic="clips.scored", partition="0"}}'
    for name in "ab"
)
FIRES = [{"severity": "critical", "job": "rank", "topic": "clips.scored"}]


@pytest.mark.prometheus
@pytest.mark.parametrize(
    ("series", "fired"),
    [
        pytest.param({OF_A: "_x90 40x29"}, FIRES, id="a process that met the loss at its start"),
        pytest.param({OF_A: "0x90 3x29"}, FIRES, id="a process that was overtaken"),
        pytest.param({OF_A: "40x119"}, [], id="a loss of more than an hour ago"),
        pytest.param({OF_A: "40x90 2x29", OF_B: "_x100 1x19"}, FIRES, id="a restart hides no loss of another process"),
        pytest.param({OF_A: "0x119"}, [], id="nothing lost"),
    ],
)
def test_an_alert_fires_for_an_hour_after_records_were_lost(
    series: dict[str, str], fired: list[dict[str, str]], promtool: str, tmp_path: Path
) -> None:
    check_alert(promtool, tmp_path, "DancerankRecordsLost", series, fired)
