"""How well a model ranks clips that it has not seen (paper, Section 5.1). Legend: N clips, M modalities."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final

import torch

from networks.correlation import spearman
from networks.datasets import Sample, batches, presence_of, targets_of
from networks.virality_model import ViralityModel, ViralityModelOutput

FEWEST_CLIPS: Final = 2
"""A rank correlation needs two clips."""


@contextmanager
def accelerated(model: ViralityModel) -> Iterator[None]:
    """``model`` is on a GPU inside the context, if there is one, and afterwards where it was."""
    device = next(model.parameters()).device
    model.to("cuda" if torch.cuda.is_available() else device)
    try:
        yield
    finally:
        model.to(device)


@torch.inference_mode()
def predict(model: ViralityModel, samples: Sequence[Sample], batch_size: int = 8) -> ViralityModelOutput:
    """Outputs of ``model`` for all ``samples``, in their order, computed in evaluation mode on its device."""
    was_training = model.training
    model.eval()
    device = next(model.parameters()).device
    outputs = []
    for batch in batches(samples, model.config.modalities, batch_size):
        inputs = {name: (frames.to(device), lengths.to(device)) for name, (frames, lengths) in batch.inputs.items()}
        outputs.append(model(inputs, batch.present.to(device)))
    model.train(was_training)
    return ViralityModelOutput(*(torch.cat(parts).cpu() for parts in zip(*outputs, strict=True)))


def rank_correlations(model: ViralityModel, samples: Sequence[Sample], batch_size: int = 8) -> dict[str, float]:
    """``spearman_fused`` and, per modality, ``spearman_<modality>`` over the clips that have it.

    A correlation over fewer than two clips is left out. Equal predictions for all clips correlate with nothing: zero.
    """
    output = predict(model, samples, batch_size)
    truth = targets_of(samples)
    modalities = model.config.modalities
    correlations = {"spearman_fused": spearman(output.fused, truth)} if len(samples) >= FEWEST_CLIPS else {}
    for index, rows in enumerate(presence_of(samples, modalities).T):
        if rows.sum() >= FEWEST_CLIPS:
            correlations[f"spearman_{modalities[index]}"] = spearman(output.scores[:, index].numpy()[rows], truth[rows])
    return correlations
