"""Where the scores of a clip that was never uploaded stand among those of the clips that were."""

from ranking.serving.service import RankingService
from schemas.errors import NotFound
from schemas.events import outside_training
from schemas.modalities import Dimension
from schemas.questions.scoring import UnseenClip, UnseenClipAnswer, UnseenStanding


def standing(service: RankingService, clip: UnseenClip) -> UnseenClipAnswer:
    """Raises ``StoreUnavailable`` and ``StoreRefused``."""
    active = service.active_generation()
    percentiles = {
        dimension: stands
        for dimension, score in clip.scores.items()
        if (stands := _standing(service, clip.generation, dimension, score)) is not None
    }
    return UnseenClipAnswer(
        generation=clip.generation,
        active_generation=active,
        duration_s=clip.duration_s,
        scores=dict(clip.scores),
        percentiles=percentiles,
        attention=dict(clip.attention),
        missing=list(clip.missing),
        embeddings=dict(clip.embeddings),
        training_distance=clip.training_distance,
        outside_training_distribution=outside_training(clip.training_distance),
        note=_note(clip.generation, active, is_held=bool(percentiles)),
        skeleton=clip.skeleton,
        guidance=clip.guidance,
        moments=clip.moments,
    )


def _standing(service: RankingService, generation: str, dimension: Dimension, score: float) -> UnseenStanding | None:
    try:
        found = service.distribution(dimension, score=score, generation=generation)
    except NotFound:
        return None
    return None if found.percentile is None else UnseenStanding(found.percentile, found.rank_error, found.scores)


def _note(generation: str, active: str | None, *, is_held: bool) -> str | None:
    if active is None:
        return "No clip has been scored yet, so there is nothing to compare these scores with."
    if active == generation:
        return None
    compared = "" if is_held else ", and no clip was scored under that one, so there is nothing to compare with"
    return f"Generation {active} is active, and this clip was scored under generation {generation}{compared}."
