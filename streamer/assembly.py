"""A streamer, or its scorer alone, from settings and a bundle."""

import threading

from schemas.bundle import Bundle
from schemas.clock import Clock, SystemClock
from schemas.observation import Observer
from streamer.loading import FeatureLoader
from streamer.pipeline import OpenSink, OpenSource, Streamer
from streamer.prefetch import Prefetcher
from streamer.roots import FeatureRoots
from streamer.scoring import Scorer
from streamer.sessions import BundleSessions
from streamer.settings import StreamerSettings
from streamer.stores import FeatureStore


def open_scorer(
    bundle: Bundle,
    settings: StreamerSettings | None = None,
    *,
    observer: Observer | None = None,
    clock: Clock | None = None,
) -> Scorer:
    """A scorer of batches of clips, without Kafka; of ``settings`` it uses ``providers`` and ``inference_threads``.

    Raises ``ConfigurationError`` for a provider that cannot work here, ``BundleError`` for a bundle that does not hold
    what it promises.
    """
    settings, observer = settings or StreamerSettings(), observer or Observer()
    sessions = BundleSessions(
        bundle, providers=settings.providers, threads=settings.inference_threads, observer=observer
    )
    return Scorer(sessions, observer=observer, clock=clock)


def open_streamer(
    settings: StreamerSettings,
    bundle: Bundle,
    *,
    open_source: OpenSource,
    open_sink: OpenSink,
    observer: Observer | None = None,
    clock: Clock | None = None,
) -> Streamer:
    """A streamer that is ready to ``run``.

    Raises ``ConfigurationError`` for a root or provider that cannot work here, ``BundleError`` for a bundle that does
    not hold what it promises, and what ``open_sink`` and ``open_source`` raise, which are called last.
    """
    observer, clock = observer or Observer(), clock or SystemClock()
    scorer = open_scorer(bundle, settings, observer=observer, clock=clock)
    abandoned = threading.Event()
    store = FeatureStore(
        FeatureRoots(settings.feature_roots),
        max_bytes=settings.max_feature_bytes,
        patience_s=settings.store_patience_s,
        options=settings.store_options,
        stopped=abandoned.is_set,
    )
    loader = FeatureLoader(store, bundle.manifest, max_bytes=settings.max_feature_bytes)
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
            scorer=scorer,
            observer=observer,
            clock=clock,
        )
    except BaseException:
        prefetcher.close()
        raise
