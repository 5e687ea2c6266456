"""Segment-averaged regression: means over equal parts of the real steps."""

from fractions import Fraction

import pytest
import torch

from networks.baselines.segments import SegmentRegression, segment_means
from schemas.errors import ConfigurationError


@pytest.mark.parametrize("length", [1, 2, 3, 5, 7, 12, 100])
@pytest.mark.parametrize("segments", [1, 3, 5])
def test_a_segment_averages_steps_by_the_share_that_lies_in_it(length: int, segments: int) -> None:
    torch.manual_seed(0)
    x = torch.randn(1, length + 2, 3, dtype=torch.float64)
    found = segment_means(x, torch.tensor([length]), segments)
    for k in range(segments):
        start, end = Fraction(k * length, segments), Fraction((k + 1) * length, segments)
        shares = [max(min(end, Fraction(t + 1)) - max(start, Fraction(t)), Fraction(0)) for t in range(length)]
        assert sum(shares) == Fraction(length, segments)
        expected = sum(
            (float(share * segments / length) * x[0, t] for t, share in enumerate(shares)), torch.zeros(3).double()
        )
        torch.testing.assert_close(found[0, k], expected, rtol=1e-5, atol=1e-6)


def test_a_clip_of_as_many_steps_as_segments_is_returned_as_it_is() -> None:
    x = torch.randn(2, 25, 3)
    assert torch.equal(segment_means(x, torch.tensor([25, 25]), 25), x)


@torch.inference_mode()
def test_the_score_is_the_mean_of_one_prediction_per_segment() -> None:
    torch.manual_seed(0)
    network = SegmentRegression(4, width=1 / 32, segments=3).eval()
    frames = torch.randn(1, 6, 4)
    weights = network.score.weight[0].chunk(3)
    predictions = [
        3 * (torch.relu(regressor(frames[0, 2 * k : 2 * k + 2].mean(0))) @ weights[k]) + network.score.bias[0]
        for k, regressor in enumerate(network.regressors)
    ]
    torch.testing.assert_close(network(frames, torch.tensor([6])).score[0], torch.stack(predictions).mean())


def test_no_segments_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="0 segments"):
        SegmentRegression(4, segments=0)
