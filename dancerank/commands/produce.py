"""``produce``: send a folder of clips as uploads, of feature files or of videos."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import Annotated

import typer

from dancerank.checks.uploads import EXTRACTOR_KEY, UPLOADS_KEY, check_roots, unread
from dancerank.commands.options import Config
from dancerank.console.progress import counted, working
from dancerank.console.terminal import Console
from dancerank.processes import Processes
from dancerank.settings import Settings, load_settings
from dancerank.topics import create_topics
from dancerank.uploads import send_clips
from dancerank.videos.folders import Video, holds_videos, passed_over, videos_of
from dancerank.videos.uploads import Owner, owner_of, read_video_uploads
from extraction.decoding.video import require_decoder
from schemas.clock import SystemClock
from schemas.errors import ConfigurationError, FeatureError
from schemas.events import UploadEvent
from schemas.local_files import is_folder
from transport.kafka_sink import KafkaSink
from vdv.errors import DataSetError
from vdv.folder import DataSet, open_data_set
from vdv.uploads import check_uploads, read_uploads


def produce(
    folder: Annotated[
        Path,
        typer.Argument(help="Folder with clips.csv and the feature files that it names, folder of videos, or video."),
    ],
    inline: Annotated[bool, typer.Option("--inline", help="Carry the features in the event, not by URI.")] = False,
    dancer: Annotated[str | None, typer.Option(help="Dancer of all videos of a folder without clips.csv.")] = None,
    challenge: Annotated[
        str | None, typer.Option(help="Challenge of all videos of a folder without clips.csv.")
    ] = None,
    config: Config = None,
) -> None:
    """Send a folder of clips to the uploads topic.

    clips.csv has the columns clip_id, dancer_id, challenge_id, duration_s, features and, optionally, uploaded_at_ms.
    Without the column features its rows are videos: the column video names the file, else it is called as the clip
    (clip-1.mp4), and duration_s may be left out. A folder of videos without clips.csv needs --dancer and --challenge;
    each clip is called as its file. The streamer reads the files where they lie, so the folder has to be within its
    feature_roots (or, of features, use --inline). Nothing is sent unless every row can be.
    """
    settings = load_settings(config)
    console = Console(stderr=True)
    now_ms = SystemClock().now_ms()
    of_videos = holds_videos(folder)
    if of_videos:
        if inline:
            raise ConfigurationError(f"{folder} holds videos, which no event can carry; leave out --inline")
        videos = videos_of([folder])
        count = len(videos)
        uploads = _of_videos(folder, videos, settings, owner_of(videos, dancer, challenge), now_ms)
    else:
        if dancer is not None or challenge is not None:
            raise ConfigurationError(
                f"{folder} holds no videos; leave out --dancer and --challenge, which are for videos without a table"
            )
        data = open_data_set(folder)
        count = len(data)
        uploads = _of_features(data, settings, now_ms, inline=inline)
    connection, topic = Processes(settings).connection, settings.streamer.uploads_topic
    with working(f"asking Kafka at {connection}"):
        created = create_topics(settings, connection)
    with closing(KafkaSink(connection)) as sink, closing(counted(uploads, "Sending", count)) as shown:
        send_clips(sink, topic, shown, settings.streamer.flush_timeout_s)
    console.print(f"{count} uploads are on {topic}", markup=False)
    for line in passed_over(folder) if of_videos else ():
        console.print(line, markup=False, highlight=False, soft_wrap=True)
    if topic in created:
        console.print(f"{topic} was absent and has been created; if streamers read another, correct {UPLOADS_KEY}")
    if (warning := unread(connection, topic, settings.kafka.streamer_group)) is not None:
        console.print(warning, markup=False, soft_wrap=True)
    if of_videos and not settings.streamer.extractor:
        console.print(
            f'{EXTRACTOR_KEY} is empty in these settings; a streamer with them refuses videos: set it to "videos"',
            markup=False,
            soft_wrap=True,
        )


def _of_features(data: DataSet, settings: Settings, now_ms: int, *, inline: bool) -> Iterable[UploadEvent]:
    """The uploads of a data set, once it is known that all can be sent."""
    if not len(data):
        raise DataSetError(f"{data.table} names no clip; give it a row for each feature file")
    if not inline:
        remedy = ", or use --inline"
        check_roots(list(_uris(data)), "feature files", data.folder, settings.streamer.feature_roots, remedy=remedy)
    check_uploads(data, now_ms=now_ms)
    return read_uploads(data, now_ms=now_ms, inline=inline)


def _uris(data: DataSet) -> Iterator[str]:
    for annotation in data.annotations:
        with suppress(FeatureError):  # a finding of the table
            yield data.path(annotation).as_uri()


def _of_videos(
    folder: Path, videos: Sequence[Video], settings: Settings, owner: Owner | None, now_ms: int
) -> Iterable[UploadEvent]:
    """The uploads of videos, once it is known that each can be decoded."""
    require_decoder()
    uris = [video.path.resolve().as_uri() for video in videos if video.problem is None]
    check_roots(uris, "videos", folder if is_folder(folder) else folder.parent, settings.streamer.feature_roots)
    with closing(counted(videos, "Reading videos", len(videos))) as shown:
        return read_video_uploads(shown, owner, folder, settings.extraction, now_ms=now_ms)
