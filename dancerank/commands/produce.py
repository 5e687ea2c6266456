"""``produce``: send a folder of clips as uploads."""

from contextlib import closing
from pathlib import Path
from typing import Annotated

import typer

from dancerank.commands.options import Config
from dancerank.processes import Processes
from dancerank.progress import counted, working
from dancerank.settings import load_settings
from dancerank.terminal import Console
from dancerank.topics import create_topics
from dancerank.upload_checks import UPLOADS_KEY, check_roots, unread
from dancerank.uploads import send_clips
from schemas.clock import SystemClock
from transport.kafka_sink import KafkaSink
from vdv.folder import open_data_set
from vdv.uploads import check_uploads, read_uploads


def produce(
    folder: Annotated[Path, typer.Argument(help="Folder with clips.csv and the feature files that it names.")],
    inline: Annotated[bool, typer.Option("--inline", help="Carry the features in the event, not by URI.")] = False,
    config: Config = None,
) -> None:
    """Send a folder of clips to the uploads topic.

    clips.csv has the columns clip_id, dancer_id, challenge_id, duration_s, features and, optionally, uploaded_at_ms.
    The streamer reads the feature files where they lie, so the folder has to be within its feature_roots (or use
    --inline). Nothing is sent unless every row can be.
    """
    settings = load_settings(config)
    console = Console(stderr=True)
    data, now_ms = open_data_set(folder), SystemClock().now_ms()
    if not inline:
        check_roots(data, settings.streamer.feature_roots)
    check_uploads(data, now_ms=now_ms)
    connection, topic = Processes(settings).connection, settings.streamer.uploads_topic
    with working(f"asking Kafka at {connection}"):
        created = create_topics(settings, connection)
    with closing(KafkaSink(connection)) as sink:
        uploads = read_uploads(data, now_ms=now_ms, inline=inline)
        with closing(counted(uploads, "Sending", len(data))) as shown:
            send_clips(sink, topic, shown, settings.streamer.flush_timeout_s)
    console.print(f"{len(data)} uploads are on {topic}", markup=False)
    if topic in created:
        console.print(f"{topic} was absent and has been created; if streamers read another, correct {UPLOADS_KEY}")
    if (warning := unread(connection, topic, settings.kafka.streamer_group)) is not None:
        console.print(warning, markup=False, soft_wrap=True)
