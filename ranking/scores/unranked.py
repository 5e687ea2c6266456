"""Clips of a challenge that are in no ranking, because they lie outside what the model was trained on."""

import sqlalchemy as sa

from ranking.database.tables import clips, scored_clips, unranked_scores
from schemas.modalities import Dimension
from schemas.questions.challenges import UnrankedClip, UnrankedClips


def unranked_clips(
    connection: sa.Connection, generation: str, challenge_id: str, k: int, after: str | None
) -> UnrankedClips:
    """The first ``k`` by id, or those after a clip. What is read grows with the unranked clips of all challenges."""
    score, scored = unranked_scores.c, scored_clips.c
    query = (
        sa.select(score.clip_id, clips.c.dancer_id, scored.training_distance, score.score)
        .join(scored_clips, sa.and_(scored.generation == score.generation, scored.clip_id == score.clip_id))
        .join(clips, clips.c.clip_id == score.clip_id)
        .where(
            score.generation == generation,
            score.dimension == Dimension.FUSED,
            score.clip_id > (after or ""),
            scored.challenge_id == challenge_id,
        )
        .order_by(score.clip_id)
        .limit(k + 1)
    )
    found = [UnrankedClip(*row) for row in connection.execute(query)]
    following = found[k - 1].clip_id if len(found) > k else None
    return UnrankedClips(challenge_id, generation, found[:k], following)
