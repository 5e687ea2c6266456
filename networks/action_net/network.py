"""The two streams of ACTION-NET and the head that scores a routine (Section 3, Fig. 2).

Legend: N routines, T instances (segments in the dynamic stream, frames in the static one), C channels, F width of a
stream's feature.
"""

from collections.abc import Sequence
from typing import Final, Literal, NamedTuple

import torch
from torch import Tensor, nn

from networks.action_net.attention import AttentionUnit, EqualAttention, FilterAttention
from networks.action_net.context import AdjacencyReading, GraphContext, RecurrentContext
from networks.errors import UnusableSamples
from networks.sequences import masked
from schemas.errors import ConfigurationError

StreamName = Literal["dynamic", "static"]
Aggregation = Literal["caa", "average", "attention", "filters", "lstm", "bi-lstm"]
"""How a stream gathers its instances (Table 3): context-aware attention; average pooling; ATT-U alone (SAU); three of
it (RTA); ATT-U on an LSTM or Bi-LSTM in place of TCG-U."""

CHANNELS: Final[dict[StreamName, int]] = {"dynamic": 1024, "static": 2048}
"""C: I3D's features of a segment of 16 frames, and ResNet-50's of the athlete in a frame."""

STREAMS: Final[tuple[StreamName, ...]] = ("dynamic", "static")
DROPOUT: Final = 0.5
FILTERS: Final = 3


class Widths(NamedTuple):
    """Widths of the layers: the two that embed an instance in each stream, and the hidden ones of ATT-U and the head.
    The defaults are the paper's: 1024-512-256 and 2048-1024-256."""

    dynamic: tuple[int, int] = (512, 256)
    static: tuple[int, int] = (1024, 256)
    attention: int = 128
    head: int = 128


PAPER_WIDTHS: Final = Widths()


class RoutineOutput(NamedTuple):
    """What ACTION-NET says of N routines.

    ``score`` (N,) in [0, 1]. ``features`` (N, sum of F), f_D and f_S of Eq. (6). ``dynamic_attention`` and
    ``static_attention`` (N, T): weights of segments and frames, which sum to one; (N, 0) of a stream that is left out.
    """

    score: Tensor
    features: Tensor
    dynamic_attention: Tensor
    static_attention: Tensor


class RoutineStream(nn.Module):
    """Two layers that embed each instance, its context, and the sum of all by attention (Eq. 4-5)."""

    def __init__(
        self,
        channels: int,
        widths: tuple[int, int],
        attention: int,
        aggregation: Aggregation,
        adjacency: AdjacencyReading,
        scale: float,
    ) -> None:
        """``widths`` of the two layers that embed an instance of ``channels``; ``attention``: of ATT-U's hidden one."""
        super().__init__()
        self.channels = channels
        hidden, embedded = widths
        self.embedding = nn.Sequential(nn.Linear(channels, hidden), nn.ReLU(), nn.Linear(hidden, embedded), nn.ReLU())
        self.context: GraphContext | RecurrentContext | None = None
        if aggregation == "caa":
            self.context = GraphContext(embedded, adjacency=adjacency, scale=scale)
        elif aggregation in ("lstm", "bi-lstm"):
            self.context = RecurrentContext(embedded, embedded, bidirectional=aggregation == "bi-lstm")
        self.width = embedded + (0 if self.context is None else self.context.width)
        self.attention: AttentionUnit | FilterAttention | EqualAttention
        match aggregation:
            case "average":
                self.attention = EqualAttention()
            case "filters":
                self.attention = FilterAttention(self.width, FILTERS, attention)
            case _:
                self.attention = AttentionUnit(self.width, attention)

    def forward(self, instances: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Feature (N, F) and attention (N, T) of (N, T, C) instances; ``mask`` (N, T) or (1, T)."""
        x = self.embedding(masked(instances, mask[:, :, None]))
        if self.context is not None:
            x = torch.cat((x, self.context(x, mask)), dim=2)
        weights = self.attention(x, mask)
        return (x * weights[:, :, None]).sum(1), weights


class ActionNet(nn.Module):
    """ACTION-NET: a dynamic and a static stream with parameters of their own, and two layers that score their features.

    With the paper's ``widths`` it has 3,542,787 parameters. ``adjacency`` is the reading of Eq. (1-2), ``scale`` its K.
    The ablations: ``streams``, one of the two (Table 2), and ``aggregation`` (Table 3). Parameters start as in the
    public training: Xavier's uniform weights, zero biases.

    Any number of instances can be scored. ``segments`` and ``frames`` are the numbers that training brings routines to,
    and that official weights are checked against.
    """

    def __init__(
        self,
        segments: int = 26,
        frames: int = 80,
        *,
        adjacency: AdjacencyReading = "temporal",
        scale: float = 1.0,
        streams: Sequence[StreamName] = STREAMS,
        aggregation: Aggregation = "caa",
        widths: Widths = PAPER_WIDTHS,
    ) -> None:
        super().__init__()
        for name, value in (("segments", segments), ("frames", frames), ("scale", scale)):
            if not value > 0:
                raise ConfigurationError(f"{name} must be above zero, not {value}", field=name)
        if not streams or [name for name in STREAMS if name in streams] != list(streams):
            raise ConfigurationError(f"streams must be one or both of {', '.join(STREAMS)}", field="streams")
        if min(*widths.dynamic, *widths.static, widths.attention, widths.head) < 1:
            raise ConfigurationError(f"widths must be 1 or more, not {widths}", field="widths")
        self.segments = segments
        self.frames = frames
        self.widths = widths
        of_stream = {"dynamic": widths.dynamic, "static": widths.static}
        self.streams = nn.ModuleDict(
            {
                name: RoutineStream(CHANNELS[name], of_stream[name], widths.attention, aggregation, adjacency, scale)
                for name in streams
            }
        )
        width = self.embedding_dim
        self.head = nn.Sequential(
            nn.Linear(width, widths.head), nn.ReLU(), nn.Dropout(DROPOUT), nn.Linear(widths.head, 1)
        )
        self.apply(_initialise)

    def forward(
        self,
        dynamic: Tensor,
        static: Tensor,
        dynamic_mask: Tensor | None = None,
        static_mask: Tensor | None = None,
    ) -> Tensor:
        """Scores (N,) in [0, 1]; the inputs are those of ``assess``."""
        return self.assess(dynamic, static, dynamic_mask, static_mask).score

    def assess(
        self,
        dynamic: Tensor,
        static: Tensor,
        dynamic_mask: Tensor | None = None,
        static_mask: Tensor | None = None,
    ) -> RoutineOutput:
        """Score ``dynamic`` (N, segments, 1024) and ``static`` (N, frames, 2048) features, and say what counted.

        The masks (N, segments) and (N, frames) are true at real instances; without one all are real. What stands at
        padding has no influence. A routine without a real instance in a stream has zeros for that stream's feature.
        Raises ``UnusableSamples`` for features of another width or of no instance.
        """
        features = []
        attention: dict[str, Tensor] = dict.fromkeys(STREAMS, dynamic.new_zeros((dynamic.shape[0], 0)))
        for name, instances, mask in (("dynamic", dynamic, dynamic_mask), ("static", static, static_mask)):
            if name not in self.streams:
                continue
            stream = self._stream(name)
            _check(name, instances, stream.channels)
            real = torch.ones(1, instances.shape[1], dtype=torch.bool, device=instances.device)
            feature, attention[name] = stream(instances, real if mask is None else mask.bool())
            features.append(feature)
        joined = torch.cat(features, dim=1)
        score = torch.sigmoid(self.head(joined)).squeeze(1)
        return RoutineOutput(score, joined, attention["dynamic"], attention["static"])

    @property
    def embedding_dim(self) -> int:
        """Sum of F over the streams."""
        return sum(self._stream(name).width for name in self.streams)

    def _stream(self, name: str) -> RoutineStream:
        stream = self.streams[name]
        if not isinstance(stream, RoutineStream):
            raise TypeError(f"the {name} stream is a {type(stream).__name__}")
        return stream


def _check(name: str, instances: Tensor, channels: int) -> None:
    if instances.dim() != 3 or instances.shape[2] != channels or instances.shape[1] == 0:
        raise UnusableSamples(
            f"the {name} features have shape {tuple(instances.shape)}; expected (routines, at least one instance, "
            f"{channels})",
            field=name,
        )


def _initialise(module: nn.Module) -> None:
    if isinstance(module, nn.Linear):
        nn.init.xavier_uniform_(module.weight)
        nn.init.zeros_(module.bias)
