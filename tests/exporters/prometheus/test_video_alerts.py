"""When the alert about videos that give no features fires, as promtool computes it."""

from pathlib import Path

import pytest

from tests.exporters.prometheus.rule_cases import check_alert

DONE = 'dancerank_extraction_duration_seconds_count{job="streamer", instance="a", part="total"}'
TRIED = 'dancerank_extraction_duration_seconds_count{job="streamer", instance="a", part="people"}'
FAILED = 'dancerank_videos_failed_total{job="streamer", instance="a", reason="%s"}'


@pytest.mark.prometheus
@pytest.mark.parametrize(
    ("series", "fires"),
    [
        pytest.param({DONE: "0+7x119", TRIED: "0+90x119", FAILED % "video_length": "0+3x119"}, True, id="three of ten"),
        pytest.param(
            {DONE: "0+7x119", FAILED % "video_length": "0+2x119", FAILED % "decoder_ended": "0+1x119"},
            True,
            id="for several reasons",
        ),
        pytest.param({FAILED % "decoder_ended": "0+1x119"}, True, id="every one"),
        pytest.param({DONE: "0+9x119", FAILED % "video_length": "0+1x119"}, False, id="one of ten"),
        pytest.param({DONE: "0+1x119", FAILED % "video_length": "3x119"}, False, id="long ago"),
        pytest.param({DONE: "5x119"}, False, id="no videos"),
    ],
)
def test_an_alert_fires_when_many_videos_give_no_features(
    series: dict[str, str], fires: bool, promtool: str, tmp_path: Path
) -> None:
    fired = [{"severity": "warning", "job": "streamer"}] if fires else []
    check_alert(promtool, tmp_path, "DancerankVideosFail", series, fired)
