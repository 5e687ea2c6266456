"""The traffic pools of the demonstration: which clips are admitted, how viewers react, and which are promoted."""

from collections import Counter
from collections.abc import Collection, Mapping
from typing import Final

import numpy as np
from rich.table import Table

from dancerank.console.terminal import Console
from dancerank.running.embedded import EmbeddedSystem
from schemas.clock import SystemClock
from schemas.codec import encode
from schemas.events import EngagementObserved, PoolDecision
from schemas.modalities import DIMENSIONS
from schemas.pools import Rule
from schemas.ports import OutgoingRecord

_VIEWS: Final = 150
_FOLLOWERS: Final = 60
_LEAST_RATE: Final = 0.01
_DOUBLINGS: Final = 4.0
"""From the least viral clip of a challenge to the most: 1 % to 16 % of viewers react, 4 % to the median clip."""
_ADMITTING: Final = (Rule.NOMINATED, Rule.EXPLORED)


def show_pools(console: Console, system: EmbeddedSystem, virality: Mapping[str, float], seed: int) -> list[str]:
    """Simulate viewers' reactions to the admitted clips, by planted percentile of ``virality`` in the challenge, and
    print what was decided before and after. Returns the admitted clips.
    """
    first = system.await_decisions(len(virality))
    entered = [decision.clip_id for decision in first if decision.rule in _ADMITTING]
    _react(system, {clip_id: virality[clip_id] for clip_id in entered}, _VIEWS, np.random.default_rng([seed, 7]))
    system.await_observed(len(entered))
    decisions = system.await_decisions(len(virality))
    console.print(_table(decisions, virality))
    promoted = {decision.clip_id for decision in decisions if decision.rule == Rule.PROMOTED}
    best = sum(virality[clip_id] >= 0.75 for clip_id in promoted)
    console.print(
        f"{len(entered)} of {len(virality)} clips were shown {_VIEWS} times each, and viewers reacted as planted: "
        f"{len(promoted)} went on to the next tier, {best} of them of the planted best quarter of their challenge."
    )
    if promoted:
        clip_id = max(promoted, key=lambda promoted_id: virality[promoted_id])
        console.print(f"Why {clip_id} is where it is:")
        for decision in system.service.pooled_clip(clip_id).history:
            console.print(f"  {decision.number + 1}. {decision.sentence}", highlight=False)
    return entered


def show_to_followers(
    system: EmbeddedSystem, virality: Mapping[str, float], admitted: Collection[str], seed: int
) -> None:
    """Simulate the reactions of the dancers' own followers to the clips that the pools show to nobody else, so that
    every prediction can be compared with something.
    """
    others = {clip_id: percentile for clip_id, percentile in virality.items() if clip_id not in set(admitted)}
    _react(system, others, _FOLLOWERS, np.random.default_rng([seed, 8]))
    system.await_observed(len(virality))


def _react(system: EmbeddedSystem, virality: Mapping[str, float], views: int, rng: np.random.Generator) -> None:
    """Send what so many viewers of each clip did."""
    topic, now_ms = system.settings.pools.engagement_topic, SystemClock().now_ms()
    for clip_id, percentile in virality.items():
        likes = int(rng.binomial(views, _LEAST_RATE * 2.0 ** (_DOUBLINGS * percentile)))
        seen = EngagementObserved(
            clip_id=clip_id, observed_at_ms=now_ms, likes=likes, comments=0, reposts=0, views=views
        )
        system.uploads.send(OutgoingRecord(topic, clip_id.encode(), encode(seen)))
    system.uploads.flush(system.settings.streamer.flush_timeout_s)


def _table(decisions: list[PoolDecision], virality: Mapping[str, float]) -> Table:
    """Decisions by rule: their number, the clips' mean virality, and for nominations the dimension."""
    table = Table("decision", "clips", "mean planted percentile", "decided by", title="What the pools decided")
    for rule, count in Counter(decision.rule for decision in decisions).items():
        about = [decision for decision in decisions if decision.rule == rule]
        by = Counter(decision.decided_by for decision in about if rule in (Rule.NOMINATED, Rule.QUEUED))
        names = ", ".join(f"{dimension} {by[dimension]}" for dimension in DIMENSIONS if by[dimension])
        mean = sum(virality[decision.clip_id] for decision in about) / count
        table.add_row(rule, str(count), f"{mean:.0%}", names or "–")
    return table
