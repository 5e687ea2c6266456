import numpy as np
import pytest
from scipy.stats import spearmanr

from ranking.monitoring.agreement import ChallengeWindow, compare
from ranking.monitoring.calibration import Bounds
from schemas.modalities import DIMENSIONS, Dimension


def challenge(challenge_id: str, clips: int, *, seed: int = 0, observed: int | None = None) -> ChallengeWindow:
    generator = np.random.default_rng([seed, clips])
    virality = generator.normal(size=clips).round(1)
    scores = virality[:, None] + generator.normal(size=(clips, len(DIMENSIONS)))
    bounds = Bounds(float(virality.min()), float(virality.max()))
    return ChallengeWindow(challenge_id, scores, virality, bounds, observed or clips)


def test_each_dimension_has_scipys_correlation_over_the_clips_that_have_it() -> None:
    given = challenge("ch", 60)
    given.scores[:25, 2] = np.nan
    found = {a.dimension: a for a in compare([given], least_clips=20, most_challenges=1).agreements if a.challenge_id}
    assert [found[d].clips for d in DIMENSIONS] == [35 if column == 2 else 60 for column in range(len(DIMENSIONS))]
    for column, dimension in enumerate(DIMENSIONS):
        rows = slice(25, None) if column == 2 else slice(None)
        expected = spearmanr(given.scores[rows, column], given.virality[rows]).statistic
        assert found[dimension].correlation == pytest.approx(expected)


def test_too_few_clips_of_a_challenge_or_of_a_dimension_say_nothing() -> None:
    few, enough = challenge("few", 19), challenge("enough", 20)
    enough.scores[0, 0] = np.nan
    found = compare([few, enough], least_clips=20, most_challenges=5)
    assert {a.challenge_id for a in found.agreements} == {"enough", None}
    assert {a.dimension for a in found.agreements} == set(Dimension) - {Dimension.SKELETAL}


def test_without_an_order_there_is_no_correlation() -> None:
    constant = challenge("ch", 30)
    constant.scores[:, 1] = 0.5
    found = compare([constant], least_clips=20, most_challenges=5).agreements
    assert Dimension.HOLISTIC not in {a.dimension for a in found}
    assert all(np.isfinite(a.correlation) for a in found)
    unseen = constant._replace(virality=np.zeros(30), bounds=Bounds(0.0, 0.0))
    assert compare([unseen], least_clips=20, most_challenges=5).agreements == []


def test_the_challenges_with_most_clips_are_reported_and_all_count_in_the_mean() -> None:
    given = [challenge("b", 40, observed=90), challenge("a", 30), challenge("c", 40, observed=80), challenge("d", 25)]
    one_by_one = compare(given, least_clips=20, most_challenges=4).agreements
    found = compare(given, least_clips=20, most_challenges=2).agreements
    assert {a.challenge_id for a in found} == {"b", "c", None}
    for mean in (a for a in found if a.challenge_id is None):
        parts = [a for a in one_by_one if a.challenge_id and a.dimension == mean.dimension]
        assert mean.correlation == pytest.approx(np.mean([a.correlation for a in parts]))
        assert mean.clips == 135
    first = compare(given, least_clips=20, most_challenges=1).agreements
    assert {a.challenge_id for a in first} == {"b", None}, "of two with as many clips, the one observed more often"


def test_calibration_is_over_the_challenges_that_are_large_enough() -> None:
    flat = challenge("flat", 30)._replace(virality=np.linspace(0, 3, 30), bounds=Bounds(0.0, 3.0))
    flat.scores[:] = (np.linspace(0, 1, 30) + 0.1)[:, None]
    tiny = challenge("tiny", 3)
    found = {c.dimension: c for c in compare([flat, tiny], least_clips=20, most_challenges=5).calibrations}
    assert set(found) == set(DIMENSIONS)
    assert found[Dimension.FUSED].bias == pytest.approx(0.1)
    assert found[Dimension.FUSED].error == pytest.approx(0.1)
    assert compare([tiny], least_clips=20, most_challenges=5) == ([], [], {})
