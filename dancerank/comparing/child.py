"""The process that makes one comparison: a ``Task`` on standard input, an answer or a ``Failed`` on standard output."""

import os
import sys
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Final

import msgspec
import numpy as np

from dancerank.comparing.messages import Failed, Said, Task
from dancerank.simulation.comparison import ALLOCATIONS, Outcome, compare
from dancerank.simulation.figures import days_of_grants, granted_in_steps, lifts, reactions_so_far
from dancerank.simulation.measures import Measures
from dancerank.simulation.synthetic import SyntheticWorlds
from ranking.pools.policy import Policy, PolicyError
from ranking.pools.policy_file import parse_policy
from schemas.bundle import read_bundle
from schemas.errors import ConfigurationError, DancerankError, QueryError
from schemas.questions.pool_comparisons import AllocationMeasures, ComparisonAnswer, PolicyOutcome, TierMeasures
from streamer.settings import StreamerSettings

_POLITE: Final = 10
"""Requests come first."""
_DAYS: Final = 60
MOST_REACTIONS: Final = 20_000_000
"""In each world: 160 MB. A policy may name exposures that would fill any memory."""
_MEASURES: Final = ("top_1", "top_1_lift", "top_10", "top_10_lift", "regret", "gini", "discovered")


def answer(task: Task) -> ComparisonAnswer:
    """Raises ``QueryError`` naming which policy is wrong, its line and the remedy, ``ConfigurationError`` for worlds in
    which nothing can be compared, and ``BundleError``.
    """
    question = task.question
    policies = _policies(question.policies)
    settings = StreamerSettings(runtime=task.runtime, providers=tuple(task.providers))
    worlds = SyntheticWorlds(read_bundle(Path(task.bundle)), question.clips, question.days, settings=settings)
    made = [worlds.world(seed) for seed in question.seeds]
    outcomes = compare(made, policies, lambda *_: None, most_reactions=MOST_REACTIONS)
    return ComparisonAnswer(
        clips=len(made[0]),
        before=question.clips - len(made[0]),
        days=question.days,
        seeds=list(question.seeds),
        policies=[_outcome(of_policy) for of_policy in outcomes],
    )


def _policies(texts: Sequence[str]) -> list[Policy]:
    """Read here, not where requests are answered: a text that was made for it takes minutes, in which no other thread
    of that process would get on.
    """
    policies = []
    for number, text in enumerate(texts):
        try:
            policies.append(parse_policy(text, f"policies.{number}"))
        except PolicyError as error:
            raise QueryError(error.message, field=f"policies.{number}") from error
    versions = [policy.version for policy in policies]
    if len(set(versions)) < len(versions):
        raise QueryError(
            f"both policies are called {versions[0]}, by which figures are distinguished; give each its own version",
            field="policies.1",
        )
    return policies


def _outcome(outcomes: Sequence[Outcome]) -> PolicyOutcome:
    days = days_of_grants(outcomes, _DAYS)
    policy = outcomes[0].policy
    rules = sorted({rule for outcome in outcomes for rule in outcome.rules})
    return PolicyOutcome(
        version=policy.version,
        granted=_mean([outcome.allocations["policy"].measures.granted for outcome in outcomes]) or 0.0,
        allocations=[_allocation(outcomes, name, days) for name in ALLOCATIONS],
        tiers=[
            TierMeasures(
                tier=tier.name,
                entries=float(np.mean([outcome.tiers[index].entries for outcome in outcomes])),
                granted=float(np.mean([outcome.tiers[index].granted for outcome in outcomes])),
                capacity=outcomes[0].tiers[index].capacity,
                by_quarter_day=granted_in_steps(outcomes, index).tolist(),
            )
            for index, tier in enumerate(policy.tiers)
        ],
        rules={rule: float(np.mean([outcome.rules[rule] for outcome in outcomes])) for rule in rules},
        days=days.tolist(),
    )


def _allocation(outcomes: Sequence[Outcome], name: str, days: np.ndarray) -> AllocationMeasures:
    measures = [outcome.allocations[name].measures for outcome in outcomes]
    means = {
        field.name: _mean([getattr(each, field.name) for each in measures])
        for field in fields(Measures)
        if field.name in _MEASURES
    }
    by_twentieth = np.array([lifts(outcome, name) for outcome in outcomes])
    so_far = np.mean([reactions_so_far(outcome, name, days) for outcome in outcomes], axis=0)
    return AllocationMeasures(
        allocation=name,
        **means,
        lifts=[_mean(column.tolist()) for column in by_twentieth.T],
        reactions=[_mean([value]) for value in so_far.tolist()],
    )


def _mean(values: Sequence[float]) -> float | None:
    """Of the numbers among ``values``; ``None`` without any."""
    numbers = [value for value in values if np.isfinite(value)]
    return float(np.mean(numbers)) if numbers else None


def said(task: Task) -> Said:
    """The answer, or why there is none."""
    try:
        return Said(answer=answer(task))
    except QueryError as error:
        return Said(failed=Failed(error.message, is_asked_for=True, field=error.field or "policies"))
    except ConfigurationError as error:
        return Said(failed=Failed(error.message, is_asked_for=error.field != "bundle"))
    except DancerankError as error:
        return Said(failed=Failed(str(error), is_asked_for=False))


def main() -> None:
    """Answer the task of the process that started this one."""
    os.nice(_POLITE)
    task = msgspec.json.decode(sys.stdin.buffer.read(), type=Task)
    sys.stdout.buffer.write(msgspec.json.encode(said(task)))


if __name__ == "__main__":
    main()
