"""TCN: the public structure, causal and weight-normalised."""

import itertools

import torch

from networks.baselines.tcn import TCN, CausalBlock, TemporalConvNet


def test_it_has_as_many_parameters_as_the_public_code() -> None:
    network = TemporalConvNet(614, [128] * 6, 10, kernel=3, dropout=0.2)
    assert sum(parameter.numel() for parameter in network.parameters()) == 859_530
    assert network(torch.randn(2, 614, 7)).shape == (2, 7, 10)


@torch.inference_mode()
def test_a_step_depends_on_the_past_alone_and_reaches_back_the_receptive_field() -> None:
    torch.manual_seed(0)
    network = TemporalConvNet(3, [4, 4, 4], 2, kernel=3, dropout=0.0).double().eval()
    reach = 2 * 2 * (1 + 2 + 4)  # two convolutions of kernel 3 in each of three blocks
    x = torch.randn(1, 3, 60, dtype=torch.float64)
    plain, changed = network(x), x.clone()
    changed[:, :, 20] += 100.0
    differs = (network(changed) - plain)[0].abs().sum(1) > 0
    assert differs.nonzero().flatten().min() == 20
    assert differs.nonzero().flatten().max() <= 20 + reach
    assert differs[20 + reach - 4 :].any()


@torch.inference_mode()
def test_a_block_is_two_weight_normalised_causal_convolutions_and_a_residual() -> None:
    torch.manual_seed(0)
    block = CausalBlock(2, 3, kernel=3, dilation=2, dropout=0.5).eval()
    x = torch.randn(2, 9)

    def convolved(signal: torch.Tensor, layer: torch.nn.Module) -> torch.Tensor:
        gain, direction = layer.parametrizations.weight.original0, layer.parametrizations.weight.original1
        result = layer.bias[:, None].repeat(1, signal.shape[1])
        for out, inner, tap, t in itertools.product(range(3), range(len(signal)), range(3), range(signal.shape[1])):
            before = t - 2 * (2 - tap)
            if before >= 0:
                weight = gain[out, 0, 0] * direction[out, inner, tap] / direction[out].square().sum().sqrt()
                result[out, t] += weight * signal[inner, before]
        return torch.relu(result)

    hidden = convolved(convolved(x, block.convolutions[0]), block.convolutions[1])
    residual = block.projection.weight[:, :, 0] @ x + block.projection.bias[:, None]
    torch.testing.assert_close(block(x[None])[0], torch.relu(hidden + residual), rtol=1e-5, atol=1e-6)


def test_the_stream_has_the_widths_and_the_kernel_of_rtcn() -> None:
    with torch.device("meta"):
        network = TCN(2048)
    convolutions = [block.convolutions[1] for block in network.network.blocks]
    assert [layer.out_channels for layer in convolutions] == [256, 256, 512, 512, 1024, 1024]
    assert {layer.kernel_size for layer in convolutions} == {(7,)}
    assert [layer.dilation[0] for layer in convolutions] == [1, 2, 4, 8, 16, 32]
    assert network.embedding_dim == 1024


@torch.inference_mode()
def test_the_score_is_the_mean_of_the_predictions_at_the_real_steps() -> None:
    torch.manual_seed(0)
    network = TCN(5, width=1 / 64).eval()
    frames = torch.randn(1, 12, 5)
    predictions = network.network(network.reduction(frames.transpose(1, 2)))[0, :8, 0]
    torch.testing.assert_close(network(frames, torch.tensor([8])).score[0], predictions.mean())
