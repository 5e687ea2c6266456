"""The streamer of ``benchmarks.gpu``: clips a second from feature files to results, without Kafka and with it."""

import tempfile
import threading
import time
from contextlib import closing
from pathlib import Path
from typing import Any, Final

from benchmarks.pipeline import Progress, make_uploads, repeated, send, settings_for, streaming
from schemas.bundle import read_bundle
from schemas.codec import encode
from schemas.ports import OutgoingRecord
from streamer.assembly import open_streamer
from streamer.settings import StreamerSettings
from streamer.tuning import open_tuned
from transport.kafka_sink import KafkaSink
from transport.memory import MemoryBroker, MemorySink, MemorySource, MemoryTransactionalSink
from transport.topics import TopicSpec

DISTINCT_FILES: Final = 16
_GROUP: Final = "streamer"


def without_kafka(bundle: Path, device: str, clips: int) -> float:
    """From records that lie in memory to scored clips there."""
    with tempfile.TemporaryDirectory() as folder:
        uploads = make_uploads(Path(folder), min(DISTINCT_FILES, clips))
        settings = StreamerSettings(feature_roots=(Path(folder).as_uri(),), **_choices(device))
        broker, progress = MemoryBroker(), Progress()
        topics = (settings.uploads_topic, settings.scored_topic, f"{settings.uploads_topic}.dead-letter")
        broker.ensure_topics(TopicSpec(name=name, partitions=4) for name in topics)
        sink = MemorySink(broker)
        for clip in repeated(uploads, clips):
            sink.send(OutgoingRecord(settings.uploads_topic, clip.clip_id.encode(), encode(clip)))
        sink.flush(10.0)
        tuned, stop = open_tuned(settings, read_bundle(bundle)), threading.Event()
        streamer = open_streamer(
            settings,
            tuned.runtime,
            open_source=lambda listener: MemorySource(
                broker, [settings.uploads_topic], group=_GROUP, listener=listener
            ),
            open_sink=lambda: MemoryTransactionalSink(broker),
            schedule=tuned.schedule,
            observer=progress,
        )
        thread = threading.Thread(target=streamer.run, args=(stop,))
        started_s = time.perf_counter()
        thread.start()
        while progress.written < clips and thread.is_alive():
            time.sleep(0.005)
        took_s = time.perf_counter() - started_s
        stop.set()
        thread.join()
        streamer.close()
        tuned.runtime.close()
    return clips / took_s


def with_kafka(bundle: Path, device: str, clips: int) -> float:
    """From records on the embedded Kafka to scored clips there."""
    from transport.embedded import EmbeddedBroker

    with tempfile.TemporaryDirectory() as folder, EmbeddedBroker() as connection:
        uploads, progress = make_uploads(Path(folder), min(DISTINCT_FILES, clips)), Progress()
        plain = settings_for(Path(folder))
        settings = plain.model_copy(update={"streamer": plain.streamer.model_copy(update=_choices(device))})
        with streaming(settings, connection, read_bundle(bundle), progress), closing(KafkaSink(connection)) as sink:
            started_s = time.perf_counter()
            send(sink, settings, repeated(uploads, clips))
            while progress.written < clips:
                time.sleep(0.005)
            return clips / (time.perf_counter() - started_s)


def _choices(device: str) -> dict[str, Any]:
    """A GPU alone where there is one; on the CPU, in small, nothing is measured first."""
    return {"providers": ("cuda",)} if device == "cuda" else {"providers": ("cpu",), "tuning_s": 0.0}
