"""Every metric as data: name, type, labels, unit, meaning, and the processes that move it.

``docs/metrics.md`` is generated from ``METRICS``. Labels are bounded: topics, partitions, modalities, stages,
providers, error codes, tiers; never a clip or dancer. Challenges are labels of the model's agreement alone, as many as
are reported at once.
"""

from typing import Final

from exporters.prometheus import style_definitions
from exporters.prometheus.kinds import CounterDefinition, Definition, GaugeDefinition, HistogramDefinition, Label
from schemas.questions.readiness import WaitsFor

ALL: Final = "all"
"""Label ``modality`` of a stage that works on the whole clip, and of the fusion's provider."""
ALL_CHALLENGES: Final = "all challenges"
"""Label ``challenge`` of the mean over all challenges. No challenge has this name: identifiers hold no space."""
NO_TIER: Final = ""
"""Label ``tier`` of a decision after which a clip is in no tier."""

_STREAM: Final = ("stream",)
_POOLS: Final = ("pools run",)
_SERVE: Final = ("serve",)
_WRITERS: Final = ("stream", "rank", "pools run")
_VIEWS: Final = ("rank", "pools run", "serve")
_EVERY: Final = ("stream", "rank", "pools run", "serve")

_TOPIC: Final = Label("topic", "the Kafka topic")
_PARTITION: Final = Label("partition", "its number")
_ERROR_CODE: Final = Label("reason", "a code of [errors](errors.md)")
_SKIP_REASON: Final = Label(
    "reason",
    "`tombstone`, `deleted_clip`, `other_generation`, `retired_generation`; in `pools run` also `unknown_clip` and "
    "`future_observation`; in `serve` also a code of [errors](errors.md)",
)
_REFUSAL: Final = Label("reason", "the code, such as `no_key`, `too_large` or `request_timeout`")
_PROCESS: Final = Label("process", "`stream`, `rank`, `pools run`, `serve`")
_WAITS_FOR: Final = Label("reason", ", ".join(f"`{each}`" for each in WaitsFor))
_STAGE: Final = Label(
    "stage",
    "`load`, `wait`, `inference`, `fusion`, `guidance`, `publish`, `total` (of `stream`), `apply` (of a view), "
    "`rankings` (of `pools run`: until they hold the clips), `query` (of `serve`)",
)
_MODALITY: Final = Label("modality", "the modality")
_MODALITY_OR_ALL: Final = Label("modality", f"the modality; `{ALL}` for the whole clip")
_PART: Final = Label("part", "`decoding` (waiting for frames), `people`, a modality, `total`")
_FOUND: Final = Label("found", "`yes`, `no`")
_OUTCOME: Final = Label("outcome", "`read`; `failed`: the database did not answer or refused")
_STEPS: Final = Label("steps", "length of the clips, in steps of 25 Hz")
_PROVIDER: Final = Label("provider", "ONNX Runtime's name of it")
_GENERATION: Final = Label("generation", "the generation's name")
_CHALLENGE: Final = Label("challenge", f"the challenge; `{ALL_CHALLENGES}` for the mean over them")
_DIMENSION: Final = Label("dimension", "a modality or `fused`")
_SAMPLE: Final = Label("sample", "`reference` (the generation's first clips), `window` (the latest)")
_RULE: Final = Label("rule", "the rule of the [pools](pools.md)")
_TIER: Final = Label("tier", "the tier's name in the policy")
_TIER_OR_NONE: Final = Label("tier", "the tier's name in the policy; empty for none")

CONSUMED: Final = CounterDefinition("dancerank_records_consumed_total", "Records read.", "records", _EVERY, (_TOPIC,))
PRODUCED: Final = CounterDefinition(
    "dancerank_records_produced_total", "Records written and acknowledged.", "records", _WRITERS, (_TOPIC,)
)
DEAD_LETTERED: Final = CounterDefinition(
    "dancerank_records_dead_lettered_total",
    "Records put on a dead-letter topic, by the topic they came from and the error code.",
    "records",
    _WRITERS,
    (_TOPIC, _ERROR_CODE),
)
SKIPPED: Final = CounterDefinition(
    "dancerank_records_skipped_total",
    "Records that a view skipped, by reason.",
    "records",
    _VIEWS,
    (_TOPIC, _SKIP_REASON),
)
UNKNOWN_MODALITIES: Final = CounterDefinition(
    "dancerank_unknown_modalities_total",
    "Results and tensors of a modality that this release does not know, which were ignored.",
    "results",
    _EVERY,
    (Label("modality", "its name; `other` after a hundred names"),),
)
RECORDS_LOST: Final = CounterDefinition(
    "dancerank_records_lost_total",
    "Records that retention or an operator dropped before they were read, at most.",
    "records",
    _EVERY,
    (_TOPIC, _PARTITION),
)
INTERRUPTED: Final = CounterDefinition(
    "dancerank_interruptions_total",
    "Times that a loop reconnected and continued from what was committed, by the error code.",
    "reconnects",
    _EVERY,
    (_ERROR_CODE,),
)
LAG_RECORDS: Final = GaugeDefinition(
    "dancerank_consumer_lag_records",
    "Records between the position that is committed or applied and the end that the broker gives, of what this process "
    "holds and what no live member of its group holds, and of all partitions before it is a member and while its "
    "group rebalances; absent where it is unknown.",
    "records",
    _EVERY,
    (_TOPIC, _PARTITION),
)
LAG_S: Final = GaugeDefinition(
    "dancerank_consumer_lag_seconds",
    "Age of the last record read while there are more to read; 0 at the end of the partition.",
    "seconds",
    _EVERY,
    (_TOPIC, _PARTITION),
)
LAG_MEASURED_AT_S: Final = GaugeDefinition(
    "dancerank_lag_measured_timestamp_seconds",
    "When this process last measured the lag of all its partitions; 0 before the first time.",
    "seconds since 1970, UTC",
    _EVERY,
)
READY: Final = GaugeDefinition(
    "dancerank_ready", "1 if `/readyz` says that the process is ready, else 0.", "1", _EVERY, (_PROCESS,)
)
WAITING: Final = GaugeDefinition(
    "dancerank_waiting",
    "1 for what the process waits for now; in `serve` it may be ready all the same.",
    "1",
    _EVERY,
    (_PROCESS, _WAITS_FOR),
)
INTERRUPTED_S: Final = GaugeDefinition(
    "dancerank_interrupted_seconds",
    "For how long a loop has been interrupted without a success since; 0 while it works.",
    "seconds",
    _EVERY,
    (_PROCESS,),
)
BATCH_CLIPS: Final = HistogramDefinition(
    "dancerank_batch_clips", "Clips per batch.", "clips", _STREAM, buckets=(1, 2, 4, 8, 16, 32, 64, 128, 256)
)
FRAMES: Final = CounterDefinition(
    "dancerank_batch_frames_total", "Time steps of clips in batches.", "time steps", _STREAM
)
PADDED_FRAMES: Final = CounterDefinition(
    "dancerank_batch_padded_frames_total",
    "Time steps computed in batches, padding included.",
    "time steps",
    _STREAM,
)
PADDING: Final = HistogramDefinition(
    "dancerank_batch_padding_ratio",
    "Share of a batch's time steps that is padding.",
    "0 to 1",
    _STREAM,
    buckets=(0.0, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8),
)
VIDEO_FRAMES: Final = CounterDefinition(
    "dancerank_video_frames_total", "Frames at 25 Hz of videos whose streams were extracted.", "frames", _STREAM
)
VIDEOS_FAILED: Final = CounterDefinition(
    "dancerank_videos_failed_total",
    "Videos that no features could be extracted from.",
    "videos",
    _STREAM,
    (_ERROR_CODE,),
)
EXTRACTION_S: Final = HistogramDefinition(
    "dancerank_extraction_duration_seconds",
    "Time that each part of an extraction took, for one video.",
    "seconds",
    _STREAM,
    (_PART,),
    buckets=(0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 25.0, 50.0, 100.0, 250.0),
)
STREAMS_EXTRACTED: Final = CounterDefinition(
    "dancerank_streams_extracted_total",
    "Videos searched for the stream of a modality, by whether they have it.",
    "videos",
    _STREAM,
    (_MODALITY, _FOUND),
)
FILLED_JOINTS: Final = HistogramDefinition(
    "dancerank_filled_joints_ratio",
    "Share of a pose's joint positions that were undetected and have been interpolated.",
    "0 to 1",
    _STREAM,
    buckets=(0.0, 0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5),
)
TRAINING_DISTANCE: Final = HistogramDefinition(
    "dancerank_training_distance_ratio",
    "Distance of a clip's features from those that the bundle was trained on, over the limit that it states.",
    "ratio; above 1 is outside",
    _STREAM,
    (_MODALITY,),
    buckets=(0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 5.0, 10.0, 100.0),
)
OUTSIDE_TRAINING: Final = CounterDefinition(
    "dancerank_clips_outside_training_total",
    "Clips scored although they lie outside what the bundle was trained on; they are in no ranking.",
    "clips",
    _STREAM,
)
GUIDANCE_FAILURES: Final = CounterDefinition(
    "dancerank_guidance_failures_total",
    "Clips scored without the guidance that was to be computed; those that have it are counted by their stage.",
    "clips",
    _STREAM,
)
STAGE_S: Final = HistogramDefinition(
    "dancerank_stage_duration_seconds",
    "Duration of a stage of the work, by modality where it works on one.",
    "seconds",
    _EVERY,
    (_STAGE, _MODALITY_OR_ALL),
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0),
)
PROVIDER: Final = GaugeDefinition(
    "dancerank_execution_provider_info",
    "1 for the ONNX Runtime execution provider that runs each modality's network.",
    "1",
    _STREAM,
    (_MODALITY_OR_ALL, _PROVIDER),
)
STREAM_BATCH_CLIPS: Final = GaugeDefinition(
    "dancerank_stream_batch_clips",
    "Most clips in one run of a stream, as measured at the start or set, by the length of the clips.",
    "clips",
    _STREAM,
    (_MODALITY, _STEPS),
)
IN_FLIGHT: Final = GaugeDefinition("dancerank_clips_in_flight", "Clips read and not yet written.", "clips", _STREAM)
INDEX_VECTORS: Final = GaugeDefinition(
    "dancerank_index_vectors", "Vectors in the similarity index.", "vectors", _SERVE, (_MODALITY,)
)
ACTIVE_GENERATION: Final = GaugeDefinition(
    "dancerank_generation_in_force_info", "1 for the active model generation.", "1", _SERVE, (_GENERATION,)
)
FRESHNESS_S: Final = HistogramDefinition(
    "dancerank_freshness_seconds",
    "From a clip's upload until it can be retrieved. Clips scored more than a day after their upload are not counted.",
    "seconds",
    _SERVE,
    buckets=(0.25, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0),
)
REACTIONS_CAPPED: Final = CounterDefinition(
    "dancerank_reactions_beyond_views_total",
    "Observations with more reactions than views; a reaction rate counts as many reactions as views.",
    "observations",
    _POOLS,
)
BACKFILLED: Final = CounterDefinition(
    "dancerank_backfilled_clips_total",
    "Clips that became retrievable and were scored more than a day after their upload.",
    "clips",
    _SERVE,
)
SNAPSHOTS_FAILED: Final = CounterDefinition(
    "dancerank_snapshots_failed_total", "Snapshots of the index that could not be written.", "snapshots", _SERVE
)
REQUESTS_REFUSED: Final = CounterDefinition(
    "dancerank_requests_refused_total", "Requests refused.", "requests", _EVERY, (_REFUSAL,)
)
EVENT_LISTENERS: Final = GaugeDefinition(
    "dancerank_event_listeners", "Clients that listen to live events.", "clients", _SERVE
)
EVENTS_SKIPPED: Final = CounterDefinition(
    "dancerank_events_skipped_total",
    "Live events that clients were too slow to take, counted once for each client.",
    "events",
    _SERVE,
)
DECISION_POLLS: Final = CounterDefinition(
    "dancerank_decision_polls_total",
    "Questions to the database for new decisions of the traffic pools, which live events announce: one each second "
    "while anybody listens.",
    "questions",
    _SERVE,
    (_OUTCOME,),
)

POOL_DECISIONS: Final = CounterDefinition(
    "dancerank_pool_decisions_total",
    "Decisions of the traffic pools, by the rule and the tier afterwards.",
    "decisions",
    _POOLS,
    (_RULE, _TIER_OR_NONE),
)
POOL_EXPOSURES: Final = CounterDefinition(
    "dancerank_pool_exposures_granted_total", "Views granted, by tier.", "views", _POOLS, (_TIER_OR_NONE,)
)
POOL_CLIPS: Final = GaugeDefinition("dancerank_pool_clips", "Clips in a tier.", "clips", _POOLS, (_TIER,))
POOL_WAITING: Final = GaugeDefinition(
    "dancerank_pool_waiting_clips", "Clips that wait to enter a tier.", "clips", _POOLS, (_TIER,)
)
POOL_USED: Final = GaugeDefinition(
    "dancerank_pool_window_used_views", "Views granted in the current window.", "views", _POOLS, (_TIER,)
)
POOL_LEASED: Final = GaugeDefinition(
    "dancerank_pool_window_leased_views",
    "Views of the current window that workers have leased and not granted.",
    "views",
    _POOLS,
    (_TIER,),
)
POOL_LEASES_EXPIRED: Final = CounterDefinition(
    "dancerank_pool_leases_expired_total",
    "Leases that a worker ended as nothing was heard of theirs for pools.lease_s.",
    "leases",
    _POOLS,
)
POOL_CAPACITY: Final = GaugeDefinition(
    "dancerank_pool_window_capacity_views", "Most views that may be granted in a window.", "views", _POOLS, (_TIER,)
)
POOL_UNPUBLISHED: Final = GaugeDefinition(
    "dancerank_pool_decisions_unpublished", "Decisions that are not on their topic yet.", "decisions", _POOLS
)

AGREEMENT: Final = GaugeDefinition(
    "dancerank_agreement_spearman",
    "Spearman's correlation of scores with observed virality, by challenge.",
    "-1 to 1",
    _POOLS,
    (_CHALLENGE, _DIMENSION),
)
AGREEMENT_CLIPS: Final = GaugeDefinition(
    "dancerank_agreement_clips",
    "Clips that the correlation was computed from.",
    "clips",
    _POOLS,
    (_CHALLENGE, _DIMENSION),
)
CALIBRATION_BIAS: Final = GaugeDefinition(
    "dancerank_calibration_bias",
    "Mean of the scores minus the observed virality of Eq. (2).",
    "virality",
    _POOLS,
    (_DIMENSION,),
)
CALIBRATION_ERROR: Final = GaugeDefinition(
    "dancerank_calibration_error",
    "Expected calibration error of the scores against the observed virality of Eq. (2), over deciles.",
    "virality",
    _POOLS,
    (_DIMENSION,),
)
SCORE_PSI: Final = GaugeDefinition(
    "dancerank_drift_score_psi",
    "Population stability index of the latest scores against the generation's first.",
    "0 or more",
    _POOLS,
    (_DIMENSION,),
)
NORM_PSI: Final = GaugeDefinition(
    "dancerank_drift_norm_psi",
    "Population stability index of the latest embeddings' norms against the generation's first.",
    "0 or more",
    _POOLS,
    (_MODALITY,),
)
NORM_RATIO: Final = GaugeDefinition(
    "dancerank_drift_norm_ratio",
    "Mean norm of the latest embeddings over that of the generation's first.",
    "ratio",
    _POOLS,
    (_MODALITY,),
)
DRIFT_CLIPS: Final = GaugeDefinition(
    "dancerank_drift_clips", "Clips in the samples that drift is computed from.", "clips", _POOLS, (_SAMPLE,)
)
MEASURED_AT_S: Final = GaugeDefinition(
    "dancerank_model_measured_timestamp_seconds",
    "When this process last measured the model; 0 before the first time.",
    "seconds since 1970, UTC",
    _POOLS,
)
MEASUREMENTS_FAILED: Final = CounterDefinition(
    "dancerank_model_measurements_failed_total",
    "Measurements of the model that failed because the database did.",
    "measurements",
    _POOLS,
)

METRICS: Final = tuple(
    each for each in (*tuple(globals().values()), *style_definitions.METRICS) if isinstance(each, Definition)
)
