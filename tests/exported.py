"""Small models and their graphs, traced once in a process for all modules that only read them: tracing costs ten
seconds each time. These modules are marked ``exported`` and run on one worker (``tests.ordering``).
"""

from functools import cache

import numpy as np
import torch

from exporters.onnx.graphs import fusion_graph, stream_graph
from networks.datasets import collate
from networks.model_config import ViralityModelConfig
from networks.virality_model import ViralityModel
from schemas.export_profiles import Profile
from schemas.modalities import Modality

MODALITIES = (Modality.SKELETAL, Modality.SCENIC)
CONFIG = ViralityModelConfig(modalities=MODALITIES, graph_width=1 / 8, temporal_width=1 / 32, fusion_width=1 / 8)
SCENIC = ViralityModelConfig(
    modalities=(Modality.SCENIC,), temporal_width=CONFIG.temporal_width, fusion_width=CONFIG.fusion_width
)


def build(seed: int) -> ViralityModel:
    """A model of ``CONFIG`` with statistics and connectivity unlike those of a fresh one."""
    torch.manual_seed(seed)
    model = ViralityModel(CONFIG)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith("learned"):
                parameter.normal_(std=0.05)
    generator = np.random.default_rng(seed)
    samples = [
        ({m: generator.random((30, *CONFIG.frame_shape(m))).astype(np.float32) for m in MODALITIES}, 0.0)
        for _ in range(4)
    ]
    batch = collate(samples, MODALITIES)
    for _ in range(10):
        model.train()(batch.inputs, batch.present)
    return model.eval()


@cache
def model() -> ViralityModel:
    """``build(0)``, which nobody changes."""
    return build(0)


@cache
def stream(modality: Modality, profile: Profile) -> bytes:
    """The graph of a stream of ``model()``. Profiles differ in what becomes of a graph, not in the graph, but for the
    exact one; ``tests/congruence`` holds that.
    """
    if profile not in (Profile.EXACT, Profile.FAST):
        return stream(modality, Profile.FAST)
    return stream_graph(model(), modality, profile)


@cache
def fusion() -> bytes:
    """The graph of the fusion of ``model()``."""
    return fusion_graph(model())


def build_scenic(seed: int) -> ViralityModel:
    """A model of ``SCENIC`` with the stream of ``build(seed)``."""
    weights = (build(seed) if seed else model()).stream(Modality.SCENIC).state_dict()
    torch.manual_seed(seed)
    network = ViralityModel(SCENIC)
    network.stream(Modality.SCENIC).load_state_dict(weights)
    return network.eval()


@cache
def scenic() -> tuple[bytes, bytes]:
    """The graphs of stream and fusion of ``build_scenic(0)``."""
    return stream(Modality.SCENIC, Profile.FAST), fusion_graph(build_scenic(0))
