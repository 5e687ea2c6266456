"""The heaviest moments of a routine are those of a slow reference in exact fractions, apart from each other."""

from collections.abc import Mapping, Sequence
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.errors import QueryError
from schemas.events import TemporalAttention
from schemas.modalities import Modality
from schemas.moments import MOST_MOMENTS, check_moments, heaviest, instances, moments_of

Exact = tuple[str, Fraction, Fraction, Fraction, Fraction]


def reference(weights: Mapping[str, Sequence[float]], count: int, apart_s: Fraction) -> list[Exact]:
    """Part, start, end, weight and weight over an equal one, at one step a second: by trying all."""
    found: list[tuple[Fraction, Fraction, int, Exact]] = []
    for order, (part, of_part) in enumerate(weights.items()):
        length = Fraction(16, 5) if part == "dynamic" else Fraction(1)
        number = 1 + max(int(Fraction(second) / length) for second in range(len(of_part)))
        for instance in range(number):
            seconds = [t for t in range(len(of_part)) if instance * length <= t < (instance + 1) * length]
            weight = sum((Fraction(of_part[t]) for t in seconds), Fraction(0))
            start, end = instance * length, min((instance + 1) * length, Fraction(len(of_part)))
            if weight > 0:
                found.append((-weight * number, start, order, (part, start, end, weight, weight * number)))
    chosen: list[Exact] = []
    while len(chosen) < count:
        left = [
            each
            for each in found
            if all(each[3][1] - other[2] >= apart_s or other[1] - each[3][2] >= apart_s for other in chosen)
        ]
        if not left:
            break
        chosen.append(min(left, key=lambda each: each[:3])[3])
    return chosen


parts = st.integers(1, 40).flatmap(
    lambda seconds: st.fixed_dictionaries(
        {
            name: st.lists(
                st.sampled_from([0.0, 0.125, 0.25, 0.5]) | st.floats(0, 1, width=16),
                min_size=seconds,
                max_size=seconds,
            )
            for name in ("dynamic", "static")
        }
    )
)


@settings(deadline=None)
@given(weights=parts, count=st.integers(1, 8), apart_s=st.sampled_from([0, 1, 3.2, 5, 16]))
def test_moments_are_those_of_a_reference_that_tries_all(
    weights: dict[str, list[float]], count: int, apart_s: float
) -> None:
    expected = reference(weights, count, Fraction(str(apart_s)))
    found = heaviest(weights, 1.0, count, apart_s)
    assert [moment.part for moment in found] == [each[0] for each in expected]
    for moment, (_, *exact) in zip(found, expected, strict=True):
        numbers = (moment.start_s, moment.end_s, moment.weight, moment.times_equal)
        assert numbers == pytest.approx([float(each) for each in exact], rel=1e-9, abs=1e-12)


def test_a_segment_has_the_weight_of_the_seconds_that_begin_in_it() -> None:
    weights = [1.0, 2.0, 3.0, 4.0, 10.0, 20.0, 30.0, 100.0]
    assert instances("dynamic", weights, 1.0) == [(0.0, 3.2, 10.0), (3.2, 6.4, 60.0), (6.4, 9.6, 100.0)]
    assert instances("static", weights[:2], 2.0) == [(0.0, 0.5, 1.0), (0.5, 1.0, 2.0)]
    for seconds in range(1, 601):  # as many segments as the stream has
        assert len(instances("dynamic", [0.0] * seconds, 1.0)) == (5 * seconds + 11) // 16


def test_equal_attention_counts_alike_in_both_parts() -> None:
    weights = {"dynamic": [0.25 / 4] * 4 + [0.25 / 3] * 6 + [0.25 / 3] * 3, "static": [1 / 13] * 13}
    for moment in heaviest(weights, 1.0, MOST_MOMENTS, 0.0):
        assert moment.times_equal == pytest.approx(1.0)


def test_a_segment_that_the_routine_ends_within_ends_with_it() -> None:
    (last,) = heaviest({"dynamic": [0.0] * 64 + [0.5]}, 1.0, 3)
    assert (last.start_s, last.end_s, last.times_equal) == (64.0, 65.0, 0.5 * 21)


def test_an_answer_has_the_weights_as_they_are_in_the_event() -> None:
    held = np.array([[0.25, 0.75, 0.0], [0.5, 0.125, 0.375]], "<f2")
    attention = TemporalAttention(
        modality=Modality.ROUTINE, rate_hz=2.0, parts=("dynamic", "static"), weights=held.tobytes()
    )
    found = moments_of(attention, 2, 0.0)
    assert (found.modality, found.rate_hz, found.seconds, found.parts) == ("routine", 2.0, 1.5, ["dynamic", "static"])
    assert found.weights == {"dynamic": [0.25, 0.75, 0.0], "static": [0.5, 0.125, 0.375]}
    assert [(each.part, each.start_s, each.end_s, each.times_equal) for each in found.moments] == [
        ("static", 0.0, 0.5, 1.5),
        ("static", 1.0, 1.5, 1.125),
    ]


@pytest.mark.parametrize(
    ("count", "apart_s", "said"),
    [(0, 5.0, "count is 0"), (21, 5.0, "count is 21"), (1, -1.0, "apart_s is -1"), (1, float("nan"), "apart_s is nan")],
)
def test_a_count_and_a_distance_that_cannot_be_are_refused_by_name(count: int, apart_s: float, said: str) -> None:
    with pytest.raises(QueryError, match=said):
        check_moments(count, apart_s)
