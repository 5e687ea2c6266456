"""The token bucket against its own definition, counted over every span of the past in exact fractions."""

from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from ranking.serving.api.limits import TokenBucket

MINUTE_NS = 60_000_000_000


class SlowLimit:
    """Admits a request unless some span of the past, ending now, would hold more than it may."""

    def __init__(self, per_minute: int, burst: int) -> None:
        self.rate, self.burst = Fraction(per_minute, MINUTE_NS), burst
        self.admitted: list[int] = []

    def take(self, now_ns: int) -> bool:
        starts = [*self.admitted, now_ns]
        fits = all(
            len(starts) - first <= self.burst + self.rate * (now_ns - start) for first, start in enumerate(starts)
        )
        if fits:
            self.admitted.append(now_ns)
        return fits


GAPS_NS = st.one_of(st.integers(0, 3), st.integers(0, 3 * MINUTE_NS), st.sampled_from([MINUTE_NS, MINUTE_NS // 7]))


@given(st.integers(1, 10_000), st.integers(1, 6), st.lists(GAPS_NS, max_size=40), st.integers(0, 2**62))
def test_exactly_those_requests_are_admitted_that_no_span_of_time_forbids(
    per_minute: int, burst: int, gaps_ns: list[int], start_ns: int
) -> None:
    bucket, slow, now_ns = TokenBucket(per_minute, burst), SlowLimit(per_minute, burst), start_ns
    for gap_ns in gaps_ns:
        now_ns += gap_ns
        assert (bucket.take(now_ns) == 0) is slow.take(now_ns)


@given(st.integers(1, 10_000), st.integers(1, 6), st.lists(GAPS_NS, max_size=20))
def test_a_refused_request_is_admitted_after_the_wait_and_not_a_nanosecond_before(
    per_minute: int, burst: int, gaps_ns: list[int]
) -> None:
    bucket, now_ns = TokenBucket(per_minute, burst), 0
    for gap_ns in gaps_ns:
        now_ns += gap_ns
        wait_ns = max(bucket.take(now_ns) for _ in range(burst + 1))
        assert wait_ns > 0
        assert bucket.take(now_ns + wait_ns - 1) == 1
        now_ns += wait_ns
        assert bucket.take(now_ns) == 0


def test_a_bucket_that_rested_for_years_holds_no_more_than_its_burst() -> None:
    bucket = TokenBucket(per_minute=60, burst=3)
    bucket.take(0)
    later_ns = 10**18
    assert [bucket.take(later_ns) for _ in range(4)] == [0, 0, 0, 1_000_000_000]
