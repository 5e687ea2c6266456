"""Looks at one video: extracts it or reads its features, scores it, and draws both."""

from contextlib import ExitStack, closing
from dataclasses import replace
from pathlib import Path

import numpy as np

from dancerank.console.progress import steps, working
from dancerank.console.terminal import Console
from dancerank.settings import Settings
from dancerank.videos.explaining import Explanation, explain, fitted
from dancerank.videos.looking import Look, draw
from dancerank.videos.saliency import FrameSaliency
from extraction.assembly import folder_of, threads_of
from extraction.decoding.content import VideoContent, open_path
from extraction.decoding.video import DecodedVideo, DecoderLimits
from extraction.drawing.video_files import VideoFormat
from extraction.faces.detection import FaceDetector
from extraction.faces.facial import FaceFinder
from extraction.frames import FRAME_RATE_HZ
from extraction.models import Model, open_model
from extraction.networks import Features
from extraction.one_pass import extract
from extraction.recording import Recording, recording
from extraction.selection import open_extractors
from extraction.settings import SHIPPED, ExtractionSettings
from schemas.bundle import Bundle
from schemas.errors import ConfigurationError, FeatureFileMissing
from schemas.features import ClipFeatures, decode_features
from schemas.joints import CONVERSION_TARGET, LAYOUTS, MPII_16, convert
from schemas.local_files import read_file
from schemas.missing_joints import fill_missing, missing_joints
from schemas.modalities import Modality
from schemas.ports import ModelRuntime
from streamer.runtimes.selection import open_runtime


def look_at(
    video: Path,
    out: Path,
    settings: Settings,
    console: Console,
    *,
    bundle: Bundle | None,
    features: Path | None = None,
    kind: VideoFormat = "mp4",
) -> list[Path]:
    """Write pictures of ``video`` to the folder ``out``, say on ``console`` what was seen, and return their paths.

    ``bundle``: the model that scores the clip, ``None``: it is not scored. ``features``: a feature file of the video,
    whose skeleton is drawn; without one the video is extracted. Raises what decoding, extracting and reading raise, and
    ``ConfigurationError`` for a file that cannot be written.
    """
    limits = DecoderLimits.of(settings.extraction)
    with ExitStack() as exits:
        content = exits.enter_context(open_path(video, max_bytes=settings.extraction.max_video_bytes))
        if features is None:
            seen, count, read = _extracted(content, settings.extraction, limits)
        else:
            seen, count, read = _drawn_from(features, content, limits)
        explanation, saliency = None, None
        if bundle is not None:
            runtime = exits.enter_context(_runtime(settings, bundle))
            explanation = _explained(runtime, read, count, console)
            saliency = _saliency(runtime, read, count, settings.extraction, console)
        out.mkdir(parents=True, exist_ok=True)
        with steps() as on_progress:
            on_progress("Drawing", 0, count)
            paths = draw(
                content,
                limits,
                Look(count, seen, explanation, saliency),
                out,
                kind,
                lambda done, total: on_progress("Drawing", done, total),
            )
    _say(console, f"the dancer in {len(seen.poses)} of {count} frames")
    if seen.faces_searched:
        _say(console, f"a face in {len(seen.faces)} of {seen.faces_searched} frames that were searched")
    for path in paths:
        _say(console, str(path))
    return paths


def _extracted(
    content: VideoContent, settings: ExtractionSettings, limits: DecoderLimits
) -> tuple[Recording, int, ClipFeatures]:
    with working("Loading the extractors"):
        extractors, seen = recording(open_extractors(settings), _face_finder(settings), settings.background)
    with steps() as on_progress:
        on_progress("Extracting", 0, 0)
        extraction = extract(
            content, extractors, limits, progress=lambda done, total: on_progress("Extracting", done, total)
        )
    seen.finish()
    return seen, extraction.report.frames, _with_gaps_filled(extraction.features)


def _with_gaps_filled(features: ClipFeatures) -> ClipFeatures:
    """As who loads a feature file gets them."""
    frames = dict(features.frames)
    for modality in [modality for modality in frames if modality.has_joints]:
        layout = LAYOUTS[features.joint_layout or ""]
        missing = missing_joints(frames[modality], layout)
        frames[modality] = fill_missing(frames[modality], missing, layout.joints, modality.rate_hz)
    return replace(features, frames=frames)


def _face_finder(settings: ExtractionSettings) -> FaceFinder | None:
    """The one that ships, if the extractors are those that ship."""
    if settings.extractors != SHIPPED:
        return None
    return FaceFinder(FaceDetector(_model(settings.face_detector, settings)))


def _model(name: str, settings: ExtractionSettings) -> Model:
    return open_model(name, folder=folder_of(settings), providers=settings.providers, threads=threads_of(settings))


def _drawn_from(path: Path, content: VideoContent, limits: DecoderLimits) -> tuple[Recording, int, ClipFeatures]:
    """The poses of a feature file, placed in the frames of the video."""
    try:
        read = decode_features(read_file(path))
    except OSError as error:
        raise FeatureFileMissing(f"{path}: cannot be read ({error.strerror}); name a feature file") from error
    count = 0
    with DecodedVideo(content, limits) as video:
        scale = video.properties.scale
        for batch in video.batches():
            count += len(batch)
    seen = Recording()
    if Modality.SKELETAL in read.frames:
        layout = LAYOUTS[read.joint_layout or ""]
        if layout.coordinates != 2:
            raise ConfigurationError(f"{path}: poses in {layout.name} are not in pixels of a video; name another file")
        poses = convert(read.frames[Modality.SKELETAL], layout, LAYOUTS[CONVERSION_TARGET]).astype(np.float32)
        for at, pose in enumerate(poses[:count]):
            confidence = pose[:, 2:] if pose.shape[1] > 2 else np.ones((MPII_16.joint_count, 1), np.float32)
            seen.poses[at] = np.concatenate([pose[:, :2] * scale, confidence], axis=1)
    return seen, count, read


def _runtime(settings: Settings, bundle: Bundle) -> "closing[ModelRuntime]":
    streaming = settings.streamer
    return closing(
        open_runtime(streaming.runtime, bundle, providers=streaming.providers, threads=streaming.inference_threads)
    )


def _saliency(
    runtime: ModelRuntime, features: ClipFeatures, frames: int, settings: ExtractionSettings, console: Console
) -> FrameSaliency | None:
    """``None``, with the reason on ``console``, where no part of a frame can be hidden from the model."""
    read, _ = fitted(runtime.manifest, features)
    extractor = features.extractors.get(Modality.HOLISTIC)
    if Modality.HOLISTIC not in read or settings.extractors != SHIPPED:
        _say(console, "no saliency of frames: the model does not read features that extraction.frame_network gives")
        return None
    network = Features(_model(settings.frame_network, settings))
    if network.extractor != extractor:
        _say(console, f"no saliency of frames: the features are by {extractor}, not by {network.extractor}")
        return None
    return FrameSaliency(runtime, network, read, frames / FRAME_RATE_HZ)


def _explained(runtime: ModelRuntime, features: ClipFeatures, frames: int, console: Console) -> Explanation | None:
    with working("Scoring"):
        explanation = explain(runtime, features, frames / FRAME_RATE_HZ)
    if explanation is None:
        _say(console, "not scored: the model reads none of the clip's streams")
        return None
    _say(console, f"score {explanation.fused:.4f} by {runtime.manifest.generation}, {runtime.manifest.training_data}")
    for modality, score in explanation.scores.items():
        _say(console, f"  {modality}: {score:.4f}, attention {explanation.attention[modality]:.1%}")
    for reason in explanation.left_out:
        _say(console, f"  without {reason}")
    distance = explanation.training_distance
    if distance is not None and distance > 1:
        times = f"{distance:.3g} times as far from what the model learned from as is usual"
        _say(console, f"  not to be trusted: the clip is {times}")
    return explanation


def _say(console: Console, line: str) -> None:
    console.print(line, markup=False, highlight=False, soft_wrap=True)
