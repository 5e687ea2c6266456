"""From batches of features to scored clips: every stream on the clips that have it, then the fusion.

Legend: N clips of the batch, D embedding width of a stream, M streams of the bundle.
"""

import logging
from collections.abc import Mapping, Sequence
from functools import partial
from typing import NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

from schemas.clock import Clock, SystemClock
from schemas.errors import InferenceFailed
from schemas.events import (
    ClipScored,
    ClipScoredV2,
    ModalityResult,
    UploadEvent,
    embedding_bytes,
    outside_training,
)
from schemas.features import ClipFeatures
from schemas.modalities import MODALITIES, Modality
from schemas.observation import Observer
from schemas.ports import Bool, Float32, FusionResult, Int64, ModelRuntime, StreamResult
from schemas.training_distribution import DistanceMeter
from streamer.padding import PaddedBuffer

log = logging.getLogger(__name__)

ScoringInput = tuple[UploadEvent, ClipFeatures]


def length_in_steps(features: ClipFeatures) -> int:
    """A clip's length for batching: that of its longest modality, in steps of ``STEP_RATE_HZ``.

    All sequences of a clip span the same seconds, so one number orders all modalities. Those at the highest rate cost
    most, and their steps are counted exactly.
    """
    return max(round(len(frames) * modality.step_cost) for modality, frames in features.frames.items())


Buffers = dict[Modality, PaddedBuffer]


class StreamInput(NamedTuple):
    """What one stream reads: the ``rows`` of the batch that have the modality, their padded ``frames`` and lengths."""

    rows: npt.NDArray[np.intp]
    frames: Float32
    lengths: Int64


class PreparedBatch(NamedTuple):
    """A batch ready for the networks. ``present`` (N, M); ``buffers`` hold the memory of ``inputs``. ``distances`` are
    those of each clip from the training distribution, by modality, where the bundle states one.
    """

    clips: Sequence[ScoringInput]
    present: Bool
    inputs: dict[Modality, StreamInput]
    buffers: Buffers
    distances: Sequence[dict[Modality, float]]


class Scorer:
    """Scores batches of clips with the streams and the fusion of a bundle, which ``runtime`` runs.

    Memory of padded arrays is reused: one set for each batch that is prepared and not yet scored. One thread may
    prepare while another scores; otherwise it is not thread-safe. The runtime stays the caller's to close.
    """

    def __init__(self, runtime: ModelRuntime, *, observer: Observer | None = None, clock: Clock | None = None) -> None:
        self._runtime = runtime
        self._observer = observer or Observer()
        self._clock = clock or SystemClock()
        self._generation = runtime.manifest.generation
        self._modalities = runtime.manifest.modalities
        self._spare: list[Buffers] = []
        for modality, provider in runtime.providers.items():
            self._observer.provider_in_use(modality, provider)
        ends = np.cumsum([stream.embedding_dim for stream in runtime.manifest.streams]).tolist()
        self._columns = {
            m: slice(start, end) for m, start, end in zip(self._modalities, [0, *ends], ends, strict=False)
        }
        self._width = runtime.manifest.embedding_width
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

    def prepare(self, batch: Sequence[ScoringInput]) -> PreparedBatch:
        """Pad a batch; may run on another thread while ``score_prepared`` works on the previous one.

        Features must hold at least one modality of the bundle and no others.
        """
        present = np.array([[m in features.frames for m in self._modalities] for _, features in batch], np.bool_)
        buffers = self._spare.pop() if self._spare else {modality: PaddedBuffer() for modality in self._modalities}
        inputs = {}
        distances: list[dict[Modality, float]] = [{} for _ in batch]
        for column, modality in enumerate(self._modalities):
            rows = np.flatnonzero(present[:, column])
            if rows.size:
                clips = [batch[row][1].frames[modality] for row in rows.tolist()]
                measured: list[float] = []
                look = None if (meter := self._meters.get(modality)) is None else partial(_measure, meter, measured)
                inputs[modality] = StreamInput(rows, *buffers[modality].fill(clips, look))
                for row, distance in zip(rows.tolist(), measured, strict=False):
                    distances[row][modality] = distance
        return PreparedBatch(batch, present, inputs, buffers, distances)

    def score(self, batch: Sequence[ScoringInput]) -> list[ClipScored | InferenceFailed]:
        """Prepare a batch and score it."""
        return self.score_prepared(self.prepare(batch))

    def score_prepared(self, prepared: PreparedBatch) -> list[ClipScored | InferenceFailed]:
        """One result per clip, in order.

        If inference fails on a clip, or returns a number that is not finite, that clip's result is the error. The
        other clips get the results that they would have without it. A prepared batch can be scored once.
        """
        try:
            return list(self._run(prepared))
        except InferenceFailed as error:
            if len(prepared.clips) == 1:
                return [error]
        finally:
            self._spare.append(prepared.buffers)
        return [result for clip in prepared.clips for result in self.score([clip])]

    def _run(self, prepared: PreparedBatch) -> Sequence[ClipScored]:
        embeddings = np.zeros((len(prepared.clips), self._width), np.float32)
        scores = np.zeros(prepared.present.shape, np.float32)
        for column, modality in enumerate(self._modalities):
            if modality in prepared.inputs:
                rows, frames, lengths = prepared.inputs[modality]
                result = self._run_stream(modality, frames, lengths)
                embeddings[rows, self._columns[modality]] = result.embeddings
                scores[rows, column] = result.scores
        fused = self._run_fusion(embeddings, scores, prepared.present)
        return self._results(prepared, embeddings, scores, fused)

    def _run_stream(self, modality: Modality, frames: Float32, lengths: Int64) -> StreamResult:
        started_s = self._clock.monotonic_s()
        result = self._runtime.run_stream(modality, frames, lengths)
        self._observer.stage_timed("inference", self._clock.monotonic_s() - started_s, modality)
        return result

    def _run_fusion(self, embeddings: Float32, scores: Float32, present: Bool) -> FusionResult:
        started_s = self._clock.monotonic_s()
        fused = self._runtime.run_fusion(embeddings, scores, present)
        self._observer.stage_timed("fusion", self._clock.monotonic_s() - started_s)
        return fused

    def _results(
        self, prepared: PreparedBatch, embeddings: Float32, scores: Float32, fused: FusionResult
    ) -> Sequence[ClipScored]:
        for name, values in (("score", scores), ("attention", fused.attention), ("fused score", fused.scores)):
            if not np.isfinite(values).all():
                raise InferenceFailed(
                    f"the {name} is not a finite number; check the clip's features for extreme values"
                )
        scored_at_ms = self._clock.now_ms()
        # Rounding can put a weight a hair above 1.
        attention = np.clip(fused.attention, 0.0, 1.0).tolist()
        score_lists, fused_scores = scores.tolist(), fused.scores.tolist()
        results = []
        for row, (upload, _) in enumerate(prepared.clips):
            modalities = {
                modality: _modality_result(
                    modality, score_lists[row][column], attention[row][column], embeddings[row, self._columns[modality]]
                )
                for column, modality in enumerate(self._modalities)
                if prepared.present[row, column]
            }
            scored = ClipScored(
                clip_id=upload.clip_id,
                dancer_id=upload.dancer_id,
                challenge_id=upload.challenge_id,
                uploaded_at_ms=upload.uploaded_at_ms,
                duration_s=upload.duration_s,
                generation=self._generation,
                modalities=modalities,
                missing=tuple(m for m in MODALITIES if m in self._modalities and m not in modalities),
                fused_score=fused_scores[row],
                scored_at_ms=scored_at_ms,
            )
            results.append(self._with_distance(scored, prepared.distances[row]))
        return results

    def _with_distance(self, clip: ClipScored, distances: Mapping[Modality, float]) -> ClipScored:
        if not distances:
            return clip
        for modality, distance in distances.items():
            self._observer.training_distance(modality, distance)
        farthest = max(distances, key=lambda modality: distances[modality])
        if outside_training(distances[farthest]):
            self._observer.outside_training()
            log.warning(
                "clip %s lies outside what the model was trained on (%s: %.3g times the limit); it is scored and in no "
                "ranking",
                clip.clip_id,
                farthest,
                distances[farthest],
            )
        return ClipScoredV2(**msgspec.structs.asdict(clip), training_distance=distances[farthest])


def _measure(meter: DistanceMeter, measured: list[float], frames: Float32) -> None:
    measured.append(meter.distance(frames))


def _modality_result(modality: Modality, score: float, attention: float, embedding: Float32) -> ModalityResult:
    try:
        return ModalityResult(score, attention, embedding_bytes(embedding))
    except ValueError as error:
        raise InferenceFailed(f"{modality}: {error} (as float16); check the clip's features", field=modality) from error
