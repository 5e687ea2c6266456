"""What is said of a target on its way from training to serving."""

import msgspec
import pytest

from schemas.virality_target import (
    EQ1,
    FittedTarget,
    ReactionWeights,
    Target,
    TargetSettings,
    generation_name,
    target_of,
)

PER_VIEW = FittedTarget(target=Target.PER_VIEW, mean_rate=0.14, prior_views=14.0)


@pytest.mark.parametrize(
    "target",
    [
        EQ1,
        PER_VIEW,
        FittedTarget(target=Target.AUDIENCE_ADJUSTED, weights=ReactionWeights(reposts=3.0), intercept=-5.6, slope=0.87),
    ],
)
def test_a_target_reads_back_as_it_was_written(target: FittedTarget) -> None:
    assert FittedTarget.from_json(target.to_json()) == target


def test_what_was_written_before_there_were_other_targets_is_eq1() -> None:
    assert FittedTarget.from_json(None) == EQ1
    assert target_of("0123456789abcdef") is Target.EQ1


@pytest.mark.parametrize("target", list(Target))
def test_the_name_of_a_generation_says_its_target(target: Target) -> None:
    assert target_of(generation_name(target, "0123456789abcdef")) is target


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('{"target": "likes"}', "Invalid enum value 'likes'"),
        ('{"target": "per-view"}', "needs mean_rate"),
        ('{"target": "eq1", "slope": 1}', "has no slope"),
        ('{"target": "per-view", "mean_rate": 0.0, "prior_views": 1}', "mean_rate of the target per-view is 0"),
        ('{"target": "per-view", "mean_rate": 0.1, "prior_views": 1, "slope": 1}', "has no slope"),
        ('{"weights": {"likes": 2}}', "not Eq"),
        ('{"target": "per-view", "weights": {"likes": -1}}', "weights.likes is -1"),
        ('{"target": "per-view", "weights": {"likes": 0, "comments": 0, "reposts": 0}}', "all 0"),
        ('{"targets": "eq1"}', "unknown field"),
    ],
)
def test_a_target_that_cannot_be_is_refused(text: str, problem: str) -> None:
    with pytest.raises(msgspec.ValidationError, match=problem):
        FittedTarget.from_json(text)


def test_a_description_names_weights_and_parameters() -> None:
    assert EQ1.described() == "eq1"
    weighted = msgspec.structs.replace(PER_VIEW, weights=ReactionWeights(comments=2.0))
    assert weighted.described() == ("per-view (likes × 1; comments × 2; reposts × 1; mean rate 0.14; prior views 14)")
    assert weighted.settings() == TargetSettings(target=Target.PER_VIEW, weights=ReactionWeights(comments=2.0))
