"""Tables of the database: rankings, model generations, traffic pools, what was observed of clips. Those of monitoring
are in ``monitoring_tables``.

``log_partition`` and ``log_offset`` say which record of the log a row comes from. The greater (``uploaded_at_ms``,
``log_partition``, ``log_offset``) wins, so that late duplicates and replays leave the same rows in whichever order they
are applied; the upload's time comes first because a clip that moves to another challenge moves to another partition.
"""

from typing import Final

import sqlalchemy as sa

IDENTIFIER_LENGTH: Final = 128

# PostgreSQL would sort by the database's locale; ties have to be listed in the same order everywhere: by code point.
_identifier: Final = sa.String(IDENTIFIER_LENGTH).with_variant(
    sa.String(IDENTIFIER_LENGTH, collation="C"), "postgresql"
)
_style: Final = sa.String(64).with_variant(sa.String(64, collation="C"), "postgresql")
_place: Final = sa.String(193).with_variant(sa.String(193, collation="C"), "postgresql")
_slug: Final = sa.String(32)
_names: Final = sa.String(64).with_variant(sa.Text, "postgresql")  # SQLite keeps to no length

metadata: Final = sa.MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "fk": "fk_%(table_name)s_%(referred_table_name)s",
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    }
)


def _counted_in() -> sa.Column[str]:
    comment = "the challenge; with a slash and a style: its clips of that style"
    return sa.Column("challenge_id", _place, primary_key=True, comment=comment)


clips: Final = sa.Table(
    "clips",
    metadata,
    sa.Column("clip_id", _identifier, primary_key=True),
    sa.Column("dancer_id", _identifier, nullable=False),
    sa.Column("challenge_id", _identifier, nullable=False),
    sa.Column("uploaded_at_ms", sa.BigInteger, nullable=False),
    sa.Column("duration_s", sa.Double, nullable=False),
    sa.Column("log_partition", sa.Integer, nullable=False),
    sa.Column("log_offset", sa.BigInteger, nullable=False),
)

scored_clips: Final = sa.Table(
    "scored_clips",
    metadata,
    sa.Column("generation", _identifier, primary_key=True),
    sa.Column("clip_id", _identifier, primary_key=True),
    sa.Column("challenge_id", _identifier, nullable=False),
    sa.Column("uploaded_at_ms", sa.BigInteger, nullable=False),
    sa.Column("scored_at_ms", sa.BigInteger, nullable=False),
    sa.Column("missing", _names, nullable=False, comment="modalities, separated by commas"),
    sa.Column(
        "training_distance",
        sa.Double,
        nullable=True,
        comment="over the limit of its bundle; null where that states none",
    ),
    sa.Column("log_partition", sa.Integer, nullable=False),
    sa.Column("log_offset", sa.BigInteger, nullable=False),
    sa.Column("source_kind", _slug, nullable=True, comment="file or video; null where its features were not kept"),
    sa.Column("source_uri", sa.Text, nullable=True, comment="where its features, or its video, can be read again"),
    sa.Column("source_sha256", sa.String(64), nullable=True, comment="of that file, if the upload stated it"),
    sa.Column("style", _style, nullable=True, comment="unknown: none of the classifier's; null: not judged"),
    sa.Column("style_probability", sa.Double, nullable=True, comment="of the most probable style, calibrated"),
)
"""Of a clip under all generations: ``ranking.scores.held.scored_generations``."""

scores: Final = sa.Table(
    "scores",
    metadata,
    sa.Column("generation", _identifier, primary_key=True),
    sa.Column("clip_id", _identifier, primary_key=True),
    sa.Column("dimension", _slug, primary_key=True),
    sa.Column("challenge_id", _identifier, nullable=False),
    sa.Column("score", sa.Double, nullable=False),
    sa.Column("attention", sa.Double, nullable=True, comment="Eq. (12); null for the fused score"),
    sa.Column("style", _style, nullable=True, comment="that of the clip"),
    # Either end of a ranking and the neighbours of a score are ranges of an index; places come from ranking_runs.
    sa.Index("ix_scores_ranking", "generation", "challenge_id", "dimension", "score", "clip_id"),
    sa.Index(
        "ix_scores_ranking_of_style",
        *("generation", "challenge_id", "style", "dimension", "score", "clip_id"),
        postgresql_where=sa.text("style IS NOT NULL"),
        sqlite_where=sa.text("style IS NOT NULL"),
    ),
)
"""Who writes or deletes rows writes what changed to ``ranking_runs`` in the same transaction."""

unranked_scores: Final = sa.Table(
    "unranked_scores",
    metadata,
    sa.Column("generation", _identifier, primary_key=True),
    sa.Column("clip_id", _identifier, primary_key=True),
    sa.Column("dimension", _slug, primary_key=True),
    sa.Column("score", sa.Double, nullable=False),
    sa.Column("attention", sa.Double, nullable=True, comment="Eq. (12); null for the fused score"),
)
"""Scores of clips outside the training distribution of their bundle, in the place of ``scores``: in no ranking."""

guided_clips: Final = sa.Table(
    "guided_clips",
    metadata,
    sa.Column("generation", _identifier, primary_key=True),
    sa.Column("clip_id", _identifier, primary_key=True),
    sa.Column("joint_layout", _identifier, nullable=False),
    sa.Column("rate_hz", sa.Double, nullable=False),
    sa.Column("frames", sa.BigInteger, nullable=False),
    sa.Column("scale", sa.Double, nullable=False, comment="of the magnitudes, in score per mean absolute deviation"),
    sa.Column("magnitudes", sa.LargeBinary, nullable=False, comment="(bins, joints) float16, from 0 to 1"),
)
"""How strongly each joint moves a clip's score. Who writes or deletes rows writes what changed to ``joint_sums`` in the
same transaction.
"""

attended_clips: Final = sa.Table(
    "attended_clips",
    metadata,
    sa.Column("generation", _identifier, primary_key=True),
    sa.Column("clip_id", _identifier, primary_key=True),
    sa.Column("modality", _slug, nullable=False, comment="whose attention it is"),
    sa.Column("rate_hz", sa.Double, nullable=False, comment="steps per second"),
    sa.Column("parts", sa.LargeBinary, nullable=False, comment="names of the attentions, as MessagePack"),
    sa.Column("weights", sa.LargeBinary, nullable=False, comment="(parts, steps) float16, from 0 to 1"),
)
"""How much each moment of a routine counts in its score, also of one outside the training distribution."""

joint_sums: Final = sa.Table(
    "joint_sums",
    metadata,
    sa.Column("generation", _identifier, primary_key=True),
    _counted_in(),
    sa.Column("joint_layout", _identifier, primary_key=True),
    sa.Column("clips", sa.BigInteger, nullable=False),
    sa.Column("overall", sa.LargeBinary, nullable=False, comment="by joint, in units of 2^-52: Eq. (9) times clips"),
    sa.Column("temporal", sa.LargeBinary, nullable=False, comment="by bin and joint, likewise: Eq. (8)"),
)
"""Sums over the ``guided_clips`` of each challenge."""

ranking_runs: Final = sa.Table(
    "ranking_runs",
    metadata,
    sa.Column("generation", _identifier, primary_key=True),
    _counted_in(),
    sa.Column("minutes", sa.Integer, primary_key=True, comment="length of its period; 0: all time"),
    sa.Column("start", sa.Integer, primary_key=True, comment="of its period, in minutes since 1970; 0: all time"),
    sa.Column("run", sa.BigInteger, primary_key=True, autoincrement=False, comment="random"),
    sa.Column("entries", sa.BigInteger, nullable=False, comment="clips added or removed"),
    sa.Column("level", sa.Integer, nullable=False, comment="runs of one level are merged"),
    sa.Column("totals", sa.LargeBinary, nullable=False, comment="clips and attention by dimension: MessagePack"),
    sa.Column("content", sa.LargeBinary, nullable=True, comment="the entries; null if they are in ranking_parts"),
)
"""Clips of a challenge that were added and removed, as scores in order: what ranks are counted from."""

ranking_parts: Final = sa.Table(
    "ranking_parts",
    metadata,
    sa.Column("run", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("dimension", _slug, primary_key=True),
    sa.Column("first_score", sa.Double, primary_key=True),
    sa.Column("content", sa.LargeBinary, nullable=False, comment="clips before it; scores, and clips up to each"),
)
"""The scores of a long run by one dimension, in parts of equal length."""

score_sketches: Final = sa.Table(
    "score_sketches",
    metadata,
    sa.Column("generation", _identifier, primary_key=True),
    sa.Column("dimension", _slug, primary_key=True),
    sa.Column("sketch", sa.BigInteger, primary_key=True, autoincrement=False, comment="random"),
    sa.Column("scores", sa.BigInteger, nullable=False),
    sa.Column("content", sa.LargeBinary, nullable=False, comment="a KLL sketch of Apache DataSketches"),
)
"""Of all scores that were ever written, in any challenge; the sketches of a generation and dimension are merged."""

deleted_clips: Final = sa.Table(
    "deleted_clips",
    metadata,
    sa.Column("clip_id", _identifier, primary_key=True),
    sa.Column("deleted_at_ms", sa.BigInteger, nullable=False, comment="when it was last asked for"),
)
"""The deletion of a clip, kept permanently: a late upload must not restore the clip."""

generation_choices: Final = sa.Table(
    "generation_choices",
    metadata,
    sa.Column("number", sa.BigInteger, primary_key=True, autoincrement=False, comment="the last one is in force"),
    sa.Column("generation", _identifier, nullable=False),
    sa.Column("chosen_at_ms", sa.BigInteger, nullable=False),
)

retired_generations: Final = sa.Table(
    "retired_generations",
    metadata,
    sa.Column("generation", _identifier, primary_key=True),
    sa.Column("retired_at_ms", sa.BigInteger, nullable=False),
)

replicas: Final = sa.Table(
    "replicas",
    metadata,
    sa.Column("replica", sa.String(256), primary_key=True),
    sa.Column("generation", _identifier, primary_key=True),
    sa.Column("clips", sa.BigInteger, nullable=False),
    sa.Column("caught_up", sa.Boolean, nullable=False),
    sa.Column("seen_at_ms", sa.BigInteger, nullable=False),
)
"""The generations in the indexes of each serving process, as last reported; ``-`` stands for none."""

applied_offsets: Final = sa.Table(
    "applied_offsets",
    metadata,
    sa.Column("view", _identifier, primary_key=True),
    sa.Column("topic", sa.String(249), primary_key=True),
    sa.Column("partition", sa.Integer, primary_key=True),
    sa.Column("next_offset", sa.BigInteger, nullable=False),
)

pool_clips: Final = sa.Table(
    "pool_clips",
    metadata,
    sa.Column("clip_id", _identifier, primary_key=True),
    sa.Column("dancer_id", _identifier, nullable=False, comment="empty once deleted"),
    sa.Column("challenge_id", _identifier, nullable=False),
    sa.Column("rated_at_ms", sa.BigInteger, nullable=False),
    sa.Column("tenth", sa.Integer, nullable=False, comment="of its challenge's fused percentiles; -1: unknown"),
    sa.Column("standing", sa.Double, nullable=False),
    sa.Column("nominated_by", _slug, nullable=True),
    sa.Column("percentile", sa.Double, nullable=True),
    sa.Column("tier", _identifier, nullable=True),
    sa.Column("wants", _identifier, nullable=True),
    sa.Column("entered_at_ms", sa.BigInteger, nullable=False),
    sa.Column("granted", sa.BigInteger, nullable=False),
    sa.Column("reactions", sa.BigInteger, nullable=False),
    sa.Column("observed_at_ms", sa.BigInteger, nullable=False),
    sa.Column("views", sa.BigInteger, nullable=True),
    sa.Column("views_observed_at_ms", sa.BigInteger, nullable=False),
    sa.Column("gone", sa.Boolean, nullable=False),
    sa.Column("deleted", sa.Boolean, nullable=False),
    sa.Column("decisions", sa.BigInteger, nullable=False),
    sa.Column("leaves_at_ms", sa.BigInteger, nullable=True, comment="null: has left for good"),
    # A round asks for those whose time is over, those that wait, and those that are in no tier; occupancy by tier.
    sa.Index(None, "leaves_at_ms"),
    sa.Index(None, "wants"),
    sa.Index("ix_pool_clips_tier", "gone", "tier"),
)

pool_budgets: Final = sa.Table(
    "pool_budgets",
    metadata,
    sa.Column("tier", _identifier, primary_key=True),
    sa.Column("window_start_ms", sa.BigInteger, primary_key=True),
    sa.Column("scope", _slug, primary_key=True),
    sa.Column("holder", _identifier, primary_key=True, comment="a dancer or a challenge; empty for others"),
    sa.Column("used", sa.BigInteger, nullable=False, comment="views granted; of tiers and lanes those of no lease"),
    sa.Index(None, "holder", "window_start_ms"),
)

pool_workers: Final = sa.Table(
    "pool_workers",
    metadata,
    sa.Column("worker", _identifier, primary_key=True, comment="empty for those before leases"),
    sa.Column("expires_at_ms", sa.BigInteger, nullable=True, comment="null: has left, and holds no lease"),
    sa.Column("batches", sa.BigInteger, nullable=False, comment="with events, so far"),
    sa.Column("decisions", sa.BigInteger, nullable=False, comment="so far"),
)

pool_leases: Final = sa.Table(
    "pool_leases",
    metadata,
    sa.Column("tier", _identifier, primary_key=True),
    sa.Column("window_start_ms", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("lane", _slug, primary_key=True),
    sa.Column("worker", _identifier, primary_key=True),
    sa.Column("leased", sa.BigInteger, nullable=False, comment="views that it alone may grant"),
    sa.Column("used", sa.BigInteger, nullable=False, comment="of these, granted"),
)

pool_kinds: Final = sa.Table(
    "pool_kinds",
    metadata,
    sa.Column("challenge_id", _identifier, primary_key=True),
    sa.Column("tenth", sa.Integer, primary_key=True),
    sa.Column("reactions", sa.BigInteger, nullable=False),
    sa.Column("views", sa.BigInteger, nullable=False),
)

pool_decisions: Final = sa.Table(
    "pool_decisions",
    metadata,
    sa.Column("clip_id", _identifier, primary_key=True),
    sa.Column("number", sa.BigInteger, primary_key=True),
    sa.Column("sequence", sa.BigInteger, nullable=False, comment="rises with each decision about a clip"),
    sa.Column("decided_at_ms", sa.BigInteger, nullable=False),
    sa.Column("content", sa.LargeBinary, nullable=False, comment="pool-decision/1 as MessagePack"),
    sa.Index(None, "sequence", unique=True),
)

pool_outbox: Final = sa.Table(
    "pool_outbox",
    metadata,
    sa.Column("sequence", sa.BigInteger, primary_key=True, autoincrement=False, comment="of a decision to publish"),
)

pool_policies: Final = sa.Table(
    "pool_policies",
    metadata,
    sa.Column("adoption", sa.BigInteger, primary_key=True, autoincrement=False, comment="the greatest is in force"),
    sa.Column("version", _identifier, nullable=False),
    sa.Column("content", sa.LargeBinary, nullable=False, comment="the policy as MessagePack"),
    sa.Column("adopted_at_ms", sa.BigInteger, nullable=False),
)

pool_journal: Final = sa.Table(
    "pool_journal",
    metadata,
    sa.Column("batch", sa.BigInteger, primary_key=True, autoincrement=False, comment="rises with each about a clip"),
    sa.Column("adoption", sa.BigInteger, nullable=False),
    sa.Column("content", sa.LargeBinary, nullable=False, comment="events as MessagePack, in the order handled"),
    sa.Column("worker", _identifier, nullable=True),
    sa.Column("number", sa.BigInteger, nullable=True, comment="of the worker's batches, from 1 without gaps"),
)

pool_snapshots: Final = sa.Table(
    "pool_snapshots",
    metadata,
    sa.Column("batch", sa.BigInteger, primary_key=True, autoincrement=False, comment="the last one that it covers"),
    sa.Column("sequence", sa.BigInteger, nullable=False, comment="of the last decision that it covers"),
    sa.Column("taken_at_ms", sa.BigInteger, nullable=False),
    sa.Column("clips", sa.BigInteger, nullable=False),
    sa.Column("content", sa.LargeBinary, nullable=False, comment="policy, budgets and workers' batches as MessagePack"),
)

pool_snapshot_parts: Final = sa.Table(
    "pool_snapshot_parts",
    metadata,
    sa.Column("batch", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("part", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("content", sa.LargeBinary, nullable=False, comment="clips as MessagePack, dancers by pseudonym"),
)

BATCHES: Final = sa.Sequence("pool_batches", metadata=metadata)
"""Of PostgreSQL; on SQLite, where writers take turns, ``pool_counters`` has the last numbers of both."""
DECISIONS: Final = sa.Sequence("pool_decisions_made", metadata=metadata)

pool_counters: Final = sa.Table(
    "pool_counters",
    metadata,
    sa.Column("name", _slug, primary_key=True),
    sa.Column("value", sa.BigInteger, nullable=False),
)

engagement: Final = sa.Table(
    "engagement",
    metadata,
    sa.Column("clip_id", _identifier, primary_key=True),
    sa.Column("challenge_id", _identifier, nullable=False),
    sa.Column("observed_at_ms", sa.BigInteger, nullable=False),
    sa.Column("likes", sa.BigInteger, nullable=False),
    sa.Column("comments", sa.BigInteger, nullable=False),
    sa.Column("reposts", sa.BigInteger, nullable=False),
    sa.Column("views", sa.BigInteger, nullable=True),
    sa.Column("views_observed_at_ms", sa.BigInteger, nullable=False),
    sa.Column("days_online", sa.Double, nullable=False, comment="when the reactions were counted"),
    sa.Column("virality", sa.Double, nullable=False, comment="Eq. (1)"),
    # The bounds of Eq. (2) are the two ends of a challenge's range.
    sa.Index(None, "challenge_id", "virality"),
    sa.Index(None, "challenge_id", "observed_at_ms"),
)

engagement_aside: Final = sa.Table(
    "engagement_aside",
    metadata,
    sa.Column("clip_id", _identifier, primary_key=True),
    sa.Column("observed_at_ms", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("reason", _slug, nullable=False),
    sa.Column("content", sa.LargeBinary, nullable=False, comment="engagement-observed/1 as MessagePack"),
    sa.Index(None, "reason", "observed_at_ms"),
)
