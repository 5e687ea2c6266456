"""The targets that networks learn, from annotations (decision 0042). Legend: N clips.

========================  =======================================================================================
``eq1``                   Eq. (1), log2((likes + comments + reposts + 1) / clip(days, 1, 7)), or the judged score
``per-view``              log2((R + k m) / (V + k)): R weighted reactions, V views, m mean rate, k views of the prior
``audience-adjusted``     log2((R + 1) / clip(days, 1, 7)) - (a + b log2(followers))
========================  =======================================================================================

m, k, a and b are fitted to training clips. Eq. (2) then brings every target to [0, 1], by challenge.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from schemas.virality_target import EQ1, FittedTarget, ReactionWeights, Target, TargetSettings
from vdv.annotations import COUNTS, Annotation
from vdv.errors import DataSetError, Finding
from vdv.virality import FEWEST_DAYS, MOST_DAYS, normalise, raw_score

Float64 = npt.NDArray[np.float64]

REACTIONS: Final = ("likes", "comments", "reposts")
COLUMNS_OF: Final = {
    Target.EQ1: COUNTS,
    Target.PER_VIEW: (*REACTIONS, "views"),
    Target.AUDIENCE_ADJUSTED: (*COUNTS, "followers"),
}
"""The columns that a target is made of."""
FEWEST_TO_FIT: Final = 3
_PRECISION: Final = 1e-12
_MOST_ROUNDS: Final = 10_000


class Targets(NamedTuple):
    """A target and its Eq. (2) of every clip: ``raw`` (N,), ``normalised`` (N,) in [0, 1]."""

    raw: Float64
    normalised: Float64


def is_labelled(annotation: Annotation, target: Target = Target.EQ1) -> bool:
    """Whether a clip has exactly one label: all columns of ``target``, or a judged score (only with ``eq1``)."""
    if annotation.score is None:
        return all(getattr(annotation, column) is not None for column in COLUMNS_OF[target])
    return target is Target.EQ1 and all(getattr(annotation, column) is None for column in COUNTS)


def target_findings(table: Path, annotations: Sequence[Annotation], target: Target) -> Iterator[Finding]:
    """What is wrong with the values that ``target`` is made of, in rows that have all of them."""
    for a in annotations:
        if target is Target.PER_VIEW and a.views is not None:
            reactions = sum(getattr(a, name) or 0 for name in REACTIONS)
            if a.views < reactions:
                problem = f"{a.views} views are fewer than {reactions} reactions"
                remedy = "count views and reactions at the same time, or remove the row"
                yield Finding(table, problem, remedy, row=a.row, field="views")
        if target is Target.AUDIENCE_ADJUSTED and a.followers == 0:
            remedy = "give the author's followers, 1 or more, or remove the row"
            yield Finding(table, "0 followers have no logarithm", remedy, row=a.row, field="followers")


def targets(annotations: Sequence[Annotation], target: FittedTarget = EQ1) -> Targets:
    """The learning targets of all clips of a data set, in their order.

    The minimum and maximum of Eq. 2 are taken over all clips given, as the paper does over a challenge, so give the
    whole data set, not a part. Raises ``DataSetError`` naming the first clip without a label, or with one that the
    target cannot be made of.
    """
    raw = raw_targets(annotations, target)
    return Targets(raw, normalise(raw, [a.challenge_id for a in annotations]))


def raw_targets(annotations: Sequence[Annotation], target: FittedTarget = EQ1) -> Float64:
    """``target`` of every clip, (N,). Raises as ``targets``."""
    _refuse_unlabelled(annotations, target.target)
    if target.target is Target.PER_VIEW:
        prior, mean = target.parameter("prior_views"), target.parameter("mean_rate")
        reactions, views = _weighted(annotations, target.weights), _column(annotations, "views")
        rates: Float64 = np.log2((reactions + prior * mean) / (views + prior))
        return rates
    if target.target is Target.AUDIENCE_ADJUSTED:
        doublings = np.log2(_column(annotations, "followers"))
        expected = target.parameter("intercept") + target.parameter("slope") * doublings
        adjusted: Float64 = _weighted_score(annotations, target.weights) - expected
        return adjusted
    raw = np.zeros(len(annotations))
    judged = np.array([a.score is not None for a in annotations], bool)
    raw[judged] = [a.score for a in annotations if a.score is not None]
    counted = [[getattr(a, column) for column in COUNTS] for a in annotations if a.score is None]
    if counted:
        raw[~judged] = raw_score(*np.array(counted, np.float64).T)
    return raw


def fit_target(settings: TargetSettings, training: Sequence[Annotation]) -> FittedTarget:
    """``settings`` with the parameters that follow from ``training``: give the clips to learn from, none held out.

    Raises ``DataSetError`` as ``targets``, and where the parameters cannot be known: fewer than three clips, all with
    the same followers, without reactions, or with rates that differ no more than by chance.
    """
    _refuse_unlabelled(training, settings.target)
    if settings.target is Target.EQ1:
        return FittedTarget()
    if len(training) < FEWEST_TO_FIT:
        raise DataSetError(
            f"the target {settings.target} is fitted to {FEWEST_TO_FIT} clips or more, there are {len(training)} to "
            "learn from; add clips, or learn eq1",
            field="target",
        )
    if settings.target is Target.PER_VIEW:
        mean_rate, prior_views = fit_rate(training, settings.weights)
        return FittedTarget(
            target=settings.target, weights=settings.weights, mean_rate=mean_rate, prior_views=prior_views
        )
    intercept, slope = _fit_audience(training, settings.weights)
    return FittedTarget(target=settings.target, weights=settings.weights, intercept=intercept, slope=slope)


def fit_rate(training: Sequence[Annotation], weights: ReactionWeights) -> tuple[float, float]:
    """m and k of ``per-view``, by Bühlmann's and Straub's credibility theory (1970) with views as the exposure.

    Reactions of each sort are taken as Poisson given the clip's own rate, so that a rate seen over V views has the
    variance s / V, s = sum of weight squared times mean rate. The rates themselves have the variance t between clips,
    and k = s / t. m and t solve the equations of Bichsel and Straub, m = sum(z r) / sum(z) and
    t = sum(z (r - m)^2) / (N - 1) with z = V / (V + k), so that no clip counts more than another by its views alone.
    """
    views = _column(training, "views")
    seen = views > 0
    views = views[seen]
    rates = _weighted(training, weights)[seen] / views
    if len(views) < FEWEST_TO_FIT or not rates.any():
        raise DataSetError(
            "no rate of reactions can be fitted: give clips to learn from that were seen and reacted to, or learn eq1",
            field="views",
        )
    squares = ReactionWeights(**{name: getattr(weights, name) ** 2 for name in weights.__struct_fields__})
    process = float(_weighted(training, squares).sum() / views.sum())
    between = float(rates.var(ddof=1))
    mean = float(rates.mean())
    for _ in range(_MOST_ROUNDS):
        if between <= _PRECISION * mean**2:
            raise DataSetError(
                "the rates of reactions differ by chance alone, so that no target can be made of them; add clips with "
                "more views, or learn eq1",
                field="views",
            )
        credibility = views / (views + process / between)
        mean = float(credibility @ rates / credibility.sum())
        before, between = between, float(credibility @ (rates - mean) ** 2 / (len(rates) - 1))
        if abs(between - before) <= _PRECISION * before:
            break
    return mean, process / between


def _fit_audience(training: Sequence[Annotation], weights: ReactionWeights) -> tuple[float, float]:
    """a and b of ``audience-adjusted``, by least squares."""
    doublings = np.log2(_column(training, "followers"))
    if np.ptp(doublings) == 0:
        raise DataSetError(
            f"all {len(training)} clips to learn from have {training[0].followers} followers, so nothing follows from "
            "them; learn eq1",
            field="followers",
        )
    scores = _weighted_score(training, weights)
    apart = doublings - doublings.mean()
    slope = float(apart @ scores / (apart @ apart))
    return float(scores.mean() - slope * doublings.mean()), slope


def _refuse_unlabelled(annotations: Sequence[Annotation], target: Target) -> None:
    for a in annotations:
        if not is_labelled(a, target):
            or_score = " or score" if target is Target.EQ1 else ""
            either = "either " if or_score else ""
            other = "" if or_score or a.score is None else "; a judged score is learned as eq1"
            raise DataSetError(
                f"clip {a.clip_id} (row {a.row}) has no label, or two; give {either}"
                f"{', '.join(COLUMNS_OF[target])}{or_score}{other}"
            )
    for finding in target_findings(Path("clips.csv"), annotations, target):
        raise DataSetError(str(finding), field=finding.field, findings=[finding])


def _column(annotations: Sequence[Annotation], name: str) -> Float64:
    return np.array([getattr(a, name) for a in annotations], np.float64)


def _weighted(annotations: Sequence[Annotation], weights: ReactionWeights) -> Float64:
    total: Float64 = sum(
        (getattr(weights, name) * _column(annotations, name) for name in REACTIONS), np.zeros(len(annotations))
    )
    return total


def _weighted_score(annotations: Sequence[Annotation], weights: ReactionWeights) -> Float64:
    days = np.clip(_column(annotations, "days_online"), FEWEST_DAYS, MOST_DAYS)
    scores: Float64 = np.log2((_weighted(annotations, weights) + 1.0) / days)
    return scores
