"""Builds a streamer, or its scorer alone, from settings."""

import threading

from schemas.bundle import Bundle
from schemas.clock import Clock, SystemClock
from schemas.observation import Observer
from schemas.ports import FeatureExtractor, GradientRuntime, ModelRuntime
from schemas.unknown_modalities import UnknownModalities
from streamer.extractors.selection import open_extractor
from streamer.guidance.guide import Guide
from streamer.guiding import Guiding, onnx_gradients
from streamer.loading import FeatureLoader
from streamer.pipeline import OpenSink, OpenSource, Streamer
from streamer.prefetch import Prefetcher
from streamer.roots import FeatureRoots
from streamer.runtimes.selection import open_runtime
from streamer.runtimes.style_network import StyleNetwork, style_network
from streamer.scoring import Scorer
from streamer.settings import StreamerSettings
from streamer.stores import FeatureStore
from streamer.styles import StyleRecogniser
from streamer.tuning import Schedule, fixed_schedule


def open_scorer(
    bundle: Bundle,
    settings: StreamerSettings | None = None,
    *,
    observer: Observer | None = None,
    clock: Clock | None = None,
) -> Scorer:
    """A scorer of batches of clips, without Kafka. The settings ``runtime``, ``providers`` and ``inference_threads``
    apply.

    Raises ``ConfigurationError`` for a runtime or provider that is not available on this machine, and ``BundleError``
    for a bundle whose graphs are not what its manifest says.
    """
    settings = settings or StreamerSettings()
    runtime = open_runtime(settings.runtime, bundle, providers=settings.providers, threads=settings.inference_threads)
    recogniser = _recogniser(style_network(bundle), runtime, observer)
    return Scorer(runtime, recogniser=recogniser, observer=observer, clock=clock)


def open_guide(bundle: Bundle, settings: StreamerSettings | None = None) -> Guide:
    """A guide with runtimes of its own. Settings and errors as of ``open_scorer``; the gradient graphs run in ONNX
    Runtime whichever ``runtime`` is set, on the first of its providers that is available. Raises
    ``GuidanceUnavailable`` for a bundle without gradient graphs.
    """
    settings = settings or StreamerSettings()
    threads = settings.inference_threads
    runtime = open_runtime(settings.runtime, bundle, providers=settings.providers, threads=threads)
    return guide_beside(runtime, bundle, settings)


def guide_beside(runtime: ModelRuntime, bundle: Bundle, settings: StreamerSettings) -> Guide:
    """A guide that shares the ``runtime`` of ``bundle``, likewise."""
    return Guide(runtime, onnx_gradients(settings, bundle, settings.inference_threads))


def open_streamer(
    settings: StreamerSettings,
    runtime: ModelRuntime,
    *,
    open_source: OpenSource,
    open_sink: OpenSink,
    schedule: Schedule | None = None,
    styles: StyleNetwork | None = None,
    gradients: GradientRuntime | None = None,
    extractor: FeatureExtractor | None = None,
    moves_videos: bool = False,
    observer: Observer | None = None,
    clock: Clock | None = None,
) -> Streamer:
    """A streamer that is ready to ``run``.

    ``runtime`` runs the bundle to score with, by ``schedule`` or, without one, as the settings say; ``gradients`` runs
    its gradient graphs for ``guidance_share`` of the clips. The caller closes both after the streamer. ``styles`` is
    the bundle's style classifier. ``extractor``: by default the one that the settings name, without options.
    ``moves_videos``: whether uploads with a video go to ``settings.videos_topic`` instead of being extracted here.
    Raises ``ConfigurationError`` for a feature root that cannot be read, and what ``open_sink`` and ``open_source``
    raise, which are called last.
    """
    observer, clock = observer or Observer(), clock or SystemClock()
    schedule = schedule or fixed_schedule(settings)
    guiding = None
    if gradients is not None:
        guiding = Guiding(runtime, gradients, settings.guidance_share, observer=observer, clock=clock)
    abandoned = threading.Event()
    store = FeatureStore(
        FeatureRoots(settings.feature_roots),
        max_bytes=settings.max_feature_bytes,
        patience_s=settings.store_patience_s,
        options=settings.store_options,
        stopped=abandoned.is_set,
    )
    loader = FeatureLoader(
        store,
        runtime.manifest,
        max_bytes=settings.max_feature_bytes,
        extractor=None if moves_videos else extractor or open_extractor(settings.extractor),
        on_unknown_modality=UnknownModalities(observer),
    )
    prefetcher = Prefetcher(
        loader.load,
        threads=settings.loader_threads,
        max_clips=settings.max_in_flight_clips,
        max_bytes=settings.max_in_flight_bytes,
        clock=clock,
        abandoned=abandoned,
    )
    try:
        return Streamer(
            settings,
            open_source=open_source,
            open_sink=open_sink,
            prefetcher=prefetcher,
            scorer=Scorer(
                runtime,
                sizes=schedule.sizes,
                max_batch_steps=settings.max_batch_steps,
                recogniser=_recogniser(styles, runtime, observer),
                guiding=guiding,
                observer=observer,
                clock=clock,
            ),
            workers=schedule.workers,
            videos_topic=settings.videos_topic if moves_videos else None,
            observer=observer,
            clock=clock,
        )
    except BaseException:
        prefetcher.close()
        raise


def _recogniser(
    network: StyleNetwork | None, runtime: ModelRuntime, observer: Observer | None
) -> StyleRecogniser | None:
    layout = runtime.manifest.joint_layout
    if network is None or layout is None:
        return None
    return StyleRecogniser(network, layout, observer or Observer())
