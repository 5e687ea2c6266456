"""The gate of a bundle at load: its parity sample, run where its graphs will run.

Legend: N clips, D embedding width, P parts of the attention, T steps.
"""

from typing import Final

import numpy as np
import numpy.typing as npt
import safetensors
import safetensors.numpy

from schemas.bundle import EMBEDDING, FRAMES, LENGTHS, SCORE, TEMPORAL_ATTENTION, Bundle
from schemas.errors import BundleError
from schemas.escaping import shortened
from schemas.export_profiles import Precision, Profile
from schemas.ports import Float32, ModelRuntime

_SMALLEST: Final = np.finfo(np.float32).tiny


def check_parity_sample(runtime: ModelRuntime, bundle: Bundle) -> None:
    """Raise ``BundleError`` naming stream, provider and difference if a stream does not make of the bundle's sample
    what the network makes of it, within the differences that the manifest allows. A bundle without a sample passes.

    Attention over time, in samples that have it, may differ by as much as the score: both are absolute, and at most 1.
    """
    sample = bundle.manifest.profile.sample
    if sample is None or bundle.sample is None:
        return
    try:
        tensors = safetensors.numpy.load(bundle.sample)
        for modality in sample.score:
            frames, lengths, embedding, score = (
                tensors[f"{modality}.{name}"] for name in (FRAMES, LENGTHS, EMBEDDING, SCORE)
            )
            found = runtime.run_stream(modality, frames.astype(np.float32), lengths)
            size = np.abs(embedding).max(axis=1).clip(min=_SMALLEST)
            for what, difference, limit in (
                ("score", np.abs(found.scores - score), sample.score[modality]),
                ("embedding", np.abs(found.embeddings - embedding).max(axis=1) / size, sample.embedding[modality]),
                *_attention(found.attention, tensors.get(f"{modality}.{TEMPORAL_ATTENTION}"), sample.score[modality]),
            ):
                if not float(difference.max()) <= limit:
                    raise BundleError(
                        f"{modality}: on {runtime.providers[modality]} the {what} of a sample clip is off by "
                        f"{float(difference.max()):.1e}, and at most {limit:.1e} is allowed; {_remedy(bundle)}"
                    )
    except (KeyError, ValueError, safetensors.SafetensorError) as error:
        raise BundleError(
            f"{sample.file}: not the sample of this bundle ({shortened(str(error))}); export it again"
        ) from error


def _attention(
    found: Float32 | None, expected: Float32 | None, limit: float
) -> list[tuple[str, npt.NDArray[np.floating], float]]:
    """``found`` and ``expected``: (N, P, T). Nothing for a sample without it: releases before wrote none."""
    if expected is None:
        return []
    if found is None or found.shape != expected.shape:
        raise ValueError(f"attention of the shape {expected.shape} is expected")
    return [("attention over time", np.abs(found - expected), limit)]


def _remedy(bundle: Bundle) -> str:
    profile = bundle.manifest.profile.name
    if not profile.calibrated:
        return "choose another provider or runtime"
    in_bf16 = any(stream.precision is Precision.BFLOAT16 for stream in bundle.manifest.streams)
    next_best = Profile.BF16 if profile is Profile.INT8 and in_bf16 else Profile.FAST
    return f"this processor rounds {profile} otherwise: export the checkpoint with --profile {next_best}"
