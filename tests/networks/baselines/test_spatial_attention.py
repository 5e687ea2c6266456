"""Frame-level attention averaging: nothing passes between frames."""

import pytest
import torch

from networks.baselines.spatial_attention import SpatialAttention
from schemas.errors import ConfigurationError


@torch.inference_mode()
def test_the_score_is_the_mean_of_the_predictions_of_single_frames() -> None:
    torch.manual_seed(0)
    network = SpatialAttention(24, width=1 / 16).eval()
    frames = torch.randn(1, 9, 24)
    single = [network(frames[:, t : t + 1], torch.tensor([1])).score[0] for t in range(7)]
    torch.testing.assert_close(network(frames, torch.tensor([7])).score[0], torch.stack(single).mean())


@torch.inference_mode()
def test_a_frame_is_the_attended_mean_of_its_groups() -> None:
    torch.manual_seed(0)
    network = SpatialAttention(6, width=1 / 64, groups=3).eval()
    torch.nn.init.normal_(network.offsets)
    frame = torch.randn(6)
    matrices = network.values.weight.view(3, 4, 2)
    values = [matrices[g] @ frame[2 * g : 2 * g + 2] for g in range(3)]
    query = network.query.weight.flatten()
    weights = torch.stack([query @ torch.tanh(values[g] + network.offsets[g, :, 0]) for g in range(3)]).softmax(0)
    hidden = torch.relu(sum((weights[g] * values[g] for g in range(3)), torch.zeros(4)))
    torch.testing.assert_close(network(frame[None, None], torch.tensor([1])).embedding[0], hidden)
    assert network.attention(torch.stack(values)[None, :, :, None]).sum() == pytest.approx(1.0)


def test_channels_that_cannot_be_grouped_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="20 channels cannot be split in 8 equal groups"):
        SpatialAttention(20)
