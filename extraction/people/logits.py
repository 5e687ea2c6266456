"""Probabilities of logits."""

import numpy as np

from schemas.ports import Float32


def sigmoid(logits: Float32) -> Float32:
    """1 / (1 + exp(-logits)), in [0, 1], in the input's shape; written with tanh, which overflows nowhere."""
    probabilities: Float32 = np.float32(0.5) * logits
    np.tanh(probabilities, out=probabilities)  # in place, for masks are large
    probabilities += 1
    probabilities *= np.float32(0.5)
    return probabilities
