"""GradNorm (Chen et al. 2018, Algorithm 1): weights that keep the gradients of several loss terms in balance.

Legend: T terms; W, where the gradients are measured: the streams' video-level features.
"""

import copy
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final

import torch
from torch import Tensor, nn

from networks.streams import StreamOutput
from networks.virality_model import ViralityModel
from schemas.errors import ConfigurationError

SMALLEST_WEIGHT: Final = 1e-3
"""Weights are lifted to this before they are renormalised. The published step can make one negative, which would
turn minimising a term into maximising it."""

_GRADIENT_SCALE: Final = 1024.0
"""Applied before differentiating and undone after, so that float16 gradients do not vanish. A power of two: exact."""


class GradNorm:
    """The weights w of T loss terms, with sum T, and the rule that moves them.

    ``restoring`` is the exponent called α by Chen et al. (0: equal gradient norms for all terms), ``rate`` the
    learning rate of the weights' own Adam. ``initial`` are the losses L(0) that progress is measured against, if they
    are known; otherwise each term's first positive loss is taken, and until then the term counts as being where it
    began. State is held in float64 on the CPU.
    """

    def __init__(
        self, start: Sequence[float], *, restoring: float, rate: float, initial: Sequence[float] | None = None
    ) -> None:
        """``start`` are the first weights up to a factor; all must be above zero."""
        if not start or not all(weight > 0 and math.isfinite(weight) for weight in start):
            raise ConfigurationError(f"weights must be above zero to be balanced, not {list(start)}", field="weights")
        self.restoring = restoring
        self._weights = torch.tensor(start, dtype=torch.float64)
        self._weights *= len(start) / self._weights.sum()
        self._initial = torch.tensor(initial or [0.0] * len(start), dtype=torch.float64)
        self._optimizer = torch.optim.Adam([self._weights], lr=rate)

    @property
    def weights(self) -> tuple[float, ...]:
        """The weights for the next step."""
        return tuple(self._weights.tolist())

    def targets(self, losses: Tensor, weighted_norms: Tensor) -> Tensor:
        """Ḡ r_i^a (T,) for ``losses`` L(t) and ``weighted_norms`` G, with r_i = (L_i / L_i(0)) / mean_j(L_j / L_j(0)).

        r is one for every term when all losses are zero.
        """
        progress = torch.where(self._initial > 0, losses / self._initial, 1.0)
        mean = progress.mean()
        inverse_rate = progress / mean if mean > 0 else torch.ones_like(progress)
        return weighted_norms.mean() * inverse_rate**self.restoring

    def update(self, losses: Sequence[float], norms: Sequence[float]) -> None:
        """One step on L_grad = Σ |G_i - Ḡ r_i^a|, the target held constant, after a batch.

        ``losses`` are the unweighted terms L_i(t), ``norms`` are ||∇_W L_i(t)||; so G_i = w_i ||∇_W L_i||, and the
        derivative of L_grad by w_i is sign(G_i - Ḡ r_i^a) ||∇_W L_i||.
        """
        loss, norm = torch.tensor(losses, dtype=torch.float64), torch.tensor(norms, dtype=torch.float64)
        self._initial = torch.where(self._initial > 0, self._initial, loss)
        weighted = self._weights * norm
        self._weights.grad = torch.sign(weighted - self.targets(loss, weighted)) * norm
        self._optimizer.step()
        self._weights.clamp_(min=SMALLEST_WEIGHT)
        self._weights *= len(self._weights) / self._weights.sum()

    def state_dict(self) -> dict[str, Any]:
        """All that a later ``update`` depends on."""
        return {"weights": self._weights, "initial": self._initial, "optimizer": self._optimizer.state_dict()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from ``state``."""
        self._weights.copy_(state["weights"])
        self._initial = state["initial"].clone()
        self._optimizer.load_state_dict(copy.deepcopy(state["optimizer"]))  # it would share the tensors


@contextmanager
def video_level_features(model: ViralityModel) -> Iterator[list[Tensor]]:
    """The list that a forward pass of ``model`` inside the context fills: one (clips, D) tensor per stream run.

    They are what a stream's layer ``score`` reads, from which its embedding is made too; of streams without such a
    layer, the embedding. ``ViralityModelOutput.embeddings`` is a copy that the scores do not come from.
    """
    features: list[Tensor] = []

    def keep_input(_layer: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        features.append(inputs[0])

    def keep_embedding(_stream: nn.Module, _inputs: object, output: StreamOutput) -> None:
        features.append(output.embedding)

    def leave_mixed_precision(_stream: nn.Module, _inputs: object, output: StreamOutput) -> StreamOutput:
        return StreamOutput(output.embedding.float(), output.score.float())  # the fusion's tensors are float32

    handles = []
    for stream in model.streams.children():
        layer = getattr(stream, "score", None)
        if isinstance(layer, nn.Linear):
            handles.append(layer.register_forward_pre_hook(keep_input))
        else:
            handles.append(stream.register_forward_hook(keep_embedding))
        handles.append(stream.register_forward_hook(leave_mixed_precision))
    try:
        yield features
    finally:
        for handle in handles:
            handle.remove()


def gradient_norms(terms: Sequence[Tensor], features: Sequence[Tensor]) -> Tensor:
    """||∇ L_i|| (T,) of every scalar in ``terms`` with respect to all ``features`` together; the graph is kept."""
    norms = []
    for term in terms:
        gradients = torch.autograd.grad(term * _GRADIENT_SCALE, features, retain_graph=True, allow_unused=True)
        squares = [gradient.float().square().sum() for gradient in gradients if gradient is not None]
        norms.append(torch.stack(squares).sum().sqrt() / _GRADIENT_SCALE if squares else term.new_zeros(()))
    return torch.stack(norms)
