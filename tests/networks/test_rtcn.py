"""RTCN against the paper's sizes and a literal Eq. (10-11)."""

import math

import torch

from networks.attention import MultiHeadSelfAttention
from networks.rtcn import RTCN, RelationalPooling


def test_the_full_size_is_the_papers() -> None:
    network = RTCN(2048)
    assert network.reduction.weight.shape == (256, 2048, 1)
    widths, dilations = [256, 256, 512, 512, 1024, 1024], [2, 4, 8, 16, 32, 64]
    for block, width, dilation in zip(network.blocks, widths, dilations, strict=True):
        assert [convolution.out_channels for convolution in block.convolutions] == [width, width]
        assert all(convolution.kernel_size == (7,) for convolution in block.convolutions)
        assert all(convolution.dilation == (dilation,) for convolution in block.convolutions)
        assert hasattr(block.residual, "weight") == (block.convolutions[0].in_channels != width)
    assert list(network.poolings) == ["1", "3", "5"]
    assert all(pooling.attention.heads == 4 for pooling in network.poolings.values())
    assert network.embedding_dim == 1024


def test_channel_counts_of_small_networks_are_multiples_of_the_heads() -> None:
    for width in (0.001, 1 / 32, 0.07, 0.33):
        assert all(block.convolutions[0].out_channels % 4 == 0 for block in RTCN(8, width=width).blocks)


@torch.inference_mode()
def test_attention_is_the_papers_head_by_head() -> None:
    torch.manual_seed(0)
    attention = MultiHeadSelfAttention(16, heads=4)
    x, mask = torch.randn(2, 5, 16), torch.tensor([[True] * 5, [True] * 3 + [False] * 2])
    output = attention(x, mask)
    for clip, length in enumerate((5, 3)):
        inputs = x[clip, :length]
        heads = []
        for head in range(4):
            part = slice(4 * head, 4 * head + 4)
            query, key, value = (
                inputs @ projection.weight[part].T for projection in (attention.query, attention.key, attention.value)
            )
            heads.append(torch.softmax(query @ key.T / math.sqrt(4), dim=1) @ value)
        expected = attention.norm(torch.cat(heads, dim=1) @ attention.output.weight.T + inputs)
        torch.testing.assert_close(output[clip, :length], expected, rtol=1e-4, atol=1e-5)


def test_projections_have_no_biases() -> None:
    names = {name for name, _ in MultiHeadSelfAttention(8).named_parameters()}
    assert names == {"query.weight", "key.weight", "value.weight", "output.weight", "norm.weight", "norm.bias"}


@torch.inference_mode()
def test_pooling_keeps_an_odd_last_step_and_padding_never_wins_the_maximum() -> None:
    pooling = RelationalPooling(4)
    pooling.attention.forward = lambda x, mask: x  # type: ignore[method-assign]
    x = -torch.arange(1.0, 6.0).expand(2, 4, 5).clone()
    x[1, :, 3:] = 0.0
    pooled, lengths = pooling(x, torch.tensor([5, 3]))
    assert lengths.tolist() == [3, 2]
    assert pooled[0, 0].tolist() == [-1, -3, -5]
    assert pooled[1, 0].tolist() == [-1, -3, 0]


@torch.inference_mode()
def test_distant_steps_reach_each_other_only_through_relational_pooling() -> None:
    torch.manual_seed(0)
    pooling, (x, lengths) = RelationalPooling(8), (torch.randn(1, 8, 40), torch.tensor([40]))
    before, _ = pooling(x, lengths)
    x[:, :, 0] += 5
    after, _ = pooling(x, lengths)
    assert (before[:, :, -1] - after[:, :, -1]).abs().max() > 1e-4
