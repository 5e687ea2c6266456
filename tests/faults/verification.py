"""Whether anything was lost, or done twice: the log, the database and a snapshot against the uploads and each other."""

from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import numpy as np
import sqlalchemy as sa

from dancerank.processes import Processes
from dancerank.settings import Settings
from ranking.database.connection import Database
from ranking.database.tables import attended_clips, clips, guided_clips, scored_clips, scores
from ranking.scores.moments import attended
from ranking.scores.tips.audit import sums_differences
from ranking.vectors.backends.faiss_live import FaissBackend
from ranking.vectors.backends.live.index import LiveIndex
from ranking.vectors.view import IndexView
from ranking.views.clip_styles import clip_style
from schemas.clock import SystemClock
from schemas.errors import InferenceFailed
from schemas.events import (
    ClipScored,
    ClipScoredV3,
    ClipUploaded,
    FeatureSource,
    embedding_array,
    outside_training,
    temporal_attention,
    training_distance,
)
from schemas.modalities import Modality
from schemas.observation import Observer
from schemas.ports import Float64
from streamer.assembly import open_scorer
from streamer.guiding import is_chosen
from streamer.loading import FeatureLoader
from streamer.roots import FeatureRoots
from streamer.stores import FeatureStore
from tests.integration.scored_log import read_log
from transport.connection import KafkaConnection


class Verdict(NamedTuple):
    """What was found. All but ``clips`` have to be 0."""

    clips: int
    lost: int
    duplicated: int
    results_wrong: int
    rows_wrong: int
    vectors_wrong: int

    @property
    def is_right(self) -> bool:
        return not any(self[1:])


def verify(
    sent: Sequence[ClipUploaded], settings: Settings, connection: KafkaConnection, snapshot: Path | None
) -> Verdict:
    """Compare the uploads with the log, as committed; the log with what each clip gives alone, with every row, and with
    every vector of ``snapshot``.
    """
    log = read_log(settings, connection)
    counts = Counter(clip.clip_id for clip in log)
    wanted = {upload.clip_id for upload in sent}
    return Verdict(
        clips=len(log),
        lost=len(wanted - counts.keys()),
        duplicated=sum(counts.values()) - len(counts) + len(counts.keys() - wanted),
        results_wrong=wrong_results(log, sent, settings),
        rows_wrong=_wrong_rows(log, settings),
        vectors_wrong=_wrong_vectors(log, snapshot) if snapshot is not None else 0,
    )


def wrong_results(log: Sequence[ClipScored], sent: Sequence[ClipUploaded], settings: Settings) -> int:
    """Clips of the log whose scores, style or attention over time are not those of their features, scored alone and
    undisturbed by the bundle of ``settings``.
    """
    alone = undisturbed(sent, settings)
    return sum(not _is_alike(clip, alone[source]) for clip in log if (source := _source_of(clip)) in alone)


def undisturbed(sent: Sequence[ClipUploaded], settings: Settings) -> dict[FeatureSource, ClipScored | InferenceFailed]:
    """What the bundle makes of the features of these uploads, one clip after the other in this process."""
    streaming, bundle = settings.streamer, Processes(settings).bundle
    limit = streaming.max_feature_bytes
    roots = FeatureRoots(streaming.feature_roots)
    store = FeatureStore(roots, max_bytes=limit, patience_s=streaming.store_patience_s, options={})
    loader, scorer = FeatureLoader(store, bundle.manifest, max_bytes=limit), open_scorer(bundle, streaming)
    distinct = {upload.features: upload for upload in sent}
    return {source: scorer.score([(upload, loader.load(upload))])[0] for source, upload in distinct.items()}


def _source_of(clip: ClipScored) -> FeatureSource | None:
    return clip.features if isinstance(clip, ClipScoredV3) else None


def _is_alike(clip: ClipScored, other: ClipScored | InferenceFailed) -> bool:
    """But for what batches and rounding to float16 do."""
    if isinstance(other, InferenceFailed) or clip.scores().keys() != other.scores().keys():
        return False
    (style, probability), (other_style, other_probability) = clip_style(clip), clip_style(other)
    attended, other_attended = temporal_attention(clip), temporal_attention(other)
    if style != other_style or (attended is None) != (other_attended is None):
        return False
    pairs = [(score, other.scores()[dimension]) for dimension, score in clip.scores().items()]
    pairs.append((probability or 0.0, other_probability or 0.0))
    if attended is not None and other_attended is not None:
        if attended.parts != other_attended.parts or attended.steps != other_attended.steps:
            return False
        weights, others = (np.stack(list(each.arrays().values())) for each in (attended, other_attended))
        if not np.allclose(weights, others, rtol=1.1e-3, atol=1e-6):
            return False
    return all(abs(one - another) <= 1e-5 for one, another in pairs)


def _wrong_rows(log: Sequence[ClipScored], settings: Settings) -> int:
    """Clips, scored clips with their styles, scores, attention over time and guidance that differ between the log and
    the database, either way; clips whose guidance is missing or should not be there; sums that differ from the rows.
    """
    expected_clips = Counter((c.clip_id, c.dancer_id, c.challenge_id, c.uploaded_at_ms) for c in log)
    expected_scored = Counter((c.generation, c.clip_id, c.scored_at_ms, *clip_style(c)) for c in log)
    attention = Counter(row for c in log if (row := attended(c)) is not None)
    expected = Counter((c.clip_id, str(d), c.challenge_id, score) for c in log for d, score in c.scores().items())
    database = Database(settings.ranking.database_url)
    with closing(database), database.reading() as connection:
        c, s, v = clips.c, scored_clips.c, scores.c
        held = connection.execute(sa.select(c.clip_id, c.dancer_id, c.challenge_id, c.uploaded_at_ms))
        found_clips = Counter(tuple(row) for row in held)
        found_scored = Counter(
            tuple(row)
            for row in connection.execute(
                sa.select(s.generation, s.clip_id, s.scored_at_ms, s.style, s.style_probability)
            )
        )
        found_attention = Counter(tuple(row) for row in connection.execute(sa.select(attended_clips)))
        found = Counter(
            tuple(row) for row in connection.execute(sa.select(v.clip_id, v.dimension, v.challenge_id, v.score))
        )
        guided = Counter(connection.scalars(sa.select(guided_clips.c.clip_id)))
        sums_wrong = len(list(sums_differences(connection)))
    share = settings.streamer.guidance_share
    chosen = [c for c in log if Modality.SKELETAL in c.modalities and is_chosen(c.clip_id, share)]
    counted = Counter(c.clip_id for c in chosen if not outside_training(training_distance(c)))
    given = Counter(c.clip_id for c in log if isinstance(c, ClipScoredV3) and c.guidance is not None)
    guidance = ((Counter(c.clip_id for c in chosen), given), (counted, guided))
    pairs = (
        (expected_clips, found_clips),
        (expected_scored, found_scored),
        (expected, found),
        (Counter(map(tuple, attention.elements())), found_attention),
        *guidance,
    )
    return sums_wrong + sum(((one - other) + (other - one)).total() for one, other in pairs)


def _wrong_vectors(log: Sequence[ClipScored], snapshot: Path) -> int:
    """Vectors of the snapshot that are not those of the log, and those that it lacks or has too many."""
    view = IndexView(FaissBackend(threads=1), Observer(), SystemClock())
    if not view.restore(snapshot):
        return len(log)
    present = Counter(modality for clip in log for modality in clip.modalities)
    wrong = sum(abs(present[modality] - held) for modality, held in view.sizes().items())
    (space,) = view._spaces.values()
    for modality, of_width in space._indexes.items():
        (index,) = of_width.values()
        having = [clip for clip in log if modality in clip.modalities]
        raw = np.array([embedding_array(clip.modalities[modality]) for clip in having], np.float64)
        units = raw / np.linalg.norm(raw, axis=1, keepdims=True)
        ids = [clip.clip_id for clip in having]
        # NaN, for a vector that is not held, is not within the bound either.
        wrong += int((~(np.abs(index.vectors(ids) - units) <= _rounding(index, ids, units)).all(axis=1)).sum())
    return wrong


def _rounding(index: LiveIndex, ids: Sequence[str], units: Float64) -> Float64:
    """By how much each component (B, D) may differ from ``units``: rounded to float32, and to what its part holds.

    Segments with codes hold float16; half a unit in the last place of each type is all that rounding accounts for.
    """
    single = np.spacing(np.abs(units).astype(np.float32)).astype(np.float64) / 2
    bound = 2 * single
    for part, _, places in index._places(index._numbers.find(ids)):
        if part.exact.dtype == np.float16:
            half = np.spacing(np.abs(units[places]).astype(np.float16)).astype(np.float64) / 2
            bound[places] = single[places] + half
    return bound
