"""LSTM: the paper's size, and real steps alone."""

import torch

from networks.baselines.lstm import LSTM


def test_it_has_two_layers_of_512() -> None:
    network = LSTM(2048)
    layers = 4 * 512 * (2048 + 512 + 2) + 4 * 512 * (512 + 512 + 2)
    assert sum(parameter.numel() for parameter in network.parameters()) == layers + 512 + 1
    assert network.embedding_dim == 512


@torch.inference_mode()
def test_it_reads_the_mean_of_the_states_of_the_real_steps_in_order() -> None:
    torch.manual_seed(0)
    network = LSTM(3, width=1 / 64).eval()
    frames = torch.randn(1, 6, 3)
    state, states = None, []
    for step in range(4):
        output, state = network.recurrent(frames[:, step : step + 1], state)
        states.append(output[0, 0])
    found = network(frames, torch.tensor([4]))
    torch.testing.assert_close(found.embedding[0], torch.stack(states).mean(0))
    assert not torch.allclose(network(frames.flip(1)[:, 2:], torch.tensor([4])).score, found.score)
