"""The log of scored clips as a test reads it, and a model in plain Python of what the views should answer."""

from collections.abc import Sequence
from contextlib import closing

import numpy as np

from dancerank.settings import Settings
from schemas.codec import decode
from schemas.events import ClipScored, embedding_array, outside_training, training_distance
from schemas.modalities import FUSED_MODALITIES, Dimension
from tests.waiting import wait_until
from transport.connection import KafkaConnection
from transport.group_offsets import partition_ends
from transport.kafka_source import KafkaSource


def read_log(settings: Settings, connection: KafkaConnection) -> list[ClipScored]:
    """Every record of the log that is committed by now, also what stands there twice."""
    topic, clips = settings.streamer.scored_topic, list[ClipScored]()
    ends = {at: each.end for at, each in partition_ends(connection, [topic]).items() if each.end > each.start}
    if not ends:
        return clips
    with closing(KafkaSource(connection, [topic], group=None)) as source:
        wait_until(
            lambda: all(source.positions().get(at, 0) >= end for at, end in ends.items()),
            lambda: clips.extend(
                decode(record.value, ClipScored) for record in source.poll(max_records=1000, timeout_s=0.2)
            ),
            what="the log was not read to its end",
            progress=lambda: len(clips),
        )
    return clips


def inside_training(clips: Sequence[ClipScored]) -> list[ClipScored]:
    """Those that count in rankings and means."""
    return [clip for clip in clips if not outside_training(training_distance(clip))]


def plainly_ranked(clips: Sequence[ClipScored], dimension: Dimension) -> list[tuple[str, float, int]]:
    """Clip, score and rank, sorted as the contract says: best first, ties by clip id under the smallest rank.

    A clip outside what the model was trained on has no rank.
    """
    scores = {clip.clip_id: clip.scores()[dimension] for clip in inside_training(clips) if dimension in clip.scores()}
    in_order = sorted(scores.items(), key=lambda item: (-item[1], item[0]))
    return [(clip_id, score, 1 + sum(other > score for other in scores.values())) for clip_id, score in in_order]


def plain_similarities(example: ClipScored, clips: Sequence[ClipScored]) -> dict[str, float]:
    """Mean cosine over the example's modalities, absent ones counting zero, of every clip by another dancer."""
    mine = {m: _unit(example, m) for m in FUSED_MODALITIES if m in example.modalities}
    return {
        clip.clip_id: sum(float(mine[m] @ _unit(clip, m)) for m in mine if m in clip.modalities) / len(mine)
        for clip in clips
        if clip.dancer_id != example.dancer_id
    }


def _unit(clip: ClipScored, modality: str) -> np.ndarray:
    vector = embedding_array(clip.modalities[modality]).astype(np.float64)  # type: ignore[index]
    return vector / np.linalg.norm(vector)
