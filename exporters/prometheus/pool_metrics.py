"""Metrics of the traffic pools. Tiers are the operator's, a handful; those of an earlier policy disappear."""

from collections.abc import Collection

from prometheus_client import CollectorRegistry

from exporters.prometheus import definitions
from exporters.prometheus.definitions import NO_TIER
from exporters.prometheus.replaced import ReplacedGauge
from schemas.observation import TierFilling


class PoolMetrics:
    """The pools' metrics of one registry."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._decisions = definitions.POOL_DECISIONS.create(registry)
        self._exposures = definitions.POOL_EXPOSURES.create(registry)
        self._clips = ReplacedGauge(definitions.POOL_CLIPS, registry)
        self._waiting = ReplacedGauge(definitions.POOL_WAITING, registry)
        self._used = ReplacedGauge(definitions.POOL_USED, registry)
        self._leased = ReplacedGauge(definitions.POOL_LEASED, registry)
        self._expired = definitions.POOL_LEASES_EXPIRED.create(registry)
        self._capacity = ReplacedGauge(definitions.POOL_CAPACITY, registry)
        self._unpublished = definitions.POOL_UNPUBLISHED.create(registry)

    def decided(self, rule: str, tier: str | None, exposures: int) -> None:
        self._decisions.labels(rule, tier or NO_TIER).inc()
        if exposures:
            self._exposures.labels(tier or NO_TIER).inc(exposures)

    def leases_expired(self, leases: int) -> None:
        self._expired.inc(leases)

    def filled(self, tiers: Collection[TierFilling], unpublished: int) -> None:
        self._clips.replace({(each.tier,): each.clips for each in tiers})
        self._waiting.replace({(each.tier,): each.waiting for each in tiers})
        self._used.replace({(each.tier,): each.used for each in tiers})
        self._leased.replace({(each.tier,): each.leased for each in tiers})
        self._capacity.replace({(each.tier,): each.capacity for each in tiers})
        self._unpublished.set(unpublished)
