"""When the alert about records that cannot be read fires, as promtool computes it."""

from pathlib import Path

import pytest

from tests.exporters.prometheus.rule_cases import check_alert

DEAD, SKIPPED = (
    f'dancerank_records_{what}_total{{job="{job}", instance="a", topic="clips.scored", reason="oversized_batch"}}'
    for what, job in (("dead_lettered", "rank"), ("skipped", "serve"))
)
OTHER = (
    'dancerank_records_dead_lettered_total{job="rank", instance="a", topic="clips.scored", reason="malformed_event"}'
)


def fires(job: str) -> dict[str, str]:
    return {"severity": "critical", "job": job, "topic": "clips.scored", "reason": "oversized_batch"}


@pytest.mark.prometheus
@pytest.mark.parametrize(
    ("series", "fired"),
    [
        pytest.param({DEAD: "_x90 1x29"}, [fires("rank")], id="the first batch of a process"),
        pytest.param({SKIPPED: "0x90 1x29"}, [fires("serve")], id="skipped by a replica"),
        pytest.param({DEAD: "_x90 1x29", SKIPPED: "_x90 1x29"}, [fires("rank"), fires("serve")], id="both"),
        pytest.param({DEAD: "1x119"}, [], id="more than an hour ago"),
        pytest.param({OTHER: "_x90 1x29"}, [], id="a record that is no event"),
    ],
)
def test_an_alert_fires_for_an_hour_after_records_could_not_be_read(
    series: dict[str, str], fired: list[dict[str, str]], promtool: str, tmp_path: Path
) -> None:
    check_alert(promtool, tmp_path, "DancerankUnreadableRecords", series, fired)
