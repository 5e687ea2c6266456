"""The regularised linear discriminant: Fisher 1936; Ledoit & Wolf 2004, A well-conditioned estimator for
large-dimensional covariance matrices.

One covariance for all styles, so that what varies alike in all of them, such as tempo, camera and choreography, counts
little. It is fitted in closed form and has nothing to choose.

Legend: N clips, D descriptors, K styles.
"""

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.covariance import ledoit_wolf

from networks.errors import UnusableSamples

LEAST_VARIATION: Final = 1e-6
"""A descriptor whose standard deviation over clips is not above this says nothing."""

Array = NDArray[np.float64]


class Discriminant(NamedTuple):
    """``mean`` (D,) of the descriptors; ``whitening`` (D, D), under which the covariance within styles is the identity;
    ``centre`` (D,), the mean of the whitened means of the styles; ``basis`` (D, K - 1) of the space that these span,
    and ``places`` (K, K - 1), where they lie in it."""

    mean: Array
    whitening: Array
    centre: Array
    basis: Array
    places: Array

    def whitened(self, described: Array) -> Array:
        """(N, D) of descriptors (N, D)."""
        whitened: Array = (described - self.mean) @ self.whitening - self.centre
        return whitened

    def logits(self, described: Array) -> Array:
        """Logits (N, K) of descriptors (N, D): the log density of equally frequent normal distributions with one
        covariance, up to what is the same for all styles."""
        within = self.whitened(described) @ self.basis
        logits: Array = -np.square(within[:, None] - self.places).sum(2) / 2
        return logits


def linear_discriminant(described: Array, truth: NDArray[np.int64]) -> Discriminant:
    """Fitted to descriptors (N, D) of clips and the numbers (N,) of their styles, from 0 to K - 1; every style has the
    same weight. Raises ``UnusableSamples`` if no style has clips that differ."""
    styles = range(int(truth.max()) + 1)
    mean, scale = described.mean(0), described.std(0)
    scale = np.where(scale > LEAST_VARIATION, scale, np.inf)  # the body's centre does not move: it counts nothing
    values = (described - mean) / scale
    means = np.stack([values[truth == style].mean(0) for style in styles])
    variances, axes = np.linalg.eigh(ledoit_wolf(values - means[truth])[0])
    if not variances[0] > 0:
        raise UnusableSamples(
            "the clips of each style all move alike, so what varies within a style cannot be learned; add recordings",
            field="style",
        )
    whitening = axes / np.sqrt(variances)
    whitened = means @ whitening
    centre = whitened.mean(0)
    basis = np.linalg.svd(whitened - centre, full_matrices=False)[2][: len(styles) - 1].T
    return Discriminant(mean, whitening / scale[:, None], centre, basis, (whitened - centre) @ basis)
