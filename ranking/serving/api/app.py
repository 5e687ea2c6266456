"""The application: paths, and what each answers."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Final

from fastapi import FastAPI, Query, Response

from ranking.serving.api.bodies import JsonRoute
from ranking.serving.api.comparison_routes import add_comparisons
from ranking.serving.api.description import documented
from ranking.serving.api.errors import RETRY_AFTER_S, install_error_handlers
from ranking.serving.api.event_routes import add_events
from ranking.serving.api.feedback_routes import add_feedback
from ranking.serving.api.guard import Access, install_guards
from ranking.serving.api.model_routes import add_model
from ranking.serving.api.moments_routes import add_moments
from ranking.serving.api.nothing_yet import NOTHING_YET, OrNoneParameters, answer_or_none
from ranking.serving.api.page_routes import add_page
from ranking.serving.api.pages import add_pages
from ranking.serving.api.parameters import (
    ChallengeDistributionParameters,
    ChallengeId,
    ClipId,
    DancerId,
    DistributionParameters,
    GenerationParameters,
    GrowthParameters,
    NeighbourParameters,
    NoParameters,
    RankingParameters,
    UnrankedParameters,
    WindowParameters,
)
from ranking.serving.api.picture_routes import add_pictures
from ranking.serving.api.pool_routes import add_pools
from ranking.serving.api.scoring_routes import add_scoring
from ranking.serving.api.search_parameters import (
    DuplicatesParameters,
    SimilarDancersParameters,
    SimilarParameters,
    SimilarRequest,
)
from ranking.serving.api.style_routes import add_styles
from ranking.serving.api.tips_routes import add_tips
from ranking.serving.live.broadcast import Broadcast
from ranking.serving.readiness import Readiness
from ranking.serving.service import RankingService
from schemas.questions.challenges import ChallengeDistribution, ChallengeGrowth, ScoreDistribution, UnrankedClips
from schemas.questions.dancers import SimilarDancersAnswer
from schemas.questions.feedback import Feedback
from schemas.questions.pictures import Drawing
from schemas.questions.pool_comparisons import PolicyComparisons
from schemas.questions.retrieval import (
    Challenge,
    ChallengeAttention,
    ClipSummary,
    DuplicatesAnswer,
    GenerationState,
    Neighbours,
    Ranking,
    SimilarAnswer,
)
from schemas.questions.scoring import ScoresOnRequest
from schemas.receptions import ObservedReception

RenderMetrics = Callable[[], tuple[str, bytes]]

_DESCRIPTION: Final = """Rankings of short dance clips by what can be seen in them, and the search for similar dancers.

Every clip is scored and embedded by up to four modalities: `skeletal` (movement), `holistic` (appearance), `facial`
(expression) and `scenic` (background). A clip without a usable face simply has no `facial` entry; nothing is made up.
A clip longer than 60 s is a *routine* and scored by `routine` alone.

* **Rankings** order a challenge's clips by one modality or by the fused score.
* **Similarity** is the weighted mean of cosines; the caller chooses how much each modality matters.
* **Tips** say which joints deserve attention in a challenge, and when.
* **Moments** are the seconds that made the score of a routine.
* **Traffic pools** say how often a clip is shown: tiers of exposure, and a reason for every step between them.
"""
_SIMILAR_ERRORS: Final = documented(404, 422, 503)


@dataclass(frozen=True)
class Health:
    status: str


def create_app(
    service: RankingService,
    metrics: RenderMetrics,
    access: Access | None = None,
    *,
    events: Broadcast | None = None,
    scoring: ScoresOnRequest | None = None,
    comparisons: PolicyComparisons | None = None,
    drawing: Drawing | None = None,
    feedback: Feedback | None = None,
) -> FastAPI:
    """The API around ``service``; ``metrics`` gives the content type and the body of ``/metrics``.

    ``access``: who may ask; absent: everybody. ``events``: what is scored and decided now; absent: none can listen.
    ``scoring``: what scores clips that were never uploaded; absent: such questions are answered with 501.
    ``comparisons``: what compares policies of the traffic pools; absent likewise.
    ``drawing``: what draws answers; absent: there are no pictures of them, likewise.
    ``feedback``: what says how clips would score higher; absent likewise.
    """
    access = access or Access()
    app = FastAPI(
        title="dancerank",
        version="1",
        description=_DESCRIPTION,
        openapi_tags=[
            {"name": "similarity", "description": "Who dances like this?"},
            {"name": "rankings", "description": "Who leads a challenge, and by what?"},
            {"name": "feedback", "description": "What moves the score, and where?"},
            {"name": "scoring", "description": "What would the model make of a clip that was never uploaded?"},
            {"name": "pools", "description": "How often is a clip shown, and why?"},
            {"name": "model", "description": "What was it trained on, and how right is it?"},
            {"name": "live", "description": "What happens now?"},
            {"name": "operation", "description": "For load balancers and monitoring."},
        ],
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,  # the redirect would name the host that the request names
    )
    app.router.route_class = JsonRoute
    install_error_handlers(app)
    _add_similarity(app, service)
    _add_rankings(app, service)
    add_tips(app, service)
    add_pictures(app, service, feedback, drawing)
    add_moments(app, service, drawing)
    add_styles(app, service)
    add_scoring(app, service, scoring)
    add_feedback(app, service, feedback)
    add_pools(app, service)
    add_comparisons(app, service, comparisons)
    add_model(app, service)
    add_events(app, events, access.observer)
    _add_operation(app, service, metrics)
    add_pages(app)
    add_page(app)
    install_guards(app, access)
    return app


def _add_similarity(app: FastAPI, service: RankingService) -> None:
    @app.get("/v1/clips/{clip_id}/similar", tags=["similarity"], responses=_SIMILAR_ERRORS)
    def clips_similar_to_a_clip(clip_id: ClipId, parameters: Annotated[SimilarParameters, Query()]) -> SimilarAnswer:
        """The clips, or dancers, most similar to a clip."""
        return service.similar(parameters.query(clip_id=clip_id), generation=parameters.generation)

    @app.get("/v1/clips/{clip_id}/duplicates", tags=["similarity"], responses=_SIMILAR_ERRORS)
    def duplicates_of_a_clip(clip_id: ClipId, asked: Annotated[DuplicatesParameters, Query()]) -> DuplicatesAnswer:
        """Clips that seem to be the same recording, uploaded again: encoded again or cropped a little."""
        return service.duplicates(clip_id, k=asked.k, threshold=asked.threshold, generation=asked.generation)

    @app.get("/v1/dancers/{dancer_id}/similar", tags=["similarity"], responses=_SIMILAR_ERRORS)
    def clips_similar_to_a_dancer(
        dancer_id: DancerId, parameters: Annotated[SimilarParameters, Query()]
    ) -> SimilarAnswer:
        """The clips, or dancers, most similar to a dancer: to the mean of the dancer's clips."""
        return service.similar(parameters.query(dancer_id=dancer_id), generation=parameters.generation)

    @app.get("/v1/dancers/{dancer_id}/similar-dancers", tags=["similarity"], responses=_SIMILAR_ERRORS)
    def dancers_similar_to_a_dancer(
        dancer_id: DancerId, asked: Annotated[SimilarDancersParameters, Query()]
    ) -> SimilarDancersAnswer:
        """The dancers most similar to a dancer, by all of their clips or by their most similar one."""
        return service.similar_dancers(asked.query(dancer_id), generation=asked.generation)

    @app.post("/v1/similar", tags=["similarity"], responses=documented(404, 413, 415, 422, 503))
    def clips_similar_to_an_example(request: SimilarRequest) -> SimilarAnswer:
        """The same for any example, also for embeddings of a clip that was never uploaded."""
        return service.similar(request.query(), generation=request.generation)


def _add_rankings(app: FastAPI, service: RankingService) -> None:
    errors = documented(404, 422, 503)

    @app.get("/v1/clips/{clip_id}", tags=["rankings"], responses=errors)
    def clip(clip_id: ClipId, parameters: Annotated[WindowParameters, Query()]) -> ClipSummary:
        """A clip's scores, the attention paid to each modality, and its place in its challenge: among all clips, or
        among those of a window, if it is one of them.
        """
        return service.clip(clip_id, generation=parameters.generation, window=parameters.window)

    @app.get("/v1/clips/{clip_id}/neighbours", tags=["rankings"], responses=errors)
    def neighbours(clip_id: ClipId, parameters: Annotated[NeighbourParameters, Query()]) -> Neighbours:
        """A clip's place in its challenge, with the next better and the next worse clips."""
        asked = parameters
        return service.neighbours(
            clip_id, asked.by, k=asked.k, generation=asked.generation, window=asked.window, style=asked.style
        )

    @app.get(
        "/v1/clips/{clip_id}/observed",
        tags=["rankings"],
        responses=errors | NOTHING_YET,
        response_model=ObservedReception,
    )
    def observed(clip_id: ClipId, asked: Annotated[OrNoneParameters, Query()]) -> ObservedReception | Response:
        """How a clip was received, as counted last, and where that stands among the counted clips of its challenge: to
        compare with what was predicted.
        """
        return answer_or_none(lambda: service.observed(clip_id), asked.or_none)

    @app.get("/v1/challenges", tags=["rankings"], responses=errors)
    def challenges(parameters: Annotated[GenerationParameters, Query()]) -> list[Challenge]:
        """Every challenge and how many clips it has."""
        return service.challenges(generation=parameters.generation)

    @app.get("/v1/generations", tags=["rankings"], responses=documented(422, 503))
    def generations(_: Annotated[NoParameters, Query()]) -> list[GenerationState]:
        """The model generations: clips scored under each, and which one answers where none is asked for."""
        return service.generations()

    @app.get("/v1/challenges/{challenge_id}/rankings", tags=["rankings"], responses=errors)
    def rankings(challenge_id: ChallengeId, parameters: Annotated[RankingParameters, Query()]) -> Ranking:
        """One end of a challenge's ranking, with rank and percentile of each clip, or the page that follows a clip."""
        asked = parameters
        return service.ranking(
            challenge_id,
            asked.by,
            order=asked.order,
            k=asked.k,
            generation=asked.generation,
            window=asked.window,
            after=asked.after,
            style=asked.style,
        )

    @app.get("/v1/distribution", tags=["rankings"], responses=errors)
    def distribution(parameters: Annotated[DistributionParameters, Query()]) -> ScoreDistribution:
        """How scores are distributed over all challenges together: an estimate, with the most that it is off by."""
        return service.distribution(parameters.by, score=parameters.score, generation=parameters.generation)

    @app.get("/v1/challenges/{challenge_id}/attention", tags=["rankings"], responses=errors)
    def attention(challenge_id: ChallengeId, parameters: Annotated[WindowParameters, Query()]) -> ChallengeAttention:
        """Which aspect matters most in a challenge: the mean attention of each modality."""
        return service.attention(challenge_id, generation=parameters.generation, window=parameters.window)

    @app.get("/v1/challenges/{challenge_id}/distribution", tags=["rankings"], responses=errors)
    def distribution_in_a_challenge(
        challenge_id: ChallengeId, parameters: Annotated[ChallengeDistributionParameters, Query()]
    ) -> ChallengeDistribution:
        """How the scores of a challenge are distributed: an exact histogram."""
        asked = parameters
        return service.challenge_distribution(
            challenge_id,
            asked.by,
            bins=asked.bins,
            generation=asked.generation,
            window=asked.window,
            style=asked.style,
        )

    @app.get("/v1/challenges/{challenge_id}/unranked", tags=["rankings"], responses=errors)
    def unranked(challenge_id: ChallengeId, parameters: Annotated[UnrankedParameters, Query()]) -> UnrankedClips:
        """Clips of a challenge that lie outside what the model was trained on: they have scores and no place."""
        asked = parameters
        return service.unranked(challenge_id, k=asked.k, after=asked.after, generation=asked.generation)

    @app.get("/v1/challenges/{challenge_id}/growth", tags=["rankings"], responses=errors)
    def growth(challenge_id: ChallengeId, parameters: Annotated[GrowthParameters, Query()]) -> ChallengeGrowth:
        """How many clips of a challenge were uploaded in each minute, hour or day up to now."""
        return service.growth(challenge_id, by=parameters.by, generation=parameters.generation)


def _add_operation(app: FastAPI, service: RankingService, metrics: RenderMetrics) -> None:
    @app.get("/healthz", tags=["operation"], responses={503: {"model": Health, "description": "Restart the process."}})
    def healthz(response: Response) -> Health:
        """Whether the process works."""
        healthy = service.healthy()
        response.status_code = 200 if healthy else 503
        return Health("ok" if healthy else "failed")

    @app.get(
        "/readyz", tags=["operation"], responses={503: {"model": Readiness, "description": "Not yet, or not now."}}
    )
    def readyz(response: Response) -> Readiness:
        """Whether to send requests here: the log has been read up to where it ended, and the database answers. What is
        waited for meanwhile, though requests can be answered, is `waiting`.
        """
        readiness = service.readiness()
        if not readiness.ready:
            response.status_code = 503
            response.headers["Retry-After"] = str(RETRY_AFTER_S)
        return readiness

    @app.get("/metrics", tags=["operation"], response_class=Response)
    def prometheus_metrics() -> Response:
        """Metrics in Prometheus' text format."""
        content_type, body = metrics()
        return Response(body, headers={"Content-Type": content_type})
