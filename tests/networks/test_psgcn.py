"""PSGCN against the paper's sizes and a literal Eq. (4) and (5), and its input normalisation."""

import pytest
import torch

from networks.graph import normalised_adjacency, vertex_mask
from networks.psgcn import PSGCN, GraphBlock, PoseNormalisation
from schemas.joints import LAYOUTS, JointLayout

MPII = LAYOUTS["mpii-16"]


def small(**options) -> PSGCN:
    torch.manual_seed(0)
    return PSGCN(MPII, width=0.125, **options).eval()


def clips(count: int = 3, steps: int = 20) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    return torch.randn(count, steps, 16, 2, generator=generator), torch.tensor([steps, steps // 2, 3][:count])


@torch.inference_mode()
def test_the_full_size_is_the_papers() -> None:
    network = PSGCN(MPII).eval()
    x, lengths = torch.zeros(1, 2, 40, 16), torch.tensor([40])
    shapes = []
    for block in network.blocks:
        x, lengths = block(x, lengths)
        shapes.append(tuple(x.shape[1:]))
    assert shapes == [(64, 40, 16)] * 3 + [(128, 20, 8)] * 3 + [(256, 10, 4)] * 3
    assert lengths.tolist() == [10]
    assert network.embedding_dim == 256
    for block, vertices in zip(network.blocks, (16, 16, 16, 16, 8, 8, 8, 4, 4), strict=True):
        assert block.learned.shape == (3, vertices, vertices)
        assert block.temporal.kernel_size == (7, 1)
    assert network.blocks[3].spatial.kernel_size == (1, 2)


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=lambda layout: layout.name)
def test_every_layout_is_halved_twice(layout) -> None:
    network = PSGCN(layout, layout.coordinates, width=0.125)
    assert [block.connectivity().shape[1] * 4 for block in network.blocks[6:]] == [layout.vertex_count] * 3


@pytest.mark.parametrize("stride", [1, 2])
@torch.inference_mode()
def test_the_spatial_part_is_the_papers_sum_over_subsets(stride: int) -> None:
    torch.manual_seed(0)
    block = GraphBlock(
        (5, 8),
        normalised_adjacency(MPII),
        vertex_mask(MPII),
        strides=(1, stride),
        temporal_kernel=3,
        dropout=0.0,
        sampling="bounded",
    ).eval()
    torch.nn.init.normal_(block.learned)
    seen = []
    block.spatial_norm.register_forward_pre_hook(lambda _module, inputs: seen.append(inputs[0]))
    x = torch.randn(1, 5, 2, 16)
    block(x, torch.tensor([2]))
    adjacency = normalised_adjacency(MPII) + block.learned
    kernel = block.spatial.weight.view(3, 8, 5, stride)
    vertices = 16 // stride
    expected = torch.zeros(1, 8, 2, vertices)
    for k in range(3):
        for i in range(vertices):
            for j in range(vertices):
                here, there = slice(stride * i, stride * (i + 1)), slice(stride * j, stride * (j + 1))
                convolved = torch.einsum("nctv,dcv->ndt", x[..., there], kernel[k])
                expected[..., i] += adjacency[k, here, there].mean() * convolved
    torch.testing.assert_close(seen[0], expected, rtol=1e-4, atol=1e-4)


@torch.inference_mode()
def test_pixels_and_normalised_coordinates_score_the_same() -> None:
    network, (frames, lengths) = small(), clips()
    reference = network(frames, lengths).score
    for scale, shift in ((200.0, (640.0, 360.0)), (1e-3, (0.5, 0.25)), (1.0, (-3.0, 10.0))):
        moved = network(frames * scale + torch.tensor(shift), lengths).score
        assert (moved - reference).abs().max() <= 1e-5, scale


@torch.inference_mode()
def test_a_confidence_is_neither_centred_nor_scaled() -> None:
    torch.manual_seed(0)
    network, (frames, lengths) = PSGCN(MPII, 3, width=0.125).eval(), clips()
    confidence = torch.rand(3, 20, 16, 1)
    reference = network(torch.cat([frames, confidence], dim=3), lengths).score
    moved = network(torch.cat([frames * 50 + 9, confidence], dim=3), lengths).score
    assert (moved - reference).abs().max() <= 1e-5
    assert (network(torch.cat([frames, confidence / 2], dim=3), lengths).score - reference).abs().max() > 1e-5


@torch.inference_mode()
def test_a_normalised_clip_is_centred_of_unit_size_and_zero_where_padded() -> None:
    frames = 300 + 40 * torch.randn(2, 8, 16, 3, generator=torch.Generator().manual_seed(0))
    frames[1, 5:] = float("nan")
    mask = (torch.arange(8) < torch.tensor([[8], [5]]))[:, :, None, None]
    normalised = PoseNormalisation(MPII)(frames, mask)
    assert not normalised[1, 5:].any()
    for clip, length in enumerate((8, 5)):
        position, raw = normalised[clip, :length, :, :2], frames[clip, :length, :, :2]
        shifted = raw - raw[:, 7].mean(0)
        torch.testing.assert_close(position, shifted / shifted.abs().mean(), rtol=1e-4, atol=1e-5)
        assert torch.equal(normalised[clip, :length, :, 2], frames[clip, :length, :, 2])


@pytest.mark.parametrize("position", [0.0, 411.3])
def test_joints_that_never_leave_one_point_score_a_number(position: float) -> None:
    frames = torch.full((2, 6, 16, 2), position, requires_grad=True)
    output = small()(frames, torch.tensor([6, 2]))
    assert torch.isfinite(output.score).all()
    assert output.score[0].item() == pytest.approx(output.score[1].item(), abs=1e-5)
    output.score.sum().backward()
    assert torch.isfinite(frames.grad).all()


@pytest.mark.parametrize(
    "layout", [layout for layout in LAYOUTS.values() if layout.padding], ids=lambda layout: layout.name
)
@torch.inference_mode()
def test_padded_vertices_never_influence_the_score(layout: JointLayout) -> None:
    torch.manual_seed(0)
    network = PSGCN(layout, layout.coordinates, width=0.125).eval()
    frames, lengths = torch.randn(2, 9, layout.joint_count, layout.coordinates), torch.tensor([9, 4])
    network.train()(frames, lengths)  # so that normalisation moves zeros
    network.eval()
    for name, parameter in network.named_parameters():
        if name.endswith("norm.bias"):
            parameter.fill_(0.5)
    before = network(frames, lengths).score
    for block in network.blocks[:3]:
        block.learned[:, layout.joint_count :] = 1e3
        block.learned[:, :, layout.joint_count :] = -1e3
    assert torch.equal(network(frames, lengths).score, before)


@torch.inference_mode()
def test_the_order_of_vertices_is_internal() -> None:
    """The network takes joints in the layout's own order: swapping two of them is seen."""
    network, (frames, lengths) = small(), clips()
    swapped = frames.clone()
    swapped[:, :, [0, 15]] = frames[:, :, [15, 0]]
    assert (network(frames, lengths).score - network(swapped, lengths).score).abs().max() > 1e-5
