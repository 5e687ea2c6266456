"""The style networks against literal loops, their published sizes, and what padding must not do."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from networks.errors import UnfitWeights
from networks.styles.frames import FrameClassifier, PoseCNN, two_stream_features, vote_logits
from networks.styles.network import StyleNetwork
from networks.styles.official import load_official_tcn
from networks.styles.sequential import AttentiveStyleLSTM, StyleLSTM, StyleTCN
from networks.styles.streams import style_psgcn, style_rtcn
from schemas.errors import ConfigurationError
from schemas.joints import COCO_17

STYLES = 3
LENGTHS = torch.tensor([11, 4, 1])


def networks() -> dict[str, tuple[StyleNetwork, tuple[int, ...]]]:
    """Each network with the shape of a frame."""
    torch.manual_seed(0)
    return {
        "lstm": (StyleLSTM(9, STYLES, hidden=8), (9,)),
        "attentive lstm": (AttentiveStyleLSTM(9, STYLES, hidden=8), (9,)),
        "tcn": (StyleTCN(9, STYLES, layers=3, width=8), (9,)),
        "frames": (FrameClassifier(9, STYLES), (9,)),
        "poses": (PoseCNN(STYLES), (20, 17, 2)),
        "psgcn": (style_psgcn(COCO_17, STYLES, width=1 / 16), (17, 2)),
        "rtcn": (style_rtcn(9, STYLES, width=1 / 64), (9,)),
    }


@pytest.mark.parametrize("name", networks())
def test_padding_and_batch_mates_have_no_influence(name: str) -> None:
    network, shape = networks()[name]
    network.eval()
    frames = torch.rand(3, 11, *shape, generator=torch.Generator().manual_seed(1))
    for row, length in enumerate(LENGTHS):
        frames[row, length:] = math.nan
    with torch.inference_mode():
        together = network(frames, LENGTHS)
        for row, length in enumerate(LENGTHS):
            alone = network(frames[row : row + 1, :length], LENGTHS[row : row + 1])
            torch.testing.assert_close(together[row], alone[0], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("name", networks())
def test_gradients_are_finite_with_padding_of_nan(name: str) -> None:
    network, shape = networks()[name]
    frames = torch.rand(3, 11, *shape)
    for row, length in enumerate(LENGTHS):
        frames[row, length:] = math.nan
    network.loss(frames, LENGTHS, torch.tensor([0, 1, 2])).backward()
    trained = [p for p in network.parameters() if p.requires_grad]
    assert all(p.grad is not None and p.grad.isfinite().all() for p in trained)


def test_sizes_are_the_published_ones() -> None:
    def size(network: torch.nn.Module) -> int:
        return sum(p.numel() for p in network.parameters())

    assert size(StyleTCN(614, 10)) == 859_530
    assert size(StyleLSTM(614, 10)) == 4 * 128 * (614 + 128 + 2) + 129 * 10
    assert size(AttentiveStyleLSTM(614, 10)) == 4 * 32 * (614 + 32 + 2) + 33 * 10
    assert size(PoseCNN(10)) == 3 * (20 * 9 + 1) + 3 * (3 * 9 + 1) + 103 * 10
    poses, images = torch.rand(2, 5, 20, 17, 2), torch.rand(2, 5, 512)
    assert two_stream_features(images, poses, PoseCNN(10)).shape == (2, 5, 614)


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


@pytest.mark.parametrize("kind", [StyleLSTM, AttentiveStyleLSTM])
def test_an_lstm_is_its_equations(kind: type[StyleLSTM]) -> None:
    torch.manual_seed(0)
    network = kind(5, STYLES, hidden=4).eval()
    x = torch.rand(1, 6, 5)
    weights = {name: value.double().numpy() for name, value in network.state_dict().items()}
    hidden, cell, outputs = np.zeros(4), np.zeros(4), []
    for step in x[0].double().numpy():
        gates = weights["recurrent.weight_ih_l0"] @ step + weights["recurrent.bias_ih_l0"]
        gates += weights["recurrent.weight_hh_l0"] @ hidden + weights["recurrent.bias_hh_l0"]
        entering, keeping, new, leaving = np.split(gates, 4)
        cell = sigmoid(keeping) * cell + sigmoid(entering) * np.tanh(new)
        hidden = sigmoid(leaving) * np.tanh(cell)
        outputs.append(hidden)
    read = hidden
    if kind is AttentiveStyleLSTM:
        compatibility = np.exp([cell @ output / math.sqrt(4) for output in outputs])
        read = sum(share * output for share, output in zip(compatibility / compatibility.sum(), outputs, strict=True))
    expected = weights["head.weight"] @ read + weights["head.bias"]
    with torch.inference_mode():
        np.testing.assert_allclose(network(x, torch.tensor([6]))[0], expected, atol=1e-6)


def official_tcn(generator: np.random.Generator, channels: int, width: int, layers: int) -> dict[str, np.ndarray]:
    """A state_dict of the public TCN with kernel 3, its convolutions twice, and a head of ``STYLES``."""
    weights: dict[str, np.ndarray] = {}
    for level in range(layers):
        before = channels if level == 0 else width
        for convolution, second, size in (("conv1", "net.0", before), ("conv2", "net.4", width)):
            for name, shape in (("bias", (width,)), ("weight_g", (width, 1, 1)), ("weight_v", (width, size, 3))):
                value = generator.normal(0, 1, shape)
                weights[f"tcn.network.{level}.{convolution}.{name}"] = value
                weights[f"tcn.network.{level}.{second}.{name}"] = value
        if before != width:
            weights[f"tcn.network.{level}.downsample.weight"] = generator.normal(0, 1, (width, before, 1))
            weights[f"tcn.network.{level}.downsample.bias"] = generator.normal(0, 1, width)
    weights["linear.weight"] = generator.normal(0, 1, (STYLES, width))
    weights["linear.bias"] = generator.normal(0, 1, STYLES)
    return weights


def tcn_reference(weights: dict[str, np.ndarray], x: np.ndarray, layers: int) -> np.ndarray:
    """Logits of one clip ``x`` (T, C), after the public code: one output value at a time."""

    def causal(x: np.ndarray, level: int, name: str) -> np.ndarray:
        prefix = f"tcn.network.{level}.{name}"
        directions = weights[f"{prefix}.weight_v"]
        norms = np.sqrt((directions**2).sum((1, 2), keepdims=True))
        kernel = directions * weights[f"{prefix}.weight_g"] / norms
        out = np.zeros((len(x), len(kernel)))
        for t in range(len(x)):
            out[t] = weights[f"{prefix}.bias"]
            for tap in range(3):
                seen = t - (2 - tap) * 2**level
                if seen >= 0:
                    out[t] += kernel[:, :, tap] @ x[seen]
        return np.maximum(out, 0)

    for level in range(layers):
        prefix = f"tcn.network.{level}.downsample"
        residual = x
        if f"{prefix}.weight" in weights:
            residual = x @ weights[f"{prefix}.weight"][:, :, 0].T + weights[f"{prefix}.bias"]
        x = np.maximum(causal(causal(x, level, "conv1"), level, "conv2") + residual, 0)
    return weights["linear.weight"] @ x[-1] + weights["linear.bias"]


def test_official_weights_give_the_tcn_of_the_public_code() -> None:
    generator = np.random.default_rng(0)
    weights = official_tcn(generator, 7, 4, 3)
    network = StyleTCN(7, STYLES, layers=3, width=4).eval()
    load_official_tcn(network, weights)
    frames = generator.normal(0, 1, (2, 13, 7))
    lengths = torch.tensor([13, 9])
    with torch.inference_mode():
        logits = network(torch.from_numpy(frames).float(), lengths)
    for row, length in enumerate(lengths):
        expected = tcn_reference(weights, frames[row, :length], 3)
        np.testing.assert_allclose(logits[row], expected, rtol=1e-5, atol=1e-5 * np.abs(expected).max())


def test_names_of_either_weight_normalisation_load_and_others_are_refused() -> None:
    weights = official_tcn(np.random.default_rng(0), 7, 4, 3)
    newer = {
        name.replace("weight_g", "parametrizations.weight.original0").replace(
            "weight_v", "parametrizations.weight.original1"
        ): value
        for name, value in weights.items()
    }
    first, second = (StyleTCN(7, STYLES, layers=3, width=4) for _ in range(2))
    load_official_tcn(first, weights)
    load_official_tcn(second, newer)
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))
    with pytest.raises(
        UnfitWeights, match=r"tcn.network.0.conv1.weight_v has shape \(4, 7, 3\), here it is \(4, 8, 3\)"
    ):
        load_official_tcn(StyleTCN(8, STYLES, layers=3, width=4), weights)
    with pytest.raises(UnfitWeights, match=r"no weights called tcn\.network\.2\.conv1\.bias"):
        load_official_tcn(StyleTCN(7, STYLES, layers=2, width=4), weights)


def one_hot_logits(*votes: int) -> Tensor:
    return torch.nn.functional.one_hot(torch.tensor([votes]), STYLES).float()


def test_the_majority_of_frames_names_the_clip_and_probability_decides_between_equal_numbers() -> None:
    everything = torch.ones(1, 3, dtype=torch.bool)
    doubtful = one_hot_logits(1, 1, 0) * torch.tensor([0.1, 0.1, 50.0])[:, None]
    assert vote_logits(doubtful, everything).argmax() == 1
    tied = one_hot_logits(1, 2, 2) * torch.tensor([5.0, 1.0, 1.0])[:, None]
    assert vote_logits(tied, torch.tensor([[True, True, False]])).argmax() == 1
    assert vote_logits(tied, everything).argmax() == 2
    assert vote_logits(tied, everything).exp().sum() == pytest.approx(1)


def test_frames_are_learned_from_one_by_one() -> None:
    network = FrameClassifier(4, STYLES)
    frames, lengths, styles = torch.rand(2, 3, 4), torch.tensor([3, 1]), torch.tensor([0, 2])
    rows = torch.cat([frames[0], frames[1, :1]])
    expected = torch.nn.functional.cross_entropy(network.head(rows), torch.tensor([0, 0, 0, 2]))
    torch.testing.assert_close(network.loss(frames, lengths, styles), expected)


def test_impossible_sizes_are_refused() -> None:
    for make in (
        lambda: StyleLSTM(0, 3),
        lambda: StyleTCN(4, 1),
        lambda: FrameClassifier(4, 3, dropout=1.0),
        lambda: style_rtcn(4, 1),
    ):
        with pytest.raises(ConfigurationError):
            make()
