"""ACTION-NET against a slow reference after the public code, its sizes, and what padding must not do."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from networks.action_net import ActionNet, load_official
from networks.errors import UnfitWeights, UnusableSamples
from networks.sequences import time_mask
from schemas.errors import ConfigurationError
from tests.networks.action_net.reference import normalised, of_features, random_weights, score, stream, temporal

WEIGHTS = random_weights()


def loaded(**options: object) -> ActionNet:
    network = ActionNet(**options)  # type: ignore[arg-type]
    trained = {name: value for name, value in WEIGHTS.items() if not name.startswith("adj")}
    if options.get("adjacency") == "features":
        donor = ActionNet()
        load_official(donor, trained)
        network.load_state_dict(donor.state_dict())
    else:
        load_official(network, WEIGHTS if set(options) <= {"adjacency"} else trained)
    return network.eval()


def routines(seed: int = 0, count: int = 2, segments: int = 26, frames: int = 80) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return (
        torch.rand(count, segments, 1024, generator=generator),
        torch.rand(count, frames, 2048, generator=generator) * 2,
    )


NETWORK = loaded()


def test_the_full_size_has_the_published_number_of_parameters() -> None:
    assert sum(p.numel() for p in ActionNet().parameters() if p.requires_grad) == 3_542_787
    assert sum(p.numel() for p in ActionNet(48, 150, adjacency="features").parameters()) == 3_542_787


@torch.inference_mode()
def test_scores_features_and_attention_are_those_of_the_public_code() -> None:
    dynamic, static = routines()
    output = NETWORK.assess(dynamic, static)
    assert torch.equal(NETWORK(dynamic, static), output.score)
    for row in range(2):
        expected_dynamic, dynamic_attention = stream(WEIGHTS, "d_ct", dynamic[row].numpy())
        expected_static, static_attention = stream(WEIGHTS, "s_ct", static[row].numpy())
        expected = np.concatenate([expected_dynamic, expected_static])
        np.testing.assert_allclose(output.features[row], expected, atol=1e-5)
        np.testing.assert_allclose(output.dynamic_attention[row], dynamic_attention, atol=1e-6)
        np.testing.assert_allclose(output.static_attention[row], static_attention, atol=1e-6)
        assert output.score[row] == pytest.approx(score(WEIGHTS, dynamic[row], static[row]), abs=1e-6)


@torch.inference_mode()
def test_the_printed_adjacency_is_of_features_with_the_identity() -> None:
    network = loaded(adjacency="features", scale=4.0)
    dynamic, static = routines(1, 2, 7, 12)
    scores = network(dynamic, static)
    for row in range(2):
        expected = score(WEIGHTS, dynamic[row], static[row], printed=True, scale=4.0)
        assert scores[row] == pytest.approx(expected, abs=1e-6)
    assert (scores - NETWORK(dynamic, static)).abs().max() > 1e-5


@torch.inference_mode()
def test_both_adjacencies_are_normalised_over_real_instances_alone() -> None:
    mask = time_mask(torch.tensor([9, 5]), 9)
    x = torch.rand(2, 9, 256)
    for network, of in ((NETWORK, lambda rows: temporal(len(rows))), (loaded(adjacency="features"), of_features)):
        context = network.streams["dynamic"].context
        adjacency = context.adjacency(x, mask)
        adjacency = adjacency.expand(2, 9, 9)
        np.testing.assert_allclose(adjacency[1, :5, :5], normalised(of(x[1, :5].double().numpy())), atol=1e-5)
        assert adjacency[1, 5:].abs().max() == adjacency[1, :, 5:].abs().max() == 0


@settings(max_examples=20, deadline=None)
@given(
    lengths=st.tuples(st.integers(1, 9), st.integers(1, 12)),
    padding=st.tuples(st.integers(0, 4), st.integers(0, 4)),
    filling=st.sampled_from([0.0, 1e6, math.nan, math.inf]),
    adjacency=st.sampled_from(["temporal", "features"]),
    seed=st.integers(0, 99),
)
def test_padding_cannot_leak(
    lengths: tuple[int, int], padding: tuple[int, int], filling: float, adjacency: str, seed: int
) -> None:
    network = NETWORK if adjacency == "temporal" else FEATURES_NETWORK
    alone = routines(seed, 1, *lengths)
    mate = routines(seed + 1, 1, lengths[0] + padding[0], lengths[1] + padding[1])
    inputs, masks = [], []
    for own, other, length in zip(alone, mate, lengths, strict=True):
        filled = torch.full_like(other, filling)
        filled[:, :length] = own
        inputs.append(torch.cat([filled, other]))
        masks.append(time_mask(torch.tensor([length, other.shape[1]]), other.shape[1]))
    with torch.inference_mode():
        expected, found = network.assess(*alone), network.assess(*inputs, *masks)
    torch.testing.assert_close(found.score[:1], expected.score, atol=1e-6, rtol=0)
    torch.testing.assert_close(found.features[:1], expected.features, atol=1e-5, rtol=1e-5)
    assert found.static_attention[0, lengths[1] :].abs().sum() == 0


FEATURES_NETWORK = loaded(adjacency="features")


def test_gradients_are_finite_with_padding_of_nan_and_a_routine_without_frames() -> None:
    for adjacency in ("temporal", "features"):
        network = ActionNet(adjacency=adjacency)  # type: ignore[arg-type]
        dynamic, static = routines(0, 2, 4, 5)
        static[1] = math.nan
        mask = torch.tensor([[True] * 5, [False] * 5])
        output = network.assess(dynamic, static, torch.ones(2, 4, dtype=torch.bool), mask)
        output.score.sum().backward()
        assert output.features[1, 512:].abs().max() == output.static_attention[1].abs().max() == 0
        assert all(p.grad is not None and p.grad.isfinite().all() for p in network.parameters())


def test_instances_may_be_missing_in_the_middle() -> None:
    dynamic, static = routines(0, 1, 6, 9)
    gap = torch.tensor([[True, True, False, True, True, True]])
    found = NETWORK.assess(dynamic, static, gap, None)
    changed = dynamic.clone()
    changed[:, 2] = math.nan
    torch.testing.assert_close(NETWORK.assess(changed, static, gap).score, found.score)
    assert found.dynamic_attention[0, 2] == 0
    assert torch.equal(NETWORK(dynamic, static, gap.float()), found.score)


@pytest.mark.parametrize("aggregation", ["average", "attention", "filters", "lstm", "bi-lstm"])
def test_every_ablation_ignores_padding_and_learns(aggregation: str) -> None:
    network = ActionNet(aggregation=aggregation).eval()  # type: ignore[arg-type]
    dynamic, static = routines(3, 2, 6, 8)
    masks = time_mask(torch.tensor([6, 4]), 6), time_mask(torch.tensor([8, 5]), 8)
    found = network.assess(dynamic, static, *masks)
    alone = network.assess(dynamic[1:, :4], static[1:, :5])
    torch.testing.assert_close(found.score[1:], alone.score, atol=1e-6, rtol=0)
    torch.testing.assert_close(found.static_attention.sum(1), torch.ones(2))
    found.score.sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in network.parameters())


def test_ablations_have_the_published_structure() -> None:
    streams = {
        name: ActionNet(aggregation=name).streams["dynamic"]
        for name in ("average", "attention", "filters", "lstm", "bi-lstm", "caa")
    }
    assert [stream.width for stream in streams.values()] == [256, 256, 256, 512, 512, 512]
    assert (streams["lstm"].context.recurrent.hidden_size, streams["bi-lstm"].context.recurrent.hidden_size) == (
        256,
        128,
    )
    assert len(streams["filters"].attention.filters) == 3
    dynamic, static = routines(0, 2, 3, 4)
    for only in ("dynamic", "static"):
        network = ActionNet(streams=[only]).eval()  # type: ignore[list-item]
        assert network.head[0].in_features == 512
        other = (
            (dynamic, torch.full_like(static, math.nan))
            if only == "dynamic"
            else (torch.full_like(dynamic, math.nan), static)
        )
        torch.testing.assert_close(network(*other), network(dynamic, static))


def test_official_weights_may_come_from_a_parallel_profiled_network_without_constants() -> None:
    weights = {f"module.{name}": torch.from_numpy(value) for name, value in WEIGHTS.items() if name[:3] != "adj"}
    weights |= {"module.total_ops": torch.zeros(1), "module.d_ct.gcn1.total_params": torch.zeros(1)}
    network = ActionNet()
    load_official(network, weights)
    assert all(torch.equal(a, b) for a, b in zip(network.parameters(), NETWORK.parameters(), strict=True))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"fc.0.bias": None}, "fc.0.bias of ACTION-NET's public code are missing"),
        ({"d_ct.gcn3.weight": np.zeros(1)}, "no weights called d_ct.gcn3.weight"),
        (
            {"s_ct.att.0.weight": np.zeros((128, 256))},
            r"s_ct.att.0.weight has shape \(128, 256\), here it is \(128, 512\)",
        ),
        ({"fc.3.bias": np.array([np.nan])}, "fc.3.bias holds values that are not finite"),
        ({"adj1": np.zeros((48, 48))}, "number of segments, not 26"),
        ({"adj2": normalised(of_features(np.arange(160.0).reshape(80, 2)))}, "adj2 is not exp"),
    ],
)
def test_other_weights_are_refused_and_change_nothing(change: dict[str, object], message: str) -> None:
    network = ActionNet()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    weights = {name: value for name, value in (dict(WEIGHTS) | change).items() if value is not None}
    with pytest.raises(UnfitWeights, match=message):
        load_official(network, weights)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


def test_official_weights_are_refused_by_networks_of_another_structure() -> None:
    for network in (ActionNet(adjacency="features"), ActionNet(streams=["static"]), ActionNet(aggregation="lstm")):
        with pytest.raises(UnfitWeights, match="without ablations"):
            load_official(network, WEIGHTS)


def test_features_of_another_width_and_impossible_sizes_are_refused() -> None:
    dynamic, static = routines(0, 1, 2, 2)
    with pytest.raises(UnusableSamples, match=r"static features have shape \(1, 2, 1024\).*2048"):
        NETWORK(dynamic, dynamic)
    with pytest.raises(UnusableSamples, match="at least one instance"):
        NETWORK(dynamic[:, :0], static)
    for options in ({"segments": 0}, {"scale": -1.0}, {"streams": []}, {"streams": ["static", "dynamic"]}):
        with pytest.raises(ConfigurationError):
            ActionNet(**options)  # type: ignore[arg-type]


def test_weights_start_as_in_the_public_training() -> None:
    torch.manual_seed(0)
    layer = ActionNet().streams["static"].embedding[0].requires_grad_(False)
    limit = math.sqrt(6 / (2048 + 1024))
    assert layer.bias.abs().max() == 0
    assert layer.weight.abs().max() <= limit
    assert float(layer.weight.std()) == pytest.approx(limit / math.sqrt(3), rel=0.01)
