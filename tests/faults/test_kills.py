"""Processes that are killed at random: nothing is lost, nothing done twice. ``benchmarks.faults`` does it 100 times."""

from pathlib import Path
from random import Random

import pytest

from benchmarks.faults import kill_and_verify
from benchmarks.pipeline import repeated
from schemas.events import ClipUploaded
from transport.connection import KafkaConnection

pytestmark = [pytest.mark.kafka, pytest.mark.postgresql, pytest.mark.slow]

CLIPS = 3000
KILLS = 12


def test_no_upload_is_lost_and_none_has_its_effect_twice_when_workers_are_killed(
    feature_folder: Path, distinct_uploads: list[ClipUploaded], kafka_connection: KafkaConnection, postgresql_url: str
) -> None:
    sent = list(repeated(distinct_uploads, CLIPS))
    killer, verdict = kill_and_verify(
        feature_folder, kafka_connection, postgresql_url, sent, kills=KILLS, every_s=1.6, random=Random(3)
    )
    assert killer.kills == KILLS
    assert verdict.clips == CLIPS
    assert verdict.is_right, verdict
