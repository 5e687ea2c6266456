"""What training costs: samples per second of PSGCN beside the public ST-GCN, forward, backward and Adam's step.

    python -m benchmarks.epoch_cost [--width 1.0] [--steps 75] [--batch 8] [--seconds 20] [--rounds 5] [--threads 1]
                                    [--dmgnn]

*ST-GCN, public* has the structure of the public code and nothing more: plain batch normalisation, no masks, no
normalisation of poses. It is what is compared with, so that PSGCN's masks count against it. *ST-GCN, masked* is the
baseline that the tables train. All take the same random poses in MPII-16, all clips being of full length, in one
process, and a step at a time in turn, so that a noisy machine disturbs all alike; the ratio is taken within each round.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn

from dancerank.console.progress import counted
from networks.baselines.dmgnn import DMGNN
from networks.baselines.stgcn import (
    BLOCK_CHANNELS,
    STGCN,
    STRIDED_BLOCKS,
    SUBSETS,
    SpatialGraphConvolution,
    spatial_partition,
)
from networks.psgcn import PSGCN
from networks.sequences import scaled_channels
from schemas.joints import JointLayout, layout_named

OUT: Final = Path("out/epoch-cost.json")
WANTED: Final = 1.5
"""How many times as fast as the public ST-GCN PSGCN is to be."""

PUBLIC: Final = "ST-GCN, public"
OURS: Final = "PSGCN"


class PublicBlock(nn.Module):
    """``SpatialTemporalBlock`` of the baseline, with plain batch normalisation and without masks."""

    def __init__(self, width_in: int, width: int, *, stride: int, dropout: float, residual: bool) -> None:
        super().__init__()
        self.graph = SpatialGraphConvolution(width_in, width, SUBSETS)
        self.temporal = nn.Sequential(
            nn.BatchNorm2d(width),
            nn.ReLU(inplace=True),
            nn.Conv2d(width, width, (9, 1), (stride, 1), padding=(4, 0)),
            nn.BatchNorm2d(width),
            nn.Dropout(dropout, inplace=True),
        )
        self.residual = residual
        self.projection: nn.Module = nn.Identity()
        if residual and (width_in != width or stride != 1):
            self.projection = nn.Sequential(nn.Conv2d(width_in, width, 1, (stride, 1)), nn.BatchNorm2d(width))

    def forward(self, x: Tensor, adjacency: Tensor) -> Tensor:
        """(N, C, T, V) to (N, C', T', V)."""
        hidden = self.temporal(self.graph(x, adjacency))
        return torch.relu(hidden + self.projection(x) if self.residual else hidden)


class PublicSTGCN(nn.Module):
    """ST-GCN as its public code has it, with one person per clip and one output."""

    adjacency: Tensor

    def __init__(self, layout: JointLayout, channels: int = 2, *, width: float = 1.0, dropout: float = 0.5) -> None:
        super().__init__()
        widths = [scaled_channels(count, width) for count in BLOCK_CHANNELS]
        self.register_buffer("adjacency", spatial_partition(layout))
        self.input_norm = nn.BatchNorm1d(channels * layout.joint_count)
        self.blocks = nn.ModuleList(
            PublicBlock(
                before,
                after,
                stride=2 if index in STRIDED_BLOCKS else 1,
                dropout=dropout if index else 0.0,
                residual=index > 0,
            )
            for index, (before, after) in enumerate(zip((channels, *widths), widths, strict=False))
        )
        self.importance = nn.ParameterList(torch.ones_like(self.adjacency) for _ in widths)
        self.score = nn.Linear(widths[-1], 1)

    def forward(self, frames: Tensor) -> Tensor:
        """(N, T, V, C) to scores (N,)."""
        flat = self.input_norm(frames.flatten(2).transpose(1, 2))
        x = flat.unflatten(1, frames.shape[2:]).permute(0, 2, 3, 1)
        for block, importance in zip(self.blocks, self.importance, strict=True):
            x = block(x, self.adjacency * importance)
        scores: Tensor = self.score(x.mean((2, 3))).squeeze(1)
        return scores


def main() -> None:
    arguments = parse()
    console = Console()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    torch.manual_seed(0)
    torch.set_num_threads(arguments.threads)
    steps = training_steps(arguments.width, arguments.steps, arguments.batch, device, dmgnn=arguments.dmgnn)
    for step in steps.values():
        step()
    share_s = arguments.seconds / arguments.rounds
    speeds: dict[str, list[float]] = {name: [] for name in steps}
    for _ in counted(range(arguments.rounds), "Rounds", arguments.rounds):
        for name, seconds in step_seconds(steps, share_s, device).items():
            speeds[name].append(arguments.batch / seconds)
    ratios = {name: ratios_to_public(speeds, name) for name in speeds}
    hardware = torch.cuda.get_device_name() if device.type == "cuda" else f"CPU, {arguments.threads} of its threads"
    console.print(rendered(speeds, ratios, f"Width {arguments.width:g}, batches of {arguments.batch}, "
                           f"{arguments.steps} steps; {hardware}"))  # fmt: skip
    ratio = statistics.median(ratios[OURS])
    verdict = "reached" if ratio >= WANTED else "not reached"
    console.print(f"{OURS} over {PUBLIC}: {ratio:.2f}; at least {WANTED} is wanted: {verdict}", highlight=False)
    OUT.parent.mkdir(parents=True, exist_ok=True)
    settings = {key: getattr(arguments, key) for key in ("width", "steps", "batch", "rounds")}
    report = {"hardware": hardware, **settings, "samples_per_s": speeds, "ratio_to_public": ratios}
    OUT.write_text(json.dumps(report, indent=2) + "\n")
    console.print(f"written to {OUT}")


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--width", type=float, default=1.0, help="channels, as a share of the papers'")
    parser.add_argument("--steps", type=int, default=75, help="time steps of a clip, 25 to the second")
    parser.add_argument("--batch", type=int, default=8, help="clips in a batch")
    parser.add_argument("--seconds", type=float, default=20, help="in all, times the number of networks")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1, help="of torch on the CPU; tables train on one")
    parser.add_argument("--dmgnn", action="store_true", help="measure DMGNN's encoder too")
    return parser.parse_args()


def training_steps(
    width: float, steps: int, batch: int, device: torch.device, *, dmgnn: bool
) -> dict[str, Callable[[], None]]:
    """One optimisation step of each network on the same batch."""
    layout = layout_named("mpii-16")
    frames = torch.randn(batch, steps, layout.joint_count, layout.coordinates, device=device)
    lengths = torch.full((batch,), steps, device=device)
    targets = torch.rand(batch, device=device)
    public = PublicSTGCN(layout, width=width).to(device)
    streams = {OURS: PSGCN(layout, width=width), "ST-GCN, masked": STGCN(layout, width=width)}
    if dmgnn:
        streams |= {"DMGNN": DMGNN(layout, width=width)}
    scoring: dict[str, tuple[nn.Module, Callable[[], Tensor]]] = {PUBLIC: (public, lambda: public(frames))}
    for name, stream in streams.items():
        moved = stream.to(device)
        scoring[name] = moved, lambda moved=moved: moved(frames, lengths).score  # type: ignore[misc]
    return {name: training_step(network, scores, targets) for name, (network, scores) in scoring.items()}


def training_step(network: nn.Module, scores: Callable[[], Tensor], targets: Tensor) -> Callable[[], None]:
    """Squared error, gradients, and a step of the Adam that ``fit`` uses."""
    optimizer = torch.optim.Adam(network.train().parameters(), lr=1e-4, fused=True)

    def step() -> None:
        optimizer.zero_grad()
        torch.autograd.backward(nn.functional.mse_loss(scores(), targets))
        optimizer.step()

    return step


def step_seconds(steps: Mapping[str, Callable[[], None]], seconds: float, device: torch.device) -> dict[str, float]:
    """The mean duration of each step. They take turns, at least once, until ``seconds`` have passed for each."""
    spent_s = dict.fromkeys(steps, 0.0)
    turns = 0
    while not turns or sum(spent_s.values()) < seconds * len(steps):
        for name, step in steps.items():
            began_s = time.perf_counter()
            step()
            if device.type == "cuda":
                torch.cuda.synchronize()
            spent_s[name] += time.perf_counter() - began_s
        turns += 1
    return {name: spent / turns for name, spent in spent_s.items()}


def ratios_to_public(speeds: Mapping[str, list[float]], name: str) -> list[float]:
    """How many times as fast as the public ST-GCN, in each round."""
    return [speed / public for speed, public in zip(speeds[name], speeds[PUBLIC], strict=True)]


def rendered(speeds: Mapping[str, list[float]], ratios: Mapping[str, list[float]], title: str) -> Table:
    table = Table("", "samples/s, median", "range", f"over {PUBLIC}", "range", title=title)
    for name, found in speeds.items():
        spread = [f"{min(found):.1f}–{max(found):.1f}", f"{min(ratios[name]):.2f}–{max(ratios[name]):.2f}"]
        medians = f"{statistics.median(found):.1f}", f"{statistics.median(ratios[name]):.2f}"
        table.add_row(name, medians[0], spread[0], medians[1], spread[1])
    return table


if __name__ == "__main__":
    main()
