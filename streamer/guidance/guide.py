"""Guidance of clips by a bundle's gradient graphs.

Legend: N clips, T time steps of the longest, V joints, C channels of the bundle's poses, D embedding width, M streams.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import msgspec
import numpy as np

from schemas.errors import ConfigurationError, GuidanceUnavailable, InferenceFailed, SkeletonMissing
from schemas.events import JointGuidance
from schemas.features import ClipFeatures
from schemas.joints import layout_named, mean_absolute_deviation
from schemas.modalities import Dimension
from schemas.ports import Bool, Float32, GradientRuntime, Int64, ModelRuntime
from streamer.guidance.clip_guidance import Guidance, magnitude_bins
from streamer.guidance.smoothing import DEFAULT_SMOOTHING, RAW, Float, smoothed
from streamer.padding import PaddedBuffer


@dataclass(frozen=True)
class _Streams:
    """What the streams give for N clips: ``embeddings`` (N, sum of D), ``scores`` and ``present`` (N, M)."""

    embeddings: Float32
    scores: Float32
    present: Bool


class Guide:
    """Says how clips would score higher. Thread-safe as its runtimes are, which stay the caller's to close."""

    def __init__(self, runtime: ModelRuntime, gradients: GradientRuntime) -> None:
        """Both run the same bundle. Raises ``GuidanceUnavailable`` for one without gradient graphs."""
        manifest = runtime.manifest
        if isinstance(manifest.guidance, msgspec.UnsetType):
            raise GuidanceUnavailable(
                f"bundle {manifest.generation} has no gradient graphs; run `dancerank add-guidance`"
            )
        if gradients.manifest.generation != manifest.generation:
            raise ConfigurationError(
                f"gradient graphs of bundle {gradients.manifest.generation}, streams of {manifest.generation}; open "
                "both from one bundle"
            )
        self.manifest = manifest
        self.modality = manifest.guidance.modality
        self.layout = layout_named(manifest.joint_layout or "")
        self._runtime, self._gradients = runtime, gradients
        self._column = manifest.fused_modalities.index(self.modality)
        ends = np.cumsum([stream.embedding_dim for stream in manifest.fused_streams]).tolist()
        self._columns = [slice(start, end) for start, end in zip([0, *ends], ends, strict=False)]

    def guidance(
        self, features: ClipFeatures, *, of: Dimension | str = Dimension.SKELETAL, smoothing: str = DEFAULT_SMOOTHING
    ) -> Guidance:
        """Of one clip, whose features are as ``FeatureLoader`` makes them; ``smoothing``: of
        ``streamer.guidance.smoothing``. Raises as ``batch`` does.
        """
        if smoothing == RAW:
            return self.batch([features], of=of)[0]
        of = self._guided(of)
        frames, lengths = self._poses([features])
        streams = self._streams([features], frames, lengths, of)
        plain = self._result(features, of, frames[0], np.zeros_like(frames[0]), self._scores(streams, of)[0])

        def gradient_of(positions: Float) -> Float:
            varied = np.repeat(frames, len(positions), axis=0)
            varied[..., : self.layout.coordinates] = positions
            steps = np.repeat(lengths, len(positions))
            moved = self._moved(streams, varied, steps) if of is Dimension.FUSED else None
            found: Float = self._gradient(varied, steps, moved)[..., : self.layout.coordinates]
            return found

        directions = smoothed(
            smoothing,
            gradient_of,
            plain.positions,
            self.layout.edges,
            body=plain.scale,
            missing=plain.missing,
        )
        return self._checked(replace(plain, smoothing=smoothing, gradient=directions.astype(np.float32)))

    def batch(self, clips: Sequence[ClipFeatures], *, of: Dimension | str = Dimension.SKELETAL) -> list[Guidance]:
        """The gradients of several clips as they are (``raw``), none of which depends on the others.

        ``of``: ``skeletal``, or ``fused``, which moves with the skeleton through its score and its embedding, while the
        other streams' results stay. Raises ``SkeletonMissing``, ``InferenceFailed``, and
        ``ConfigurationError`` for another score.
        """
        of = self._guided(of)
        frames, lengths = self._poses(clips)
        streams = self._streams(clips, frames, lengths, of)
        gradients = self._gradient(frames, lengths, streams if of is Dimension.FUSED else None)
        scores = self._scores(streams, of)
        return [
            self._result(clip, of, frames[row, :length], gradients[row, :length], scores[row])
            for row, (clip, length) in enumerate(zip(clips, lengths.tolist(), strict=True))
        ]

    def joint_guidance(self, clip: ClipFeatures) -> JointGuidance:
        """What the log keeps of a clip: of its skeletal score, ``raw``. No stream is run. Raises as ``batch`` does."""
        frames, lengths = self._poses([clip])
        gradient = self._gradient(frames, lengths, None)[0]
        found = self._result(clip, Dimension.SKELETAL, frames[0], gradient, score=0.0)
        try:
            with np.errstate(over="ignore", invalid="ignore"):
                return magnitude_bins(found)
        except ValueError as error:
            raise InferenceFailed(f"guidance: {error}; check the clip's features for extreme values") from error

    def _guided(self, of: Dimension | str) -> Dimension:
        known = (Dimension(self.modality), Dimension.FUSED)
        if of not in known:
            raise ConfigurationError(f"there is no guidance of {of!r}; choose from {', '.join(known)}", field="of")
        return Dimension(of)

    def _poses(self, clips: Sequence[ClipFeatures]) -> tuple[Float32, Int64]:
        for clip in clips:
            if self.modality not in clip.frames:
                raise SkeletonMissing(
                    f"the clip has no {self.modality} features, only {', '.join(clip.modalities)}; guidance moves the "
                    "joints of a skeleton: send the clip with one",
                    field=self.modality,
                )
        frames, lengths = PaddedBuffer().fill([clip.frames[self.modality] for clip in clips])
        return frames.astype(np.float32, copy=False), lengths

    def _streams(self, clips: Sequence[ClipFeatures], frames: Float32, lengths: Int64, of: Dimension) -> _Streams:
        """Of the streams that the score ``of`` needs, each run once on the clips that have its modality."""
        modalities = self.manifest.fused_modalities
        found = _Streams(
            np.zeros((len(clips), self.manifest.embedding_width), np.float32),
            np.zeros((len(clips), len(modalities)), np.float32),
            np.array([[modality in clip.frames for modality in modalities] for clip in clips], np.bool_),
        )
        for column, modality in enumerate(modalities):
            rows = np.flatnonzero(found.present[:, column])
            if column == self._column:
                result = self._runtime.run_stream(modality, frames, lengths)
            elif len(rows) and of is Dimension.FUSED:
                given, steps = PaddedBuffer().fill([clips[row].frames[modality] for row in rows.tolist()])
                result = self._runtime.run_stream(modality, given, steps)
            else:
                continue
            found.embeddings[rows, self._columns[column]] = result.embeddings
            found.scores[rows, column] = result.scores
        return found

    def _moved(self, streams: _Streams, frames: Float32, lengths: Int64) -> _Streams:
        """``streams`` of one clip with the skeletal results of its variations."""
        result = self._runtime.run_stream(self.modality, frames, lengths)
        moved = _Streams(
            np.repeat(streams.embeddings, len(frames), axis=0),
            np.repeat(streams.scores, len(frames), axis=0),
            np.repeat(streams.present, len(frames), axis=0),
        )
        moved.embeddings[:, self._columns[self._column]] = result.embeddings
        moved.scores[:, self._column] = result.scores
        return moved

    def _scores(self, streams: _Streams, of: Dimension) -> list[float]:
        found = streams.scores[:, self._column]
        if of is Dimension.FUSED:
            found = self._runtime.run_fusion(streams.embeddings, streams.scores, streams.present).scores
        scores: list[float] = found.tolist()
        return scores

    def _gradient(self, frames: Float32, lengths: Int64, fused_from: _Streams | None) -> Float32:
        """(N, T, V, C): of the skeletal score, or of the fused score that ``fused_from`` gives."""
        columns = self._columns[self._column]
        if fused_from is None:
            score_seed = np.ones(len(frames), np.float32)
            embedding_seed = np.zeros((len(frames), columns.stop - columns.start), np.float32)
        else:
            by = self._gradients.fusion_gradient(fused_from.embeddings, fused_from.scores, fused_from.present)
            score_seed = np.ascontiguousarray(by.scores[:, self._column])
            embedding_seed = np.ascontiguousarray(by.embeddings[:, columns])
        return self._gradients.stream_gradient(frames, lengths, score_seed, embedding_seed)

    def _result(self, clip: ClipFeatures, of: Dimension, frames: Float32, gradient: Float32, score: float) -> Guidance:
        positions = frames[..., : self.layout.coordinates].copy()
        missing = np.zeros(positions.shape[:2], np.bool_) if clip.missing is None else clip.missing
        moved = np.where(missing[..., None], np.float32(0), gradient[..., : self.layout.coordinates])
        guidance = Guidance(
            generation=self.manifest.generation,
            of=of,
            smoothing=RAW,
            layout=self.layout,
            rate_hz=self.modality.rate_hz,
            positions=positions,
            gradient=moved,
            missing=missing,
            score=score,
            scale=mean_absolute_deviation(positions, self.layout),
        )
        return self._checked(guidance)

    @staticmethod
    def _checked(guidance: Guidance) -> Guidance:
        if not np.isfinite(guidance.score) or not np.isfinite(guidance.gradient).all():
            raise InferenceFailed("the gradient is not a finite number; check the clip's features for extreme values")
        return guidance
