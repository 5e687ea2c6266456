"""Every report to an observer, with the metric that it moves."""

from collections.abc import Callable

from exporters.prometheus import PrometheusObserver
from schemas.modalities import Dimension, Modality
from schemas.observation import Agreement, Calibration, Drift, Observer, StyleDrift, TierFilling
from schemas.ports import TopicPartition
from schemas.questions.readiness import ProcessState, Reason, WaitsFor

AT = TopicPartition("clips.uploaded", 3)

AGREEMENTS = [Agreement("ch-1", Dimension.FUSED, 0.5, 40), Agreement(None, Dimension.FUSED, 0.25, 70)]
CALIBRATIONS = [Calibration(Dimension.FUSED, -0.1, 0.2)]
DRIFT = Drift(
    {Dimension.SCENIC: 0.3},
    {Modality.FACIAL: 0.04},
    {Modality.FACIAL: 1.5},
    *(1000, 900),
    styles={"waltz": StyleDrift(0.5, 0.25, 0.17)},
)

WAITS = ProcessState(
    ready=False, reasons=[Reason(WaitsFor.DATABASE, "the database does not answer")], interrupted_s=42.0
)

Labels = dict[str, str]
REPORTS: list[tuple[str, Callable[[Observer], None], str, Labels, float]] = [
    ("consumed", lambda o: o.consumed("t", 5), "dancerank_records_consumed_total", {"topic": "t"}, 5),
    ("produced", lambda o: o.produced("t", 4), "dancerank_records_produced_total", {"topic": "t"}, 4),
    (
        "dead_lettered",
        lambda o: o.dead_lettered("t", "malformed_event"),
        "dancerank_records_dead_lettered_total",
        {"topic": "t", "reason": "malformed_event"},
        1,
    ),
    ("video_extracted", lambda o: o.video_extracted(300), "dancerank_video_frames_total", {}, 300),
    (
        "extraction_failed",
        lambda o: o.extraction_failed("video_length"),
        "dancerank_videos_failed_total",
        {"reason": "video_length"},
        1,
    ),
    (
        "extraction_timed",
        lambda o: o.extraction_timed("people", 2.5),
        "dancerank_extraction_duration_seconds_sum",
        {"part": "people"},
        2.5,
    ),
    (
        "stream_extracted",
        lambda o: o.stream_extracted(Modality.FACIAL, found=False),
        "dancerank_streams_extracted_total",
        {"modality": "facial", "found": "no"},
        1,
    ),
    ("joints_filled", lambda o: o.joints_filled(0.25), "dancerank_filled_joints_ratio_sum", {}, 0.25),
    (
        "training_distance",
        lambda o: o.training_distance(Modality.FACIAL, 1.5),
        "dancerank_training_distance_ratio_sum",
        {"modality": "facial"},
        1.5,
    ),
    ("guidance_failed", lambda o: o.guidance_failed(), "dancerank_guidance_failures_total", {}, 1),
    ("outside_training", lambda o: o.outside_training(), "dancerank_clips_outside_training_total", {}, 1),
    ("style_recognised", lambda o: o.style_recognised(None), "dancerank_styles_total", {"style": "unknown"}, 1),
    ("style_failed", lambda o: o.style_failed(), "dancerank_styles_failed_total", {}, 1),
    (
        "pool_decided",
        lambda o: o.pool_decided("nominated", "t", 100),
        "dancerank_pool_decisions_total",
        {"rule": "nominated", "tier": "t"},
        1,
    ),
    (
        "pool_decided",
        lambda o: o.pool_decided("expired", None, 0),
        "dancerank_pool_decisions_total",
        {"rule": "expired", "tier": ""},
        1,
    ),
    (
        "pool_decided",
        lambda o: o.pool_decided("nominated", "t", 100),
        "dancerank_pool_exposures_granted_total",
        {"tier": "t"},
        100,
    ),
    (
        "pools_filled",
        lambda o: o.pools_filled([TierFilling("trial", 7, 3, 400, 150, 1000)], 2),
        "dancerank_pool_clips",
        {"tier": "trial"},
        7,
    ),
    (
        "pools_filled",
        lambda o: o.pools_filled([TierFilling("trial", 7, 3, 400, 150, 1000)], 2),
        "dancerank_pool_waiting_clips",
        {"tier": "trial"},
        3,
    ),
    (
        "pools_filled",
        lambda o: o.pools_filled([TierFilling("trial", 7, 3, 400, 150, 1000)], 2),
        "dancerank_pool_window_used_views",
        {"tier": "trial"},
        400,
    ),
    (
        "pools_filled",
        lambda o: o.pools_filled([TierFilling("trial", 7, 3, 400, 150, 1000)], 2),
        "dancerank_pool_window_leased_views",
        {"tier": "trial"},
        150,
    ),
    ("pool_leases_expired", lambda o: o.pool_leases_expired(3), "dancerank_pool_leases_expired_total", {}, 3),
    (
        "pools_filled",
        lambda o: o.pools_filled([TierFilling("trial", 7, 3, 400, 150, 1000)], 2),
        "dancerank_pool_window_capacity_views",
        {"tier": "trial"},
        1000,
    ),
    (
        "pools_filled",
        lambda o: o.pools_filled([TierFilling("trial", 7, 3, 400, 150, 1000)], 2),
        "dancerank_pool_decisions_unpublished",
        {},
        2,
    ),
    (
        "skipped",
        lambda o: o.skipped("t", "other_generation"),
        "dancerank_records_skipped_total",
        {"topic": "t", "reason": "other_generation"},
        1,
    ),
    (
        "active_generation",
        lambda o: [o.active_generation(name) for name in (None, "g1", "g2")],
        "dancerank_generation_in_force_info",
        {"generation": "g2"},
        1,
    ),
    (
        "unknown_modality",
        lambda o: o.unknown_modality("audio"),
        "dancerank_unknown_modalities_total",
        {"modality": "audio"},
        1,
    ),
    ("interrupted", lambda o: o.interrupted("transport"), "dancerank_interruptions_total", {"reason": "transport"}, 1),
    ("event_listeners", lambda o: o.event_listeners(3), "dancerank_event_listeners", {}, 3),
    ("events_skipped", lambda o: o.events_skipped(40), "dancerank_events_skipped_total", {}, 40),
    (
        "decisions_polled",
        lambda o: o.decisions_polled("failed"),
        "dancerank_decision_polls_total",
        {"outcome": "failed"},
        1,
    ),
    (
        "request_refused",
        lambda o: o.request_refused("no_key"),
        "dancerank_requests_refused_total",
        {"reason": "no_key"},
        1,
    ),
    (
        "lag_unknown",
        lambda o: [o.lag_unknown(AT), o.lag(AT, 7, 1.5), o.lag(AT._replace(partition=4), 8, 1.5), o.lag_unknown(AT)],
        "dancerank_consumer_lag_records",
        {"topic": "clips.uploaded", "partition": "4"},
        8,
    ),
    (
        "lag",
        lambda o: o.lag(AT, 7, 1.5),
        "dancerank_consumer_lag_records",
        {"topic": "clips.uploaded", "partition": "3"},
        7,
    ),
    (
        "lag",
        lambda o: o.lag(AT, 7, 1.5),
        "dancerank_consumer_lag_seconds",
        {"topic": "clips.uploaded", "partition": "3"},
        1.5,
    ),
    (
        "lag_measured",
        lambda o: o.lag_measured(1_700_000_000_500),
        "dancerank_lag_measured_timestamp_seconds",
        {},
        1_700_000_000.5,
    ),
    ("batch_formed", lambda o: o.batch_formed(8, 750, 1000), "dancerank_batch_clips_sum", {}, 8),
    ("batch_formed", lambda o: o.batch_formed(8, 750, 1000), "dancerank_batch_frames_total", {}, 750),
    ("batch_formed", lambda o: o.batch_formed(8, 750, 1000), "dancerank_batch_padded_frames_total", {}, 1000),
    ("batch_formed", lambda o: o.batch_formed(8, 750, 1000), "dancerank_batch_padding_ratio_sum", {}, 0.25),
    (
        "stage_timed",
        lambda o: o.stage_timed("inference", 0.2, Modality.FACIAL),
        "dancerank_stage_duration_seconds_sum",
        {"stage": "inference", "modality": "facial"},
        0.2,
    ),
    (
        "stage_timed",
        lambda o: o.stage_timed("load", 0.1),
        "dancerank_stage_duration_seconds_count",
        {"stage": "load", "modality": "all"},
        1,
    ),
    (
        "provider_in_use",
        lambda o: o.provider_in_use(None, "CPUExecutionProvider"),
        "dancerank_execution_provider_info",
        {"modality": "all", "provider": "CPUExecutionProvider"},
        1,
    ),
    (
        "batch_size_chosen",
        lambda o: o.batch_size_chosen(Modality.SCENIC, 250, 8),
        "dancerank_stream_batch_clips",
        {"modality": "scenic", "steps": "250"},
        8,
    ),
    ("in_flight", lambda o: o.in_flight(12), "dancerank_clips_in_flight", {}, 12),
    (
        "index_size",
        lambda o: o.index_size(Modality.SCENIC, 9),
        "dancerank_index_vectors",
        {"modality": "scenic"},
        9,
    ),
    (
        "records_lost",
        lambda o: o.records_lost(TopicPartition("clips.uploaded", 2), 40),
        "dancerank_records_lost_total",
        {"topic": "clips.uploaded", "partition": "2"},
        40,
    ),
    ("snapshot_failed", lambda o: o.snapshot_failed(), "dancerank_snapshots_failed_total", {}, 1),
    ("reactions_capped", lambda o: o.reactions_capped(3), "dancerank_reactions_beyond_views_total", {}, 3),
    ("backfilled", lambda o: o.backfilled(), "dancerank_backfilled_clips_total", {}, 1),
    ("retrievable", lambda o: o.retrievable(3.0), "dancerank_freshness_seconds_sum", {}, 3),
    (
        "agreement_measured",
        lambda o: o.agreement_measured(AGREEMENTS),
        "dancerank_agreement_spearman",
        {"challenge": "ch-1", "dimension": "fused"},
        0.5,
    ),
    (
        "agreement_measured",
        lambda o: o.agreement_measured(AGREEMENTS),
        "dancerank_agreement_clips",
        {"challenge": "all challenges", "dimension": "fused"},
        70,
    ),
    (
        "calibration_measured",
        lambda o: o.calibration_measured(CALIBRATIONS),
        "dancerank_calibration_bias",
        {"dimension": "fused"},
        -0.1,
    ),
    (
        "calibration_measured",
        lambda o: o.calibration_measured(CALIBRATIONS),
        "dancerank_calibration_error",
        {"dimension": "fused"},
        0.2,
    ),
    ("drift_measured", lambda o: o.drift_measured(DRIFT), "dancerank_drift_score_psi", {"dimension": "scenic"}, 0.3),
    ("drift_measured", lambda o: o.drift_measured(DRIFT), "dancerank_drift_norm_psi", {"modality": "facial"}, 0.04),
    ("drift_measured", lambda o: o.drift_measured(DRIFT), "dancerank_drift_norm_ratio", {"modality": "facial"}, 1.5),
    ("drift_measured", lambda o: o.drift_measured(DRIFT), "dancerank_drift_clips", {"sample": "window"}, 900),
    ("drift_measured", lambda o: o.drift_measured(DRIFT), "dancerank_drift_style_psi", {"style": "waltz"}, 0.17),
    (
        "drift_measured",
        lambda o: o.drift_measured(DRIFT),
        "dancerank_drift_style_share",
        {"style": "waltz", "sample": "window"},
        0.25,
    ),
    (
        "model_measured",
        lambda o: o.model_measured(1_700_000_000_500),
        "dancerank_model_measured_timestamp_seconds",
        {},
        1_700_000_000.5,
    ),
    ("watch", lambda o: o.watch("rank", lambda: WAITS), "dancerank_ready", {"process": "rank"}, 0),
    (
        "watch",
        lambda o: o.watch("rank", lambda: WAITS),
        "dancerank_waiting",
        {"process": "rank", "reason": "database"},
        1,
    ),
    (
        "watch",
        lambda o: o.watch("rank", lambda: WAITS),
        "dancerank_waiting",
        {"process": "rank", "reason": "kafka"},
        0,
    ),
    ("watch", lambda o: o.watch("rank", lambda: WAITS), "dancerank_interrupted_seconds", {"process": "rank"}, 42),
    ("model_not_measured", lambda o: o.model_not_measured(), "dancerank_model_measurements_failed_total", {}, 1),
]


def observed() -> PrometheusObserver:
    """An observer that everything was reported to."""
    observer = PrometheusObserver()
    for _, report, *_ in REPORTS:
        report(observer)
    return observer
