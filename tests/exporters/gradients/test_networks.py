"""Gradients of whole networks: torch's automatic differentiation, and central differences of the score."""

from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx.reference import ReferenceEvaluator
from onnxruntime import InferenceSession
from torch import Tensor

from exporters.onnx.gradients import with_gradients
from exporters.onnx.graphs import fusion_graph, stream_graph
from networks.model_config import ViralityModelConfig
from networks.virality_model import ViralityModel
from schemas.export_profiles import Profile
from schemas.modalities import Modality

SEEDS = {"score": "score_seed", "embedding": "embedding_seed"}
pytestmark = pytest.mark.slow


def model_with(skeletal_network: Any) -> ViralityModel:
    """A small model whose statistics and biases are not those of a fresh one."""
    torch.manual_seed(0)
    config = ViralityModelConfig(
        modalities=(Modality.SKELETAL, Modality.SCENIC),
        joint_layout="mpii-16",
        joint_channels=3,
        graph_width=1 / 8,
        temporal_width=1 / 64,
        skeletal_network=skeletal_network,
    )
    model = ViralityModel(config).eval()
    for parameter in model.parameters():
        if parameter.ndim == 1:
            torch.nn.init.normal_(parameter, 0, 0.3)
    for name, buffer in model.named_buffers():
        if name.endswith("running_var"):
            torch.nn.init.uniform_(buffer, 0.5, 2)
    return model


def automatic(model: ViralityModel, frames: Tensor, lengths: Tensor, seeds: dict[str, Tensor]) -> Any:
    frames = frames.clone().requires_grad_()
    output = model.stream(Modality.SKELETAL)(frames, lengths)
    total = (output.score * seeds["score_seed"]).sum() + (output.embedding * seeds["embedding_seed"]).sum()
    return torch.autograd.grad(total, frames)[0].numpy()


def test_the_gradient_of_a_skeletal_stream_is_that_of_torch() -> None:
    model = model_with("st-gcn")
    content = with_gradients(stream_graph(model, Modality.SKELETAL, Profile.EXACT), SEEDS, {"frames": "gradient"})
    session = InferenceSession(content)
    for batch in ((1,), (2, 1), (37, 11, 1), (40, 39, 20)):
        lengths = torch.tensor(batch)
        frames = 300 * torch.rand(len(batch), max(batch), 16, 3)
        seeds = {"score_seed": torch.randn(len(batch)), "embedding_seed": torch.randn(len(batch), 32)}
        expected = automatic(model, frames, lengths, seeds)
        given = frames.numpy().copy()
        for clip, length in zip(given, batch, strict=True):
            clip[length:] = -7e3
        inputs = {"frames": given, "lengths": lengths.numpy()} | {name: seed.numpy() for name, seed in seeds.items()}
        (gradient,) = session.run(["gradient"], inputs)
        assert np.abs(gradient - expected).max() <= 1e-4 * np.abs(expected).max()
        for clip, length in zip(gradient, batch, strict=True):
            assert not clip[length:].any(), "padding has a gradient"


def test_in_double_precision_it_is_that_of_torch_to_rounding_and_that_of_differences() -> None:
    model = model_with("psgcn").double()
    torch.set_default_dtype(torch.float64)
    try:
        content = with_gradients(stream_graph(model, Modality.SKELETAL, Profile.EXACT), SEEDS, {"frames": "gradient"})
    finally:
        torch.set_default_dtype(torch.float32)
    lengths, frames = torch.tensor([5, 3]), 300 * torch.rand(2, 5, 16, 3, dtype=torch.float64)
    seeds = {"score_seed": torch.ones(2).double(), "embedding_seed": torch.zeros(2, 32).double()}
    inputs = {"frames": frames.numpy(), "lengths": lengths.numpy()} | {
        name: seed.numpy() for name, seed in seeds.items()
    }
    (gradient,) = ReferenceEvaluator(onnx.load_from_string(content)).run(["gradient"], inputs)
    expected = automatic(model, frames, lengths, seeds)
    assert np.abs(gradient - expected).max() <= 5e-11 * np.abs(expected).max()
    draw = np.random.default_rng(0)
    for _ in range(3):
        along = torch.from_numpy(draw.normal(size=frames.shape))
        with torch.inference_mode():
            up, down = (
                model.stream(Modality.SKELETAL)(frames + sign * 1e-5 * along, lengths).score.sum() for sign in (1, -1)
            )
        assert float(up - down) / 2e-5 == pytest.approx((gradient * along.numpy()).sum(), rel=1e-5)


def test_the_gradient_of_the_fused_score_is_that_of_torch_and_nothing_for_what_a_clip_has_not() -> None:
    model = model_with("psgcn")
    gradients = {"embeddings": "embeddings_gradient", "scores": "scores_gradient"}
    session = InferenceSession(with_gradients(fusion_graph(model), {"fused_score": "fused_seed"}, gradients))
    width = sum(model.embedding_dims)
    embeddings, scores = torch.randn(3, width, requires_grad=True), torch.randn(3, 2, requires_grad=True)
    present = torch.tensor([[True, True], [True, False], [False, True]])
    expected = torch.autograd.grad(model.fusion(embeddings, scores, present).fused_score.sum(), (embeddings, scores))
    given = {"embeddings": embeddings.detach().numpy(), "scores": scores.detach().numpy(), "present": present.numpy()}
    found = session.run(list(gradients.values()), given | {"fused_seed": np.ones(3, np.float32)})
    for gradient, one in zip(found, expected, strict=True):
        np.testing.assert_allclose(gradient, one.numpy(), rtol=1e-4, atol=1e-6)
    assert found[1][1, 1] == found[1][2, 0] == 0
