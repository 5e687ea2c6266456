"""One ONNX graph per stream and one for the fusion, with dynamic batch and time axes.

Legend: N clips, T time steps. Names and shapes are those of ``schemas.bundle``.
"""

import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

import torch
from torch import Tensor, nn
from torch.export import Dim

from exporters.onnx.inference import inference_form
from networks.virality_model import ViralityModel
from schemas.bundle import ATTENTION, EMBEDDING, EMBEDDINGS, FRAMES, FUSED_SCORE, LENGTHS, PRESENT, SCORE, SCORES
from schemas.errors import BundleError
from schemas.export_profiles import DEFAULT_PROFILE, Profile
from schemas.modalities import Modality

OPSET: Final = 18
"""The opset that torch's exporter writes natively; it has every operator needed, so no version conversion takes
part."""

TRACED_CLIPS: Final = 2
TRACED_STEPS: Final = 37


def stream_graph(model: ViralityModel, modality: Modality, profile: Profile = DEFAULT_PROFILE) -> bytes:
    """The stream of ``modality``: ``frames`` (N, T, ...) and ``lengths`` (N,) to ``embedding`` (N, D), ``score``
    (N,)."""
    network = model.stream(modality)
    if profile is not Profile.EXACT:
        network = inference_form(network)
    frames = torch.rand(TRACED_CLIPS, TRACED_STEPS, *model.config.frame_shape(modality))
    lengths = torch.tensor([TRACED_STEPS, TRACED_STEPS // 2])
    clips = Dim("clips")
    axes = ({0: clips, 1: Dim("steps")}, {0: clips})
    return traced_graph(network, (frames, lengths), (FRAMES, LENGTHS), (EMBEDDING, SCORE), axes)


def fusion_graph(model: ViralityModel) -> bytes:
    """The fusion: ``embeddings``, ``scores`` and ``present`` to ``attention`` (N, M) and ``fused_score`` (N,)."""
    modalities = len(model.config.modalities)
    embeddings = torch.rand(TRACED_CLIPS, sum(model.embedding_dims))
    scores, present = torch.rand(TRACED_CLIPS, modalities), torch.ones(TRACED_CLIPS, modalities, dtype=torch.bool)
    clips = Dim("clips")
    inputs = (EMBEDDINGS, SCORES, PRESENT)
    axes = ({0: clips}, {0: clips}, {0: clips})
    return traced_graph(model.fusion, (embeddings, scores, present), inputs, (ATTENTION, FUSED_SCORE), axes)


def traced_graph(
    network: nn.Module,
    arguments: tuple[Tensor, ...],
    inputs: Sequence[str],
    outputs: Sequence[str],
    axes: tuple[dict[int, Any], ...],
) -> bytes:
    """``network``, traced on ``arguments``, as ONNX: equal networks give equal bytes. ``axes``: of each argument, those
    that may have any length.
    """
    with _quiet_exporter():
        program = torch.onnx.export(
            network,
            arguments,
            input_names=inputs,
            output_names=outputs,
            dynamic_shapes=axes,
            opset_version=OPSET,
            dynamo=True,
            external_data=False,
            verbose=False,
        )
    if program is None:
        raise BundleError(f"torch exported no graph for {type(network).__name__}")
    # Stack traces name files of the exporting machine, and would make equal networks unequal files.
    model = program.model
    for node in model.graph.all_nodes():
        node.metadata_props.clear()
        node.doc_string = None
        for value in node.outputs:
            value.metadata_props.clear()
    for value in (*model.graph.inputs, *model.graph.initializers.values()):
        value.metadata_props.clear()
    model.graph.metadata_props.clear()
    model.graph.doc_string = None
    content: bytes = program.model_proto.SerializeToString(deterministic=True)
    return content


@contextmanager
def _quiet_exporter() -> Iterator[None]:
    """Suppress the exporter's warnings about its own deprecated calls and an absent torchvision."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
