"""Metrics of the traffic pools. Tiers are the operator's, a handful; those of an earlier policy disappear."""

from collections.abc import Collection
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge

from exporters.prometheus.replaced import ReplacedGauge
from schemas.observation import TierFilling

NO_TIER: Final = ""
"""Label ``tier`` of a decision after which a clip is in no tier."""


class PoolMetrics:
    """The pools' metrics of one registry."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._decisions = Counter(
            "dancerank_pool_decisions_total",
            "Decisions of the traffic pools, by the rule and the tier afterwards.",
            ["rule", "tier"],
            registry=registry,
        )
        self._exposures = Counter(
            "dancerank_pool_exposures_granted_total", "Views granted, by tier.", ["tier"], registry=registry
        )
        self._clips = ReplacedGauge("dancerank_pool_clips", "Clips in a tier.", ["tier"], registry)
        self._waiting = ReplacedGauge(
            "dancerank_pool_waiting_clips", "Clips that wait to enter a tier.", ["tier"], registry
        )
        self._used = ReplacedGauge(
            "dancerank_pool_window_used_views", "Views granted in the current window.", ["tier"], registry
        )
        self._capacity = ReplacedGauge(
            "dancerank_pool_window_capacity_views", "Most views that may be granted in a window.", ["tier"], registry
        )
        self._unpublished = Gauge(
            "dancerank_pool_decisions_unpublished", "Decisions that are not on their topic yet.", registry=registry
        )

    def decided(self, rule: str, tier: str | None, exposures: int) -> None:
        self._decisions.labels(rule, tier or NO_TIER).inc()
        if exposures:
            self._exposures.labels(tier or NO_TIER).inc(exposures)

    def filled(self, tiers: Collection[TierFilling], unpublished: int) -> None:
        self._clips.replace({(each.tier,): each.clips for each in tiers})
        self._waiting.replace({(each.tier,): each.waiting for each in tiers})
        self._used.replace({(each.tier,): each.used for each in tiers})
        self._capacity.replace({(each.tier,): each.capacity for each in tiers})
        self._unpublished.set(unpublished)
