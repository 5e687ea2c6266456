"""How many engagement events a second the traffic pools' state machine takes, and what a round over all clips costs.

    python -m benchmarks.pool_events [--events 200000] [--clips 20000] [--rounds 5] [--waiting 100000]

*Pools*: every event through the ledger, under the policy that ships, its capacities for as many uploads as there are:
transition, budgets, decisions, what is learned of cohorts. *Bare counts*: the least that anyone would have to do, a
dictionary of the latest counts by clip and their sums by cohort. Both take the same events in one process, in turn, so
that a noisy machine disturbs both alike; the ratio is taken within each round. Counts grow, one event in ten is a late
duplicate, and about half of the clips are in a tier.

*A round* expires, admits and explores clips: once over as many clips as ``--waiting`` says, half of them queued and
half candidates, and once over 10 % of them. Ten times the clips should cost about ten times the time.
"""

import argparse
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from random import Random
from typing import Final

import msgspec
from rich.console import Console
from rich.table import Table

from benchmarks.figures import Measured, write_figures
from dancerank.console.progress import counted
from dancerank.policies import read_policy, shipped_policy
from ranking.pools.ledger import PoolLedger
from ranking.pools.policy import Policy
from ranking.pools.state import Cohort, Counts, Engaged, Rated
from schemas.modalities import Dimension

WANTED: Final = 10_000
"""Events a second."""

UPLOAD_MS: Final = 10_000
"""Between two uploads."""
CAPACITIES: Final = 30
"""Times those of the policy that ships, which is for 300 uploads a day."""

POOLS: Final = "pools"
BARE: Final = "bare counts"

Handle = Callable[[Engaged], object]


class BareCounts:
    """The latest counts of each clip, and their sums by cohort."""

    def __init__(self, cohorts: Mapping[str, Cohort]) -> None:
        self._cohorts = cohorts
        self._latest: dict[str, tuple[int, int, int]] = {}
        self.sums: dict[Cohort, Counts] = {}

    def handle(self, event: Engaged) -> None:
        views = event.views or 0
        _, old_views, old_reactions = before = self._latest.get(event.clip_id, (-1, 0, 0))
        latest = (event.observed_at_ms, views, event.reactions)
        if latest <= before:
            return
        self._latest[event.clip_id] = latest
        cohort = self._cohorts[event.clip_id]
        reactions, seen = self.sums.get(cohort, (0, 0))
        self.sums[cohort] = Counts(reactions + event.reactions - old_reactions, seen + views - old_views)


def main() -> None:
    arguments = parse()
    console = Console()
    policy = many_times_policy()
    uploads, events = made_uploads(arguments.clips), made_events(arguments.clips, arguments.events)
    speeds: dict[str, list[float]] = {POOLS: [], BARE: []}
    decisions = pooled = 0
    for _ in counted(range(arguments.rounds), "Rounds", arguments.rounds):
        ledger = ledger_of(policy, uploads)
        before, pooled = decided(ledger), sum(clip.tier is not None for clip in ledger.clips())
        cohorts = {clip.clip_id: clip.cohort for clip in ledger.clips()}
        for name, handle in ((POOLS, ledger.handle), (BARE, BareCounts(cohorts).handle)):
            speeds[name].append(events_per_s(handle, events))
        decisions = decided(ledger) - before
    sizes = arguments.waiting // 10, arguments.waiting
    costs = {size: [round_s(policy, size) for _ in range(3)] for size in sizes}
    console.print(
        f"{len(events):,} events of {len(uploads):,} clips, {pooled:,} of them in a tier: {decisions:,} decisions"
    )
    console.print(rendered_speeds(speeds))
    speed = statistics.median(speeds[POOLS])
    reached = "reached" if speed >= WANTED else "not reached"
    ratio = statistics.median(ratios(speeds))
    console.print(f"pools over bare counts: {ratio:.3f}", highlight=False)
    console.print(f"pools over the {WANTED:,}/s wanted: {speed / WANTED:.1f}; {reached}", highlight=False)
    console.print(rendered_rounds(costs))
    settings = {key: getattr(arguments, key) for key in ("events", "clips", "rounds", "waiting")}
    report = {
        **settings,
        "events_per_s": speeds,
        "ratio_to_bare": ratios(speeds),
        "decisions": decisions,
        "pooled": pooled,
    }
    figures = [
        Measured("engagement events through the state machine", speed, "events/s", WANTED),
        Measured("over bare counts", ratio, "ratio"),
    ]
    figures += [Measured(f"a round over {n:,} waiting clips", statistics.median(s), "s") for n, s in costs.items()]
    path = write_figures("pool-events", figures, **report, round_s=costs)
    console.print(f"figures in {path}", markup=False)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=200_000, help="engagement events in a round")
    parser.add_argument("--clips", type=int, default=20_000, help="clips that they are about")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--waiting", type=int, default=100_000, help="clips that the larger round over all clips has")
    return parser.parse_args()


def many_times_policy() -> Policy:
    policy = read_policy(shipped_policy())
    larger = (msgspec.structs.replace(tier, capacity=tier.capacity * CAPACITIES) for tier in policy.tiers)
    return msgspec.structs.replace(policy, tiers=tuple(larger))


def made_uploads(clips: int) -> list[Rated]:
    """Clips of 2,000 dancers in 50 challenges, ten seconds apart; about half of them are nominated."""
    random = Random(1)
    return [
        Rated(
            clip_id=f"clip-{n}",
            dancer_id=f"dancer-{n % 2000}",
            challenge_id=f"challenge-{n % 50}",
            percentiles={dimension: random.uniform(0, 100) for dimension in Dimension},
            challenge_clips=1000,
            at_ms=n * UPLOAD_MS,
        )
        for n in range(clips)
    ]


def made_events(clips: int, events: int) -> list[Engaged]:
    """Growing counts, at rates around 4 %, within six hours after the last upload."""
    random, start_ms = Random(2), clips * UPLOAD_MS
    rates = [random.betavariate(2, 48) for _ in range(clips)]
    views = [0] * clips
    made: list[Engaged] = []
    for n in range(events):
        at_ms = start_ms + n * 21_600_000 // events
        if made and random.random() < 0.1:
            made.append(made[random.randrange(max(n - 1000, 0), n)])
            continue
        clip = random.randrange(clips)
        views[clip] += int(random.expovariate(1 / 200))
        reactions = int(views[clip] * rates[clip])
        made.append(
            Engaged(clip_id=f"clip-{clip}", observed_at_ms=at_ms, reactions=reactions, views=views[clip], at_ms=at_ms)
        )
    return made


def ledger_of(policy: Policy, uploads: Sequence[Rated]) -> PoolLedger:
    ledger = PoolLedger(policy)
    for upload in uploads:
        ledger.handle(upload)
    return ledger


def decided(ledger: PoolLedger) -> int:
    return sum(clip.decisions for clip in ledger.clips())


def events_per_s(handle: Handle, events: Sequence[Engaged]) -> float:
    began_s = time.perf_counter()
    for event in events:
        handle(event)
    return len(events) / (time.perf_counter() - began_s)


def round_s(policy: Policy, clips: int) -> float:
    """One round late in a window, over clips that all came at its beginning, in challenges of their own."""
    ledger, window_ms = PoolLedger(policy), policy.window_ms
    for n in range(clips):
        percentiles = {Dimension.FUSED: 100.0 if n % 2 else 1.0}
        ledger.handle(
            Rated(
                clip_id=f"clip-{n}",
                dancer_id=f"dancer-{n}",
                challenge_id=f"challenge-{n}",
                percentiles=percentiles,
                challenge_clips=1000,
                at_ms=0,
            )
        )
    began_s = time.perf_counter()
    ledger.round(2 * window_ms - 1)
    return time.perf_counter() - began_s


def ratios(speeds: Mapping[str, list[float]]) -> list[float]:
    """The pools' speed over that of bare counts, in each round."""
    return [pools / bare for pools, bare in zip(speeds[POOLS], speeds[BARE], strict=True)]


def rendered_speeds(speeds: Mapping[str, list[float]]) -> Table:
    table = Table("", "events/s, median", "range")
    for name, found in speeds.items():
        table.add_row(name, f"{statistics.median(found):,.0f}", f"{min(found):,.0f}–{max(found):,.0f}")
    return table


def rendered_rounds(costs: Mapping[int, list[float]]) -> Table:
    table = Table("clips that wait", "a round, median", "for each clip", title="A round over all clips")
    for clips, found in costs.items():
        seconds = statistics.median(found)
        table.add_row(f"{clips:,}", f"{seconds * 1e3:,.0f} ms", f"{seconds / max(clips, 1) * 1e6:.1f} µs")
    return table


if __name__ == "__main__":
    main()
