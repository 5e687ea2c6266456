"""Policies of the traffic pools, compared by the simulator before one of them meets anybody."""

from typing import Annotated, Any, Final

from fastapi import FastAPI, Query
from pydantic import BaseModel, Field

from ranking.serving.api.bodies import body_config
from ranking.serving.api.description import documented
from ranking.serving.api.parameters import NoParameters
from ranking.serving.service import RankingService
from schemas.errors import NotOffered, NotReady, NotServedHere
from schemas.questions.pool_comparisons import (
    FEWEST_CLIPS,
    MOST_CLIPS,
    MOST_DAYS,
    MOST_POLICIES,
    MOST_SEEDS,
    ComparisonAnswer,
    ComparisonQuestion,
    NamedPolicy,
    PolicyComparisons,
)

_SEED_BELOW: Final = 2**31
_MOST_CHARACTERS: Final = 100_000
_EXAMPLE: Final[dict[str, Any]] = {"policies": ["four-tiers"], "seeds": [1], "clips": 600, "days": 7}
_Policy = Annotated[str, Field(min_length=1, max_length=_MOST_CHARACTERS)]


class ComparisonRequest(BaseModel):
    """One policy beside the references, or two policies."""

    model_config = body_config(examples=[_EXAMPLE])

    policies: Annotated[
        list[_Policy],
        Field(
            min_length=1,
            max_length=MOST_POLICIES,
            description="Each a TOML document (docs/pools.md), or a name of `/v1/pools/policies`.",
        ),
    ]
    seeds: Annotated[
        list[Annotated[int, Field(ge=0, lt=_SEED_BELOW)]],
        Field(min_length=1, max_length=MOST_SEEDS, description="A simulated world each; figures are their means."),
    ] = [1]
    clips: Annotated[int, Field(ge=FEWEST_CLIPS, le=MOST_CLIPS, description="Uploads in each world.")] = 600
    days: Annotated[float, Field(gt=0, le=MOST_DAYS, description="Days in which they come.")] = 7.0


def add_comparisons(app: FastAPI, service: RankingService, comparisons: PolicyComparisons | None) -> None:
    """Without ``comparisons`` the questions are answered with 501, the active policy with what is known of it."""

    @app.get("/v1/pools/policies", tags=["pools"], responses=documented(422, 503))
    def policies_to_begin_with(_: Annotated[NoParameters, Query()]) -> list[NamedPolicy]:
        """The active policy, if there is one, and the examples that ship, as TOML."""
        return _known(service, comparisons)

    @app.post("/v1/pools/comparison", tags=["pools"], responses=documented(413, 415, 422, 501, 503))
    def comparison_of_policies(request: ComparisonRequest) -> ComparisonAnswer:
        """One or two policies in the same simulated worlds, beside other ways to give out the same impressions. It
        takes seconds; one comparison at a time is made.
        """
        if comparisons is None:
            raise NotOffered("policies are not compared here; ask a process of dancerank serve")
        known = {each.name: each.toml for each in _known(service, comparisons)}
        return comparisons.compare(
            ComparisonQuestion(
                policies=tuple(known.get(text, text) for text in request.policies),
                seeds=tuple(dict.fromkeys(request.seeds)),
                clips=request.clips,
                days=request.days,
            )
        )


def _known(service: RankingService, comparisons: PolicyComparisons | None) -> list[NamedPolicy]:
    examples = [] if comparisons is None else comparisons.examples()
    try:
        return [service.active_policy(), *examples]
    except (NotReady, NotServedHere):
        return examples
