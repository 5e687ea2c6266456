"""The main job on real servers: Apache Kafka, PostgreSQL, ONNX Runtime with the shipped bundle, FAISS."""

from collections import Counter

import msgspec
import numpy as np
import pytest

from dancerank.processes import Processes
from dancerank.running.embedded import run_embedded
from dancerank.settings import Settings
from ranking.serving.live.broadcast import Broadcast
from schemas.events import ClipScored, ClipUploaded
from schemas.modalities import DIMENSIONS, FUSED_MODALITIES
from schemas.observation import Observer
from schemas.questions.retrieval import MAX_HITS, SimilarQuery
from tests.integration.scored_log import inside_training, plain_similarities, plainly_ranked, read_log
from transport.connection import KafkaConnection

pytestmark = [pytest.mark.kafka, pytest.mark.postgresql, pytest.mark.slow]


def test_a_thousand_clips_are_scored_indexed_and_ranked_none_lost_none_twice(
    settings: Settings, uploads: list[ClipUploaded], kafka_connection: KafkaConnection, postgresql_url: str
) -> None:
    on_postgresql = settings.ranking.model_copy(update={"database_url": postgresql_url})
    settings = settings.model_copy(update={"ranking": on_postgresql})
    bundle = Processes(settings).bundle
    with run_embedded(Processes(settings, connection=kafka_connection, bundle=bundle, observer=Observer())) as system:
        system.send(uploads)
        system.await_clips(len(uploads))
        log = read_log(settings, kafka_connection)

        assert Counter(clip.clip_id for clip in log) == Counter(upload.clip_id for upload in uploads)
        assert {clip.generation for clip in log} == {bundle.manifest.generation}
        for upload, clip in zip(sorted(uploads, key=_clip_id), sorted(log, key=_clip_id), strict=True):
            assert (clip.dancer_id, clip.challenge_id) == (upload.dancer_id, upload.challenge_id)

        assert sorted(announced(system.replica.events)) == sorted(clip.clip_id for clip in log)

        for challenge in system.service.challenges():
            members = [clip for clip in log if clip.challenge_id == challenge.challenge_id]
            assert challenge.clips == len(members)
            for dimension in DIMENSIONS:
                answer = system.service.ranking(challenge.challenge_id, dimension, k=MAX_HITS)
                assert [(e.clip_id, e.score, e.rank) for e in answer.entries] == plainly_ranked(members, dimension)
            attention = system.service.attention(challenge.challenge_id)
            for modality in FUSED_MODALITIES:
                counted = inside_training(members)
                having = [clip.modalities[modality].attention for clip in counted if modality in clip.modalities]
                assert attention.present[modality] == len(having)
                assert attention.mean_attention[modality] == pytest.approx(np.mean(having), abs=1e-6)

        for example in (log[0], next(clip for clip in log if clip.missing)):
            expected = plain_similarities(example, log)
            hits = system.service.similar(SimilarQuery(clip_id=example.clip_id, k=20)).hits
            best = sorted(expected.values(), reverse=True)[:20]
            np.testing.assert_allclose([hit.similarity for hit in hits], best, atol=1e-5)
            np.testing.assert_allclose([expected[hit.clip_id] for hit in hits], best, atol=1e-5)


def announced(events: Broadcast) -> list[str]:
    """The clips that were announced to listeners."""
    found: list[str] = []
    taken, number = events.after(0, None)
    while taken.events:
        found += [msgspec.json.decode(event.content)["clip_id"] for _, event in taken.events]
        taken, number = events.after(number, None)
    return found


def _clip_id(event: ClipUploaded | ClipScored) -> str:
    return event.clip_id
