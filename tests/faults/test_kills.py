"""Processes that are killed at random, in CI 100 times over 20,000 clips: nothing is lost, nothing done twice."""

from pathlib import Path
from random import Random

import pytest

from benchmarks.faults import kill_and_verify
from benchmarks.pipeline import repeated
from schemas.events import ClipUploaded, ClipUploadedV3
from tests.servers import servers_are_required
from transport.connection import KafkaConnection

pytestmark = [pytest.mark.kafka, pytest.mark.postgresql, pytest.mark.slow, pytest.mark.timeout(1200)]

CLIPS, KILLS = (20_000, 100) if servers_are_required() else (3_000, 12)
"""All that is promised takes minutes: in CI it is done whole, elsewhere less of it."""
EVERY_S = 0.6


def test_no_upload_is_lost_and_none_has_its_effect_twice_when_workers_are_killed(
    feature_folder: Path, mixed_uploads: list[ClipUploaded], kafka_connection: KafkaConnection, postgresql_url: str
) -> None:
    sent = list(repeated(mixed_uploads, CLIPS))
    killer, verdict = kill_and_verify(
        feature_folder,
        kafka_connection,
        postgresql_url,
        sent,
        kills=KILLS,
        every_s=EVERY_S,
        random=Random(3),
        is_cold=False,
    )
    assert any(isinstance(upload, ClipUploadedV3) for upload in sent)
    assert killer.kills == KILLS
    assert verdict.clips == CLIPS
    assert verdict.is_right, verdict
