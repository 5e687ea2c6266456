"""``dancerank produce`` on a real Kafka: what the streamer would refuse is reported before anything is sent."""

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from dancerank.cli import app
from dancerank.processes import Processes
from dancerank.settings import Settings, load_settings
from exporters.prometheus import PrometheusObserver
from schemas.bundle import sha256_hex
from schemas.codec import decode
from schemas.events import ClipScored, ClipUploadedV2, VideoFile
from streamer.roots import FeatureRoots
from tests.extraction.made_videos import steady, write_video
from tests.integration.scored_log import read_log
from tests.vdv.data_sets import annotation, clips, written
from tests.waiting import read, wait_until
from transport.connection import KafkaConnection
from transport.dead_letter import dead_letter_topic
from transport.group_offsets import partition_ends
from transport.kafka_source import KafkaSource
from transport.topics import TopicSpec, describe_topics, ensure_topics
from vdv.folder import write_data_set

pytestmark = [pytest.mark.kafka]


class Desk:
    """A settings file, and ``produce`` with it."""

    def __init__(self, folder: Path, connection: KafkaConnection, fresh_name: Callable[[str], str]) -> None:
        self.connection, self.topic = connection, fresh_name("uploads")
        self.root = folder / os.fsdecode(b"f\xe9atures #1")
        self.root.mkdir()
        self._config, self._group, self._scored = folder / "settings.toml", fresh_name("streamer"), fresh_name("scored")
        self.write()

    def write(self, **streamer: str) -> None:
        keys = {"uploads_topic": self.topic, "scored_topic": self._scored} | streamer
        self._config.write_text(
            f'[kafka]\nbootstrap_servers = ["{self.connection.servers[0]}"]\nstreamer_group = "{self._group}"\n'
            f'partitions = 2\n[streamer]\nfeature_roots = ["{self.root.as_uri()}"]\ncommit_interval_s = 0.2\n'
            + "".join(f'{key} = "{value}"\n' for key, value in keys.items())
        )

    def produce(self, folder: Path, *options: str) -> tuple[int, str]:
        done = CliRunner().invoke(app, ["produce", str(folder), *options, "--config", str(self._config)])
        return done.exit_code, done.output

    def sent(self) -> int:
        return sum(ends.end - ends.start for ends in partition_ends(self.connection, [self.topic]).values())

    @property
    def settings(self) -> Settings:
        return load_settings(self._config)

    @contextmanager
    def streaming(self) -> Iterator[PrometheusObserver]:
        observer, stop = PrometheusObserver(), threading.Event()
        processes = Processes(self.settings, observer=observer)
        processes.create_topics()
        with processes.runtime() as runtime, processes.streamer(runtime) as streamer:
            thread = threading.Thread(target=streamer.run, args=(stop,))
            thread.start()
            try:
                yield observer
            finally:
                stop.set()
                thread.join()


@pytest.fixture
def desk(tmp_path: Path, kafka_connection: KafkaConnection, fresh_name: Callable[[str], str]) -> Desk:
    return Desk(tmp_path, kafka_connection, fresh_name)


@pytest.mark.tried(
    kind="first steps that fail silently",
    given="produce of a folder outside feature_roots",
    outcome="exit 1 before anything is sent, with the root to add",
)
def test_a_folder_outside_the_roots_is_reported_before_anything_is_sent(desk: Desk, tmp_path: Path) -> None:
    folder = tmp_path / "elsewhere"
    written(folder, [annotation("a"), annotation("b")])
    code, output = desk.produce(folder)
    assert code == 1
    assert "2 of 2 feature files lie outside streamer.feature_roots" in output
    assert f"Add {folder.as_uri()} to streamer.feature_roots" in output
    assert "--inline" in output
    assert not describe_topics(desk.connection, [desk.topic])


@pytest.mark.tried(
    kind="first steps that fail silently",
    given="produce of a folder of which the last row has no file",
    outcome="exit 1 before anything is sent",
)
def test_a_row_that_cannot_be_sent_keeps_back_all_others(desk: Desk) -> None:
    data = written(desk.root, [annotation("a"), annotation("b"), annotation("c", uploaded_at_ms=1_700_000_000)])
    data.path(data.annotations[1]).unlink()
    os.mkfifo(data.path(data.annotations[1]))  # reading it would wait for its writer
    code, output = desk.produce(desk.root)
    assert code == 1
    assert "row 3, features: features/b.safetensors cannot be read (not a file)" in output
    assert "row 4: uploaded_at_ms is 1700000000, which looks like seconds" in output
    assert not describe_topics(desk.connection, [desk.topic])


@pytest.mark.tried(
    kind="first steps that fail silently",
    given="produce while no streamer runs, to a topic that does not exist",
    outcome="sent; says that the topic was created and that no streamer reads it",
)
def test_what_nobody_reads_yet_is_said(desk: Desk) -> None:
    written(desk.root, [annotation("a")])
    code, output = desk.produce(desk.root)
    assert (code, desk.sent()) == (0, 1)
    said = " ".join(output.split())
    assert f"{desk.topic} was absent and has been created" in said
    assert f"no streamer reads {desk.topic} now" in said
    assert "start dancerank stream" in said
    _, again = desk.produce(desk.root)
    assert "has been created" not in again


@pytest.mark.tried(
    kind="first steps that fail silently",
    given="produce to another topic than the streamers read",
    outcome="sent; says that the group holds no partition of the topic",
)
def test_another_topic_than_the_streamers_read_is_said(desk: Desk, fresh_name: Callable[[str], str]) -> None:
    written(desk.root, [annotation("a")])
    other = fresh_name("others")
    ensure_topics(desk.connection, [TopicSpec(name=other)])
    with desk.streaming():
        wait_until(lambda: "no streamer reads" not in desk.produce(desk.root)[1])
        desk.write(uploads_topic=other)
        _, output = desk.produce(desk.root)
        assert "hold no partition of it: compare streamer.uploads_topic" in " ".join(output.split())
        desk.write()


@pytest.mark.tried(
    kind="text where the system has bytes",
    given="produce of a folder whose name, and a file's, are Latin-1",
    outcome="scored, no dead letter",
)
def test_files_of_any_name_are_scored_and_none_is_dead_lettered(desk: Desk) -> None:
    data = write_data_set(desk.root, clips([annotation(f"c{n}") for n in range(3)]))
    (desk.root / "features/c0.safetensors").rename(desk.root / os.fsdecode(b"features/\xe9t\xe9 100%?.safetensors"))
    table = data.table.read_bytes().replace(b"features/c0.safetensors", b"features/\xe9t\xe9 100%?.safetensors")
    data.table.write_bytes(table)
    with desk.streaming():
        assert desk.produce(desk.root)[0] == 0
        log: list[ClipScored] = []

        def scored() -> bool:
            log[:] = read_log(desk.settings, desk.connection)
            return len(log) == 3

        wait_until(scored)
    assert {clip.clip_id for clip in log} == {"c0", "c1", "c2"}
    dead: Any = partition_ends(desk.connection, [dead_letter_topic(desk.topic)])
    assert sum(ends.end - ends.start for ends in dead.values()) == 0


def test_a_folder_of_videos_is_sent_as_uploads_that_name_them(desk: Desk) -> None:
    for name in ("a", "b"):
        write_video(desk.root / f"{name}.mp4", steady(3.2))
    code, output = desk.produce(desk.root, "--dancer", "ada", "--challenge", "waltz")
    assert code == 0
    said = " ".join(output.split())
    assert f"2 uploads are on {desk.topic}" in said
    assert (
        'streamer.extractor is empty in these settings; a streamer with them refuses videos: set it to "videos"' in said
    )
    with closing(KafkaSource(desk.connection, [desk.topic], group=None)) as source:
        events = [decode(record.value, ClipUploadedV2) for record in read(source, 2)]
    roots = FeatureRoots(desk.settings.streamer.feature_roots)
    found = {event.clip_id: event.features for event in events}
    for name in ("a", "b"):
        video = found[name]
        assert isinstance(video, VideoFile)
        content = Path(roots.resolve(video.uri).path).read_bytes()
        assert video.sha256 == sha256_hex(content)
