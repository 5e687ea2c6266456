"""Networks that learn styles by gradient, as classifiers of a bundle: LSTM, attentive LSTM, TCN, PSGCN and RTCN.

How familiar a clip is, is the distance of its features to the nearest style's mean, under one covariance (Lee et al.
2018, A Simple Unified Framework for Detecting Out-of-Distribution Samples; shrunk as Ledoit & Wolf 2004).

Legend: N clips, T time steps, V joints, C coordinates, D features, K styles.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Final, NamedTuple

import msgspec
import numpy as np
import torch
from sklearn.covariance import ledoit_wolf
from torch import Tensor

from networks.errors import UnusableSamples
from networks.styles.clips import StyleClip, styles_of
from networks.styles.judging import PoseClassifier, padded_poses
from networks.styles.network import FeatureNetwork
from networks.styles.poses import facing_poses
from networks.styles.sequential import AttentiveStyleLSTM, StyleLSTM, StyleTCN
from networks.styles.streams import style_psgcn, style_rtcn
from networks.styles.training import StyleTraining, train_styles
from schemas.joints import JointLayout

STREAM_WIDTH: Final = 1 / 8
"""Of PSGCN and RTCN; data sets of dances are small."""


class Recipe(NamedTuple):
    """``build`` makes the network of a layout and K styles. It reads every ``every``-th pose, by joint (N, T, V, C) or
    flat (N, T, V · C), and is trained as ``training`` says."""

    build: Callable[[JointLayout, int], FeatureNetwork]
    every: int
    by_joint: bool
    training: StyleTraining


class LearnedClassifier(PoseClassifier):
    """A trained network on every ``every``-th pose, facing forward, and the distances of its features.

    With w the whitened features and c_k the whitened mean of style k over the clips of the fit, the familiarity is
    -min_k ‖w - c_k‖² / D, in float64. Until it is fitted (``fit_learned``) it is zero.
    """

    def __init__(self, layout: JointLayout, styles: int, recipe: Recipe) -> None:
        """``styles`` K."""
        super().__init__(layout, styles)
        self.network = recipe.build(layout, styles)
        self.every, self.by_joint = recipe.every, recipe.by_joint
        self.register_buffer("whitening", torch.zeros(1, 1, dtype=torch.float64))
        self.register_buffer("places", torch.zeros(styles, 1, dtype=torch.float64))
        self.whitening: Tensor
        self.places: Tensor

    @property
    def frame_shape(self) -> tuple[int, ...]:
        """Of what the network reads of a step."""
        shape = (self.layout.joint_count, self.layout.coordinates)
        return shape if self.by_joint else (shape[0] * shape[1],)

    def prepared(self, frames: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """What the network reads, (N, ⌈T / every⌉, …), and lengths (N,), of (N, T, V, C) poses and lengths (N,)."""
        poses = facing_poses(frames, lengths, self.layout)[:, :: self.every].float()
        return (poses if self.by_joint else poses.flatten(2)), (lengths.clamp(min=1) + self.every - 1) // self.every

    def named(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Logits (N, K) and familiarity (N,) of features (N, D)."""
        whitened = features.double() @ self.whitening
        squares = (whitened[:, None] - self.places).square().mean(2)
        return self.network.logits(features), -squares.amin(1).float()

    def judged(self, frames: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Logits (N, K) and familiarity (N,)."""
        return self.named(self.network.features(*self.prepared(frames, lengths)))


def fit_learned(clips: Sequence[StyleClip], layout: JointLayout, *, seed: int = 0, recipe: Recipe) -> LearnedClassifier:
    """Train on all ``clips``, class k being ``styles_of(clips)[k]``, for all epochs of the recipe.

    Raises ``UnusableSamples`` for clips that cannot be used, and if the features of each style are all alike.
    """
    styles = styles_of(clips)
    torch.manual_seed(seed)
    classifier = LearnedClassifier(layout, len(styles), recipe)
    read = []
    with torch.inference_mode():
        for clip in clips:
            frames, lengths = classifier.prepared(*padded_poses([clip])[0])
            read.append(clip._replace(frames=frames[0, : int(lengths[0])].numpy()))
    train_styles(classifier.network, read, styles, msgspec.structs.replace(recipe.training, seed=seed))
    classifier.eval()
    with torch.inference_mode():
        features = torch.cat([classifier.network.features(*each) for each in padded_poses(read)]).double().numpy()
    truth = np.array([styles.index(clip.style) for clip in clips])
    means = np.stack([features[truth == style].mean(0) for style in range(len(styles))])
    variances, axes = np.linalg.eigh(ledoit_wolf(features - means[truth])[0])
    if not variances[0] > 0:
        raise UnusableSamples(
            "the network sees all clips of a style alike, so how far others are cannot be said; add recordings",
            field="style",
        )
    classifier.whitening = torch.from_numpy(axes / np.sqrt(variances))
    classifier.places = torch.from_numpy(means) @ classifier.whitening
    return classifier


def _flat(make: Callable[..., FeatureNetwork], **options: float) -> Callable[[JointLayout, int], FeatureNetwork]:
    return lambda layout, styles: make(layout.joint_count * layout.coordinates, styles, **options)


def _psgcn(layout: JointLayout, styles: int) -> FeatureNetwork:
    return style_psgcn(layout, styles, width=STREAM_WIDTH)


_LSTM: Final = StyleTraining(epochs=40, learning_rate=3e-3, batch_size=16, weight_decay=1e-4, optimizer="adam")
_STREAM: Final = StyleTraining(epochs=15, learning_rate=0.02, batch_size=16)

fit_lstm: Final = partial(
    fit_learned, recipe=Recipe(_flat(StyleLSTM, hidden=64, dropout=0.5), every=5, by_joint=False, training=_LSTM)
)
fit_attentive_lstm: Final = partial(
    fit_learned,
    recipe=Recipe(_flat(AttentiveStyleLSTM, hidden=64, dropout=0.3), every=5, by_joint=False, training=_LSTM),
)
fit_tcn: Final = partial(
    fit_learned, recipe=Recipe(_flat(StyleTCN, width=64, dropout=0.1), every=5, by_joint=False, training=_LSTM)
)
fit_psgcn: Final = partial(fit_learned, recipe=Recipe(_psgcn, every=2, by_joint=True, training=_STREAM))
fit_rtcn: Final = partial(
    fit_learned, recipe=Recipe(_flat(style_rtcn, width=STREAM_WIDTH), every=2, by_joint=False, training=_STREAM)
)
