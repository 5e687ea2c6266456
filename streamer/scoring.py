"""From batches of features to scored clips: every stream on the clips that have it, then the fusion.

Legend: N clips of the batch, D embedding width of a stream, S streams of the bundle, M of them fused.
"""

import logging
import math
from collections.abc import Collection, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from schemas.clock import Clock, SystemClock
from schemas.errors import InferenceFailed
from schemas.events import (
    ClipScored,
    ClipScoredV2,
    ClipScoredV3,
    ClipScoredV4,
    InlineFeatures,
    JointGuidance,
    ModalityResult,
    StyleResult,
    TemporalAttention,
    UploadEvent,
    embedding_bytes,
    outside_training,
)
from schemas.features import ClipFeatures, Frames
from schemas.modalities import MAX_DURATION_S, Modality
from schemas.observation import Observer
from schemas.ports import Bool, Float32, FusionResult, Int64, ModelRuntime, StreamResult
from schemas.training_distribution import DistanceMeter
from streamer.batch_sizes import WHOLE_BATCHES, BatchSizes, Rows
from streamer.guiding import Guiding
from streamer.padding import PaddedBuffer
from streamer.runs import GuidanceRun, Run, StreamRun, StyleRun
from streamer.styles import StyleRecogniser

log = logging.getLogger(__name__)

ScoringInput = tuple[UploadEvent, ClipFeatures]


def length_in_steps(features: ClipFeatures) -> int:
    """A clip's length for batching: that of its longest modality, in steps of ``STEP_RATE_HZ``.

    All sequences of a clip span the same seconds, so one number orders all modalities. Those at the highest rate cost
    most, and their steps are counted exactly.
    """
    return max(round(len(frames) * modality.step_cost) for modality, frames in features.frames.items())


class Scoring:
    """A batch under way: which runs it takes, and what they have given so far.

    Runs of one batch write to places of their own, so several threads may do them at once. ``present`` (N, S),
    ``embeddings`` (N, sum of D), ``scores`` (N, S). ``failures``: why a row has no result. ``distances`` are those of
    each clip from the training distribution, by modality, where the bundle states one; ``styles`` are the clips', where
    it has a classifier; ``guidance`` and ``attention`` (over time) are those of the rows that got some. ``steps`` and
    ``padded_steps`` count those of all runs of streams, in steps of ``STEP_RATE_HZ``.
    """

    def __init__(
        self,
        clips: Sequence[ScoringInput],
        present: Bool,
        width: int,
        streams: Sequence[StreamRun],
        beside: Sequence[GuidanceRun | StyleRun] = (),
    ) -> None:
        self.clips = clips
        self.present = present
        self.runs: Sequence[Run] = [*beside, *streams]  # the longest first, so that no thread waits for the last
        self.embeddings = np.zeros((len(clips), width), np.float32)
        self.scores = np.zeros(present.shape, np.float32)
        self.failures: dict[int, InferenceFailed] = {}
        self.distances: list[dict[Modality, float]] = [{} for _ in clips]
        self.styles: list[StyleResult | None] = [None] * len(clips)
        self.guidance: dict[int, JointGuidance] = {}
        self.attention: dict[int, TemporalAttention] = {}
        lengths = [_steps_of(clips, run) for run in streams]
        self.steps = round(sum(map(sum, lengths)))
        self.padded_steps = round(sum(max(each) * len(each) for each in lengths))


def _steps_of(clips: Sequence[ScoringInput], run: StreamRun) -> list[float]:
    return [len(clips[row][1].frames[run.modality]) * run.modality.step_cost for row in run.rows.tolist()]


class Scorer:
    """Scores batches of clips with the streams and the fusion of a bundle, which ``runtime`` runs.

    Several threads may work on one batch or on several: ``begin``, then every run with a buffer of the thread's own,
    then ``finish``. The runtime stays the caller's to close.
    """

    def __init__(
        self,
        runtime: ModelRuntime,
        *,
        sizes: BatchSizes = WHOLE_BATCHES,
        max_batch_steps: float = math.inf,
        recogniser: StyleRecogniser | None = None,
        guiding: Guiding | None = None,
        warns_outside_training: bool = True,
        observer: Observer | None = None,
        clock: Clock | None = None,
    ) -> None:
        """A run has no more clips than ``sizes`` says and no padded cost above ``max_batch_steps``. ``recogniser``
        names the styles of clips that have joints, ``guiding`` gives some of them guidance. A clip outside the training
        distribution is logged unless ``warns_outside_training`` is false: for clips that no ranking is to hold.
        """
        self._warns_outside_training = warns_outside_training
        self._runtime = runtime
        self._recogniser, self._guiding = recogniser, guiding
        self._sizes, self._max_batch_steps = sizes, max_batch_steps
        self._observer = observer or Observer()
        self._clock = clock or SystemClock()
        self._generation = runtime.manifest.generation
        self._modalities = runtime.manifest.modalities
        for modality, provider in runtime.providers.items():
            self._observer.provider_in_use(modality, provider)
        ends = np.cumsum([stream.embedding_dim for stream in runtime.manifest.streams]).tolist()
        self._columns = {
            m: slice(start, end) for m, start, end in zip(self._modalities, [0, *ends], ends, strict=False)
        }
        self._width = sum(stream.embedding_dim for stream in runtime.manifest.streams)
        self._fused = np.array([modality.is_fused for modality in self._modalities], np.bool_)
        self._fused_widths = np.repeat(self._fused, [stream.embedding_dim for stream in runtime.manifest.streams])
        self._attentions = {stream.modality: stream.attention for stream in runtime.manifest.streams}
        self._halves: Collection[Modality] = getattr(runtime, "reads_half", ())
        self._meters = {
            modality: DistanceMeter(modality, stated, runtime.manifest.step_shape(modality))
            for modality, stated in runtime.manifest.training_distribution.items()
        }
        if not self._meters:
            log.warning(
                "bundle %s states no training distribution, so no clip is flagged as outside it; train and export the "
                "model with this release",
                self._generation,
            )

    def score(self, batch: Sequence[ScoringInput]) -> list[ClipScored | InferenceFailed]:
        """One result per clip, in order, all on this thread.

        If inference fails on a clip, or returns a number that is not finite, that clip's result is the error. The
        other clips get the results that they would have without it.
        """
        scoring, buffer = self.begin(batch), PaddedBuffer()
        for run in scoring.runs:
            self.run(scoring, run, buffer)
        return self.finish(scoring)

    def most_clips(self, limit: int) -> int:
        """Clips of a batch beyond which no stream gains, at most ``limit``."""
        return self._sizes.largest(limit)

    def begin(self, batch: Sequence[ScoringInput]) -> Scoring:
        """A batch with its runs, in the order of the bundle's streams; none has run yet.

        Features must hold at least one modality of the bundle and no others.
        """
        present = np.array([[m in features.frames for m in self._modalities] for _, features in batch], np.bool_)
        runs, named = list[StreamRun](), list[StyleRun]()
        for column, modality in enumerate(self._modalities):
            rows = np.flatnonzero(present[:, column])
            lengths = [round(len(batch[row][1].frames[modality]) * modality.step_cost) for row in rows.tolist()]
            runs += [
                StreamRun(modality, rows[among]) for among in self._sizes.runs(modality, lengths, self._max_batch_steps)
            ]
            if self._recogniser is not None and modality.has_joints:
                together = WHOLE_BATCHES.runs(modality, lengths, self._max_batch_steps)
                named += [StyleRun(modality, rows[among]) for among in together]
        guided: list[GuidanceRun] = []
        if (guiding := self._guiding) is not None:
            chosen = (guiding.chooses(upload.clip_id, features) for upload, features in batch)
            guided = [GuidanceRun(row) for row, is_chosen in enumerate(chosen) if is_chosen]
        return Scoring(batch, present, self._width, runs, [*guided, *named])

    def run(self, scoring: Scoring, run: Run, buffer: PaddedBuffer) -> None:
        """Do one run: of a stream or the styles, on clips padded into ``buffer``, or of the guidance of a clip."""
        if isinstance(run, StreamRun):
            self._run_padded(scoring, run, buffer)
        elif isinstance(run, StyleRun):
            self._name_styles(scoring, run, buffer)
        elif self._guiding is not None:
            upload, features = scoring.clips[run.row]
            if (found := self._guiding.guidance(upload.clip_id, features)) is not None:
                scoring.guidance[run.row] = found

    def _run_padded(self, scoring: Scoring, run: StreamRun, buffer: PaddedBuffer) -> None:
        modality, rows = run
        clips = [scoring.clips[row][1].frames[modality] for row in rows.tolist()]
        look, measured = None, list[float]()
        if (meter := self._meters.get(modality)) is not None:
            look = partial(_measure, meter, measured)
        frames, lengths = buffer.fill(clips, look, half=modality in self._halves)
        for row, distance in zip(rows.tolist(), measured, strict=False):
            scoring.distances[row][modality] = distance
        try:
            result = self._run_stream(modality, frames, lengths)
        except InferenceFailed as error:
            if len(rows) == 1:
                scoring.failures[int(rows[0])] = error
            else:
                for row in rows:
                    self._run_padded(scoring, StreamRun(modality, np.array([row])), buffer)
            return
        scoring.embeddings[rows, self._columns[modality]] = result.embeddings
        scoring.scores[rows, self._modalities.index(modality)] = result.scores
        if result.attention is not None:
            for row, length, weights in zip(rows.tolist(), lengths.tolist(), result.attention, strict=True):
                try:
                    scoring.attention[row] = self._temporal_attention(modality, weights[:, :length])
                except InferenceFailed as error:
                    scoring.failures[row] = error

    def _name_styles(self, scoring: Scoring, run: StyleRun, buffer: PaddedBuffer) -> None:
        if self._recogniser is not None:
            clips = [scoring.clips[row][1].frames[run.modality] for row in run.rows.tolist()]
            named = self._recogniser.recognise(*buffer.fill(clips))
            for row, style in zip(run.rows.tolist(), named, strict=True):
                scoring.styles[row] = style

    def finish(self, scoring: Scoring) -> list[ClipScored | InferenceFailed]:
        """One result per clip, in order, once every run of the batch was done."""
        finite = np.isfinite(scoring.scores).all(axis=1)
        for row in np.flatnonzero(~finite).tolist():
            scoring.failures.setdefault(row, _not_finite("score"))
        rows = [row for row in range(len(scoring.clips)) if row not in scoring.failures]
        results: dict[int, ClipScored | InferenceFailed] = dict(scoring.failures)
        if rows:
            results |= dict(zip(rows, self._finished(scoring, np.array(rows)), strict=True))
        return [results[row] for row in range(len(scoring.clips))]

    def _run_stream(self, modality: Modality, frames: Frames, lengths: Int64) -> StreamResult:
        started_s = self._clock.monotonic_s()
        result = self._runtime.run_stream(modality, frames, lengths)
        self._observer.stage_timed("inference", self._clock.monotonic_s() - started_s, modality)
        return result

    def _finished(self, scoring: Scoring, rows: Rows) -> list[ClipScored | InferenceFailed]:
        results: dict[int, ClipScored | InferenceFailed] = {}
        is_fused = scoring.present[rows][:, self._fused].any(axis=1)
        for chosen, fuse in ((rows[is_fused], self._fusion), (rows[~is_fused], self._unfused)):
            if len(chosen):
                results |= dict(zip(chosen.tolist(), fuse(scoring, chosen), strict=True))
        return [results[row] for row in rows.tolist()]

    def _fusion(self, scoring: Scoring, rows: Rows) -> list[ClipScored | InferenceFailed]:
        started_s = self._clock.monotonic_s()
        embeddings, scores, present = scoring.embeddings[rows], scoring.scores[rows], scoring.present[rows]
        if not self._fused.all():
            embeddings, scores, present = (
                embeddings[:, self._fused_widths],
                scores[:, self._fused],
                present[:, self._fused],
            )
        try:
            fused = self._runtime.run_fusion(embeddings, scores, present)
        except InferenceFailed as error:
            if len(rows) == 1:
                return [error]
            return [self._fusion(scoring, rows[at : at + 1])[0] for at in range(len(rows))]
        self._observer.stage_timed("fusion", self._clock.monotonic_s() - started_s)
        attention = np.zeros(scores.shape[:1] + self._fused.shape, np.float32)
        attention[:, self._fused] = fused.attention
        return self._results(scoring, rows, FusionResult(attention, fused.scores))

    def _unfused(self, scoring: Scoring, rows: Rows) -> list[ClipScored | InferenceFailed]:
        """Of clips whose only stream is one that is not fused: it has all attention, and its score counts."""
        alone = FusionResult(scoring.present[rows].astype(np.float32), scoring.scores[rows].sum(axis=1))
        return self._results(scoring, rows, alone)

    def _results(self, scoring: Scoring, rows: Rows, fused: FusionResult) -> list[ClipScored | InferenceFailed]:
        """``fused``: of the ``rows``, in their order."""
        scored_at_ms = self._clock.now_ms()
        attention, fused_scores = fused.attention.tolist(), fused.scores.tolist()
        results: list[ClipScored | InferenceFailed] = []
        for row, weights, fused_score in zip(rows.tolist(), attention, fused_scores, strict=True):
            try:
                results.append(self._result(scoring, row, weights, fused_score, scored_at_ms))
            except InferenceFailed as error:
                results.append(error)
        return results

    def _result(
        self, scoring: Scoring, row: int, attention: Sequence[float], fused_score: float, scored_at_ms: int
    ) -> ClipScored:
        for name, values in (("attention", attention), ("fused score", (fused_score,))):
            if not all(map(math.isfinite, values)):
                raise _not_finite(name)
        upload, scores, embeddings = scoring.clips[row][0], scoring.scores[row].tolist(), scoring.embeddings[row]
        modalities = {
            # Rounding can put a weight a hair above 1.
            modality: _modality_result(
                modality, scores[column], min(max(attention[column], 0.0), 1.0), embeddings[self._columns[modality]]
            )
            for column, modality in enumerate(self._modalities)
            if scoring.present[row, column]
        }
        is_fused = any(modality.is_fused for modality in modalities)
        known: dict[str, Any] = {
            "clip_id": upload.clip_id,
            "dancer_id": upload.dancer_id,
            "challenge_id": upload.challenge_id,
            "uploaded_at_ms": upload.uploaded_at_ms,
            "duration_s": upload.duration_s,
            "generation": self._generation,
            "modalities": modalities,
            "missing": tuple(m for m in self._modalities if m not in modalities and m.is_fused == is_fused),
            "fused_score": fused_score,
            "scored_at_ms": scored_at_ms,
        }
        distance = self._distance(upload.clip_id, scoring.distances[row])
        more = {
            "features": None if isinstance(upload.features, InlineFeatures) else upload.features,
            "style": scoring.styles[row],
            "guidance": scoring.guidance.get(row),
            "temporal_attention": scoring.attention.get(row),
        }
        return _versioned(known, distance, {name: value for name, value in more.items() if value is not None})

    def _temporal_attention(self, modality: Modality, weights: Float32) -> TemporalAttention:
        """``weights`` (P, T) of one clip. Rounding can put one a hair above 1. Raises ``InferenceFailed``."""
        if not np.isfinite(weights).all():
            raise _not_finite(f"{modality} temporal attention")
        return TemporalAttention(
            modality=modality,
            rate_hz=modality.rate_hz,
            parts=self._attentions[modality],
            weights=weights.clip(0.0, 1.0).astype("<f2").tobytes(),
        )

    def _distance(self, clip_id: str, distances: Mapping[Modality, float]) -> float | None:
        """The greatest, reported; ``None`` without any."""
        if not distances:
            return None
        for modality, distance in distances.items():
            self._observer.training_distance(modality, distance)
        farthest = max(distances, key=lambda modality: distances[modality])
        if outside_training(distances[farthest]):
            self._observer.outside_training()
        if self._warns_outside_training and outside_training(distances[farthest]):
            log.warning(
                "clip %s lies outside what the model was trained on (%s: %.3g times the limit); it is scored and in no "
                "ranking",
                clip_id,
                farthest,
                distances[farthest],
            )
        return distances[farthest]


def _versioned(known: dict[str, Any], distance: float | None, more: Mapping[str, Any]) -> ClipScored:
    """In the earliest version that holds it."""
    if known["duration_s"] > MAX_DURATION_S or "temporal_attention" in more:
        return ClipScoredV4(**known, training_distance=distance, **more)
    if more:
        return ClipScoredV3(**known, training_distance=distance, **more)
    if distance is None:
        return ClipScored(**known)
    return ClipScoredV2(**known, training_distance=distance)


def _not_finite(name: str) -> InferenceFailed:
    return InferenceFailed(f"the {name} is not a finite number; check the clip's features for extreme values")


def _measure(meter: DistanceMeter, measured: list[float], frames: Frames) -> None:
    measured.append(meter.distance(frames))


def _modality_result(modality: Modality, score: float, attention: float, embedding: Float32) -> ModalityResult:
    try:
        return ModalityResult(score, attention, embedding_bytes(embedding))
    except ValueError as error:
        raise InferenceFailed(f"{modality}: {error} (as float16); check the clip's features", field=modality) from error
