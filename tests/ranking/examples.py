"""Scored clips, records and small fakes for the tests of the ranking."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from ranking.views.log_records import DeletedRecord, LogEntry, positions_after
from schemas.codec import encode
from schemas.events import (
    ClipDeleted,
    ClipScored,
    ClipScoredV2,
    ClipScoredV3,
    ClipScoredV4,
    JointGuidance,
    ModalityResult,
    TemporalAttention,
    embedding_bytes,
)
from schemas.joints import LAYOUTS
from schemas.modalities import FUSED_MODALITIES, MAX_DURATION_S, Modality
from schemas.ports import Record, ScoredRecord, TopicPartition, View

TOPIC = "clips.scored"
DELETIONS = "clips.deleted"
NOW_MS = 1_700_000_000_000


def result(embedding: Iterable[float] = (1.0, 0.0), *, score: float = 0.5, attention: float = 0.25) -> ModalityResult:
    return ModalityResult(score, attention, embedding_bytes(np.array(list(embedding))))


def scored_clip(clip_id: str = "c1", **changes: Any) -> ClipScored:
    modalities = changes.pop("modalities", None)
    if modalities is None:
        modalities = {modality: result() for modality in FUSED_MODALITIES}
    fields: dict[str, Any] = {
        "clip_id": clip_id,
        "dancer_id": f"dancer-of-{clip_id}",
        "challenge_id": "ch",
        "uploaded_at_ms": NOW_MS,
        "duration_s": 10.0,
        "generation": "g1",
        "modalities": modalities,
        "missing": tuple(m for m in FUSED_MODALITIES if m not in modalities),
        "fused_score": 0.5,
        "scored_at_ms": NOW_MS + 1000,
    }
    changed = fields | changes
    if "temporal_attention" in changed or changed["duration_s"] > MAX_DURATION_S:
        return ClipScoredV4(**changed)
    if changed.keys() & {"features", "guidance", "style"}:
        return ClipScoredV3(**changed)
    return ClipScored(**changed) if "training_distance" not in changed else ClipScoredV2(**changed)


def attention_over(seconds: int, seed: int = 0, modality: Modality = Modality.ROUTINE) -> TemporalAttention:
    """Of random weights; the seconds of a segment share its weight."""
    draw = np.random.default_rng(seed)
    segments = [5 * second // 16 for second in range(seconds)]
    sizes = np.bincount(segments)
    dynamic = (draw.dirichlet(np.ones(len(sizes))) / sizes)[segments]
    weights = np.stack([dynamic, draw.dirichlet(np.ones(seconds))])
    parts = ("dynamic", "static")
    return TemporalAttention(modality=modality, rate_hz=1.0, parts=parts, weights=weights.astype("<f2").tobytes())


def routine(
    clip_id: str = "r1",
    *,
    seconds: int = 83,
    seed: int = 0,
    score: float = 0.5,
    embedding: Iterable[float] = (1, 0),
    **changes: Any,
) -> ClipScored:
    """A clip longer than 60 s, scored by ``routine`` alone."""
    return scored_clip(
        clip_id,
        **{
            "modalities": {Modality.ROUTINE: result(embedding, score=score, attention=1.0)},
            "missing": (),
            "fused_score": score,
            "duration_s": float(seconds),
            "temporal_attention": attention_over(seconds, seed),
            **changes,
        },
    )


def guidance(
    seed: int = 0, *, duration_s: float | None = None, layout: str = "mpii-16", **changes: Any
) -> JointGuidance:
    """Of random magnitudes; without a duration, of up to 3 s."""
    draw = np.random.default_rng(seed)
    frames = max(1, round(25 * (draw.uniform(0.1, 3) if duration_s is None else duration_s)))
    bins = -(-2 * frames // 25)
    fields: dict[str, Any] = {
        "joint_layout": layout,
        "rate_hz": 25.0,
        "frames": frames,
        "bin_s": 0.5,
        "scale": float(draw.lognormal(-5)),
        "magnitudes": draw.random((bins, LAYOUTS[layout].joint_count)).astype("<f2").tobytes(),
    }
    return JointGuidance(**(fields | changes))


def with_scores(clip_id: str, scores: Mapping[Modality, float], fused: float, **changes: Any) -> ClipScored:
    share = 1 / len(scores)
    modalities = {m: result(score=score, attention=share) for m, score in scores.items()}
    return scored_clip(clip_id, modalities=modalities, fused_score=fused, **changes)


def record(clip: ClipScored | bytes | None, offset: int, *, partition: int = 0, timestamp_ms: int = NOW_MS) -> Record:
    value = encode(clip) if isinstance(clip, ClipScored) else clip
    return Record(TOPIC, partition, offset, timestamp_ms, None, value)


def logged(clips: Iterable[ClipScored], *, start: int = 0, partition: int = 0) -> list[ScoredRecord]:
    """The clips as consecutive records of one partition."""
    return [ScoredRecord(record(c, start + i, partition=partition), c) for i, c in enumerate(clips)]


def deletion(clip_id: str, offset: int = 0, *, partition: int = 0, timestamp_ms: int = NOW_MS) -> DeletedRecord:
    event = ClipDeleted(clip_id=clip_id, reason="asked for")
    return DeletedRecord(Record(DELETIONS, partition, offset, timestamp_ms, clip_id.encode(), encode(event)), event)


def apply_entries(view: View, *entries: LogEntry) -> None:
    assert not view.apply(entries, positions_after(entry.record for entry in entries))


def apply(view: View, clips: Iterable[ClipScored], *, start: int = 0, partition: int = 0) -> None:
    entries = logged(clips, start=start, partition=partition)
    assert not view.apply(entries, positions_after(entry.record for entry in entries))


def at(partition: int = 0) -> TopicPartition:
    return TopicPartition(TOPIC, partition)
