"""Guidance of one clip on the command line: where it is, what the model says, and pictures over its video."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from itertools import chain, repeat
from pathlib import Path
from typing import Final, NamedTuple
from urllib.parse import unquote, urlsplit

import numpy as np
import numpy.typing as npt

from dancerank.console.progress import steps, working
from dancerank.feedback.guidance_pictures import frames_picture, moving_picture
from dancerank.settings import Settings
from dancerank.videos.folders import SUFFIXES
from extraction.decoding.content import open_path
from extraction.decoding.video import DecodedVideo, DecoderLimits
from extraction.one_pass import extract
from extraction.selection import open_extractors
from schemas.bundle import Bundle, BundleManifest
from schemas.errors import FeatureFileMissing, NoUsableModality, SkeletonMissing
from schemas.events import FeatureSource, InlineFeatures, VideoFile
from schemas.features import ClipFeatures, encode_features
from schemas.local_files import is_file, read_file
from schemas.modalities import Modality
from schemas.picture_formats import PictureFormat
from schemas.questions.feedback import FeaturesKept, GuidedScore
from streamer.assembly import guide_beside
from streamer.guidance.clip_guidance import Guidance
from streamer.guidance.critical import CriticalFrame
from streamer.loading import FeatureLoader
from streamer.roots import FeatureRoots
from streamer.runtimes.selection import open_runtime
from streamer.stores import FeatureStore

Image = npt.NDArray[np.uint8]


class FoundClip(NamedTuple):
    """A clip, where its features can be read, its video on this machine, if it has one, and its length, if known."""

    name: str
    source: FeatureSource
    video: Path | None = None
    duration_s: float | None = None


def clip_of_file(path: Path, settings: Settings) -> FoundClip:
    """The features in a file, or taken from a video. Raises ``FeatureFileMissing``, and what extraction raises."""
    if path.suffix.lower() not in SUFFIXES:
        try:
            return FoundClip(path.name, InlineFeatures(read_file(path)))
        except OSError as error:
            raise FeatureFileMissing(f"{path}: cannot be read ({error.strerror}); name a feature file") from error
    return FoundClip(path.name, InlineFeatures(encode_features(_extracted(path, settings))), path)


def clip_of_source(clip_id: str, kept: FeaturesKept, settings: Settings) -> FoundClip:
    """A clip that was uploaded, by what the database keeps."""
    video = _local(kept.source) if isinstance(kept.source, VideoFile) else None
    if video is None or not is_file(video):
        return FoundClip(clip_id, kept.source, duration_s=kept.duration_s)
    features = InlineFeatures(encode_features(_extracted(video, settings)))
    return FoundClip(clip_id, features, video, kept.duration_s)


def guidance_of(clip: FoundClip, bundle: Bundle, settings: Settings, of: GuidedScore, smoothing: str) -> Guidance:
    """Raises ``GuidanceUnavailable`` for a bundle without gradient graphs, ``SkeletonMissing``, and what reading
    raises.
    """
    streamer = settings.streamer
    with closing(
        open_runtime(streamer.runtime, bundle, providers=streamer.providers, threads=streamer.inference_threads)
    ) as runtime:
        guide = guide_beside(runtime, bundle, streamer)
        features = _read(clip, bundle.manifest, settings, of)
        with working("computing guidance"):
            return guide.guidance(features, of=of, smoothing=smoothing)


def picture_of(
    clip: FoundClip, guidance: Guidance, critical: list[CriticalFrame], format: PictureFormat, settings: Settings
) -> bytes:
    """Over the video, where there is one."""
    title = f"{clip.name}: what would raise the {guidance.of} score"
    with working("drawing"):
        if format is PictureFormat.PNG or format is PictureFormat.SVG:
            if clip.video is None:
                return frames_picture(guidance, critical, format, title)
            with _decoded(clip.video, settings) as (images, scale):
                wanted = {each.frame for each in critical}
                seen = {at: image for at, image in enumerate(images) if at in wanted}
            return frames_picture(guidance, critical, format, title, seen, scale)
        if clip.video is None:
            return moving_picture(guidance, critical, format, title)
        with _decoded(clip.video, settings) as (images, scale):
            shown = chain(images, repeat(_BLACK))  # the last frames may not be decoded
            return moving_picture(guidance, critical, format, title, shown, scale)


_BLACK: Final[Image] = np.zeros((2, 2, 3), np.uint8)


def _read(clip: FoundClip, manifest: BundleManifest, settings: Settings, of: GuidedScore) -> ClipFeatures:
    streamer = settings.streamer
    store = FeatureStore(
        FeatureRoots(streamer.feature_roots),
        max_bytes=streamer.max_feature_bytes,
        patience_s=streamer.store_patience_s,
        options=streamer.store_options,
    )
    loader = FeatureLoader(store, manifest, max_bytes=streamer.max_feature_bytes)
    try:
        only = (Modality.SKELETAL,) if of == "skeletal" else None
        return loader.read(clip.source, clip.duration_s, prefix=f"{clip.name}, ", only=only)
    except NoUsableModality as error:
        raise SkeletonMissing(
            f"{error.message}; guidance moves the joints of a skeleton", field=Modality.SKELETAL
        ) from error


def _extracted(video: Path, settings: Settings) -> ClipFeatures:
    limits = DecoderLimits.of(settings.extraction)
    with open_path(video, max_bytes=settings.extraction.max_video_bytes) as content:
        with working("loading the extractors"):
            extractors = open_extractors(settings.extraction)
        with steps() as on_progress:
            on_progress("Extracting", 0, 0)
            return extract(
                content, extractors, limits, progress=lambda done, total: on_progress("Extracting", done, total)
            ).features


@contextmanager
def _decoded(path: Path, settings: Settings) -> Iterator[tuple[Iterator[Image], float]]:
    """The frames of a video, and their pixels per pixel of its source."""
    with (
        open_path(path, max_bytes=settings.extraction.max_video_bytes) as content,
        DecodedVideo(content, DecoderLimits.of(settings.extraction)) as video,
    ):
        yield (frame.image for batch in video.batches() for frame in batch), video.properties.scale


def _local(source: VideoFile) -> Path | None:
    parts = urlsplit(source.uri)
    return Path(unquote(parts.path)) if parts.scheme == "file" else None
