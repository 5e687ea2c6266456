"""What ACTION-NET is compared with in Table 1: pooled features and a linear SVR, LSTM and Bi-LSTM.

Legend: N routines, T segments or frames, C channels.
"""

from collections.abc import Sequence
from typing import Any, Final, Literal

import numpy as np
import torch
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVR
from torch import Tensor, nn

from networks.action_net.context import RecurrentContext
from networks.action_net.network import CHANNELS, StreamName
from networks.action_net.recipe import Predict, RoutineSample
from networks.errors import UnusableSamples

Pooling = Literal["average", "maximum"]

HIDDEN: Final = 256
"""Of the LSTM; 128 in each direction of the Bi-LSTM."""


def pooled_svr(stream: StreamName, pooling: Pooling, *, cost: float = 1.0) -> Predict:
    """Features of one stream, averaged or their maximum taken over all instances, standardised, and a linear SVR."""

    def pooled(samples: Sequence[RoutineSample]) -> Any:
        rows = []
        for row, sample in enumerate(samples, start=1):
            instances = sample.dynamic if stream == "dynamic" else sample.static
            if not len(instances):
                raise UnusableSamples(f"routine {row} has no {stream} features to pool; leave it out", field=stream)
            rows.append(instances.mean(0) if pooling == "average" else instances.max(0))
        return np.stack(rows).astype(np.float64)

    def predict(train: Sequence[RoutineSample], test: Sequence[RoutineSample]) -> Any:
        machine = make_pipeline(StandardScaler(), SVR(kernel="linear", C=cost))
        machine.fit(pooled(train), [sample.score for sample in train])
        return machine.predict(pooled(test))

    return predict


class RecurrentRegressor(nn.Module):
    """An LSTM or Bi-LSTM over one stream and one linear map of its last outputs, with a sigmoid as ACTION-NET's."""

    def __init__(self, stream: StreamName, *, bidirectional: bool, segments: int = 26, frames: int = 80) -> None:
        """``segments`` and ``frames`` are the numbers that training brings routines to."""
        super().__init__()
        self.stream = stream
        self.segments = segments
        self.frames = frames
        self.recurrent = RecurrentContext(CHANNELS[stream], HIDDEN, bidirectional=bidirectional)
        self.bidirectional = bidirectional
        self.head = nn.Linear(HIDDEN, 1)

    def forward(
        self, dynamic: Tensor, static: Tensor, dynamic_mask: Tensor | None = None, static_mask: Tensor | None = None
    ) -> Tensor:
        """Scores (N,) in [0, 1] of ``dynamic`` (N, T, 1024) or ``static`` (N, T, 2048); the other is not read."""
        instances, mask = (dynamic, dynamic_mask) if self.stream == "dynamic" else (static, static_mask)
        if mask is None:
            mask = torch.ones(instances.shape[:2], dtype=torch.bool, device=instances.device)
        states = self.recurrent(instances, mask)
        last = (mask.sum(1).clamp(min=1) - 1)[:, None, None].expand(-1, 1, states.shape[2])
        read = states.gather(1, last).squeeze(1)
        if self.bidirectional:  # backwards, the last output is that at the first instance
            half = states.shape[2] // 2
            read = torch.cat((read[:, :half], states[:, 0, half:]), dim=1)
        score: Tensor = torch.sigmoid(self.head(read)).squeeze(1)
        return score
