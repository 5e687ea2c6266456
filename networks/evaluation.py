"""How well a framework ranks clips that it has not seen: Spearman's rank correlation (paper, Section 5.1)."""

from collections.abc import Sequence
from typing import Final

import torch
from torchmetrics.functional.regression import spearman_corrcoef

from networks.datasets import Sample, batches
from networks.framework import Framework, FrameworkOutput

FEWEST_CLIPS: Final = 2
"""A rank correlation needs two clips."""


@torch.inference_mode()
def predict(framework: Framework, samples: Sequence[Sample], batch_size: int = 8) -> FrameworkOutput:
    """Outputs of ``framework`` for all ``samples``, in their order, computed in evaluation mode on its device."""
    was_training = framework.training
    framework.eval()
    device = next(framework.parameters()).device
    outputs = []
    for batch in batches(samples, framework.config.modalities, batch_size):
        inputs = {name: (frames.to(device), lengths.to(device)) for name, (frames, lengths) in batch.inputs.items()}
        outputs.append(framework(inputs, batch.present.to(device)))
    framework.train(was_training)
    return FrameworkOutput(*(torch.cat(parts).cpu() for parts in zip(*outputs, strict=True)))


def rank_correlations(framework: Framework, samples: Sequence[Sample], batch_size: int = 8) -> dict[str, float]:
    """``spearman_fused`` and, per modality, ``spearman_<modality>`` over the clips that have it.

    A correlation over fewer than two clips is left out. Equal predictions for all clips correlate with nothing: zero.
    """
    output = predict(framework, samples, batch_size)
    truth = torch.tensor([target for _, target in samples], dtype=torch.float32)
    columns = [("fused", output.fused, torch.ones(len(samples), dtype=torch.bool))]
    for index, modality in enumerate(framework.config.modalities):
        present = torch.tensor([modality in features for features, _ in samples])
        columns.append((str(modality), output.scores[:, index], present))
    return {
        f"spearman_{name}": float(spearman_corrcoef(scores[rows], truth[rows]))
        for name, scores, rows in columns
        if int(rows.sum()) >= FEWEST_CLIPS
    }
