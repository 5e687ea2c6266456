"""Reports of the running system about itself. The base class discards it; ``exporters.prometheus`` exports it."""

from collections.abc import Callable, Collection, Mapping
from types import MappingProxyType
from typing import NamedTuple

from schemas.modalities import Dimension, Modality
from schemas.ports import TopicPartition
from schemas.questions.readiness import ProcessState


class Agreement(NamedTuple):
    """Spearman's correlation of a dimension's scores with observed virality over ``clips`` clips of a challenge.

    ``challenge_id`` ``None``: the mean of the correlations of all challenges, and the sum of their clips.
    """

    challenge_id: str | None
    dimension: Dimension
    correlation: float
    clips: int


class Calibration(NamedTuple):
    """How far a dimension's scores are from the observed virality of Eq. (2), over all challenges.

    ``bias``: mean of predicted minus observed. ``error``: expected calibration error over deciles.
    """

    dimension: Dimension
    bias: float
    error: float


class StyleDrift(NamedTuple):
    """The share of a style in the first clips of a generation that were judged, and in the latest; and what it adds to
    the population stability index."""

    reference: float
    window: float
    psi: float


class Drift(NamedTuple):
    """The latest scored clips against the first of their model generation; empty until there are enough of both.

    ``score_psi`` and ``norm_psi``: population stability index of the scores and of the embeddings' norms.
    ``norm_ratio``: mean norm now over mean norm at first. ``styles``: by dance style, with ``unknown`` for none.
    """

    score_psi: Mapping[Dimension, float]
    norm_psi: Mapping[Modality, float]
    norm_ratio: Mapping[Modality, float]
    reference_clips: int
    window_clips: int
    styles: Mapping[str, StyleDrift] = MappingProxyType({})


class TierFilling(NamedTuple):
    """Use of a traffic pool: clips in it and waiting for it; views granted in this window, those that workers have
    leased and not granted, and the most allowed.
    """

    tier: str
    clips: int
    waiting: int
    used: int
    leased: int
    capacity: int


class Observer:
    """Receives facts from the streamer and the ranking. Every method returns at once and never raises."""

    def consumed(self, topic: str, records: int) -> None:
        """``records`` records of ``topic`` were read."""

    def produced(self, topic: str, records: int) -> None:
        """``records`` records of ``topic`` were written and acknowledged."""

    def dead_lettered(self, topic: str, reason: str) -> None:
        """A record of ``topic`` was dead-lettered; ``reason`` is an error ``code``."""

    def skipped(self, topic: str, reason: str) -> None:
        """A record of ``topic`` was rightly left unapplied, for example one of another generation."""

    def unknown_modality(self, name: str) -> None:
        """Part of a clip was ignored: it is of modality ``name``, which this release does not know."""

    def records_lost(self, partition: TopicPartition, records: int) -> None:
        """``records`` records at most were dropped from ``partition`` before they were read."""

    def interrupted(self, reason: str) -> None:
        """A loop reconnected and continues from what is committed; ``reason`` is an error ``code``."""

    def lag(self, partition: TopicPartition, records: int, seconds: float) -> None:
        """How far this process is behind on a partition: records that wait to be applied, and the age of the last one
        that was read, in seconds (0 at the end).
        """

    def lag_unknown(self, partition: TopicPartition) -> None:
        """Its lag is reported no more: another process measures it, or no broker has answered for it for a while."""

    def lag_measured(self, measured_at_ms: int) -> None:
        """The lag of every partition that concerns this process was reported as of ``measured_at_ms``."""

    def batch_formed(self, clips: int, frames: int, padded_frames: int) -> None:
        """A batch of ``clips`` holds ``frames`` real steps in ``padded_frames`` steps of padded array."""

    def stage_timed(self, stage: str, duration_s: float, modality: Modality | None = None) -> None:
        """``stage`` is one of load, wait, inference, fusion, guidance, publish, total, apply, rankings,
        query.
        """

    def video_extracted(self, frames: int) -> None:
        """The streams of a video of so many frames at 25 Hz were extracted."""

    def extraction_failed(self, reason: str) -> None:
        """No features could be extracted from a video; ``reason`` is an error ``code``."""

    def extraction_timed(self, part: str, duration_s: float) -> None:
        """Time that one video took: ``part`` is decoding (waiting for frames), people, a modality, or total."""

    def stream_extracted(self, modality: Modality, *, found: bool) -> None:
        """A video was searched for the stream of a modality, which it has or has not."""

    def joints_filled(self, share: float) -> None:
        """Of the joint positions of a clip's pose, this share was missing and has been interpolated."""

    def training_distance(self, modality: Modality, distance: float) -> None:
        """A clip's features of one modality are this far from those that the bundle was trained on, over its limit."""

    def outside_training(self) -> None:
        """A clip that lies outside what its bundle was trained on was scored; it will be in no ranking."""

    def style_recognised(self, style: str | None) -> None:
        """The style classifier has judged a clip; ``None``: it shows none of the styles that it knows."""

    def style_failed(self) -> None:
        """The style classifier failed on a clip, which is scored without a style."""

    def guidance_failed(self) -> None:
        """The guidance of a clip could not be computed; it is scored without."""

    def provider_in_use(self, modality: Modality | None, provider: str) -> None:
        """The ONNX Runtime execution provider that runs a stream (``None``: the fusion)."""

    def batch_size_chosen(self, modality: Modality, steps: int, clips: int) -> None:
        """Runs of a stream have at most ``clips`` clips where the longest is near ``steps`` of 25 Hz."""

    def in_flight(self, clips: int) -> None:
        """Clips read and not yet written."""

    def index_size(self, modality: Modality, vectors: int) -> None:
        """Vectors in the index of a modality."""

    def active_generation(self, generation: str | None) -> None:
        """The model generation that answers questions; ``None`` until there is one."""

    def snapshot_failed(self) -> None:
        """A snapshot of the index could not be written; the next interval tries again."""

    def retrievable(self, freshness_s: float) -> None:
        """A clip became retrievable ``freshness_s`` seconds after its upload."""

    def reactions_capped(self, observations: int) -> None:
        """So many observations have more reactions than views; a reaction rate counts as many as views."""

    def backfilled(self) -> None:
        """A clip became retrievable that was scored more than a day after its upload, which no freshness counts."""

    def pool_decided(self, rule: str, tier: str | None, exposures: int) -> None:
        """A rule of the traffic pools put a clip into ``tier`` (``None``: none) and granted it ``exposures`` views."""

    def pool_leases_expired(self, leases: int) -> None:
        """``leases`` of budgets ended, as nothing was heard of their worker."""

    def pools_filled(self, tiers: Collection[TierFilling], unpublished: int) -> None:
        """The state of all traffic pools, and how many decisions are not on their topic yet."""

    def agreement_measured(self, agreements: Collection[Agreement]) -> None:
        """The agreement of predicted with observed order; replaces everything that was reported before."""

    def calibration_measured(self, calibrations: Collection[Calibration]) -> None:
        """The calibration of the predictions; replaces everything that was reported before."""

    def drift_measured(self, drift: Drift) -> None:
        """The drift of scores and embeddings; replaces everything that was reported before."""

    def model_measured(self, measured_at_ms: int) -> None:
        """Agreement, calibration and drift were all reported as of ``measured_at_ms``."""

    def model_not_measured(self) -> None:
        """The database failed; what was reported before stays."""

    def watch(self, process: str, state: Callable[[], ProcessState]) -> None:
        """``state`` says at any time, at once, whether ``process`` (a command) does its work."""

    def request_refused(self, reason: str) -> None:
        """A request was refused before it was answered; ``reason`` is the code of the answer."""

    def event_listeners(self, listeners: int) -> None:
        """So many listen to live events now."""

    def events_skipped(self, events: int) -> None:
        """A listener to live events was so slow that it skipped ``events`` of them."""

    def decisions_polled(self, outcome: str) -> None:
        """The database was asked for new decisions to announce; ``outcome`` is ``read`` or ``failed``."""
