"""``produce``: send a folder of clips as uploads."""

from contextlib import closing
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import track

from dancerank.commands.options import Config
from dancerank.processes import Processes
from dancerank.settings import load_settings
from dancerank.terminal import Console
from dancerank.topics import create_topics
from dancerank.uploads import send_clips
from schemas.clock import SystemClock
from transport.kafka_sink import KafkaSink
from vdv.folder import open_data_set
from vdv.uploads import read_uploads


def produce(
    folder: Annotated[Path, typer.Argument(help="Folder with clips.csv and the feature files that it names.")],
    inline: Annotated[bool, typer.Option("--inline", help="Carry the features in the event, not by URI.")] = False,
    config: Config = None,
) -> None:
    """Send a folder of clips to the uploads topic.

    clips.csv has the columns clip_id, dancer_id, challenge_id, duration_s, features and, optionally, uploaded_at_ms.
    The streamer reads the feature files where they lie, so the folder has to be within its feature_roots (or use
    --inline).
    """
    settings = load_settings(config)
    console = Console(stderr=True)
    data = open_data_set(folder)
    connection = Processes(settings).connection
    create_topics(settings, connection)
    with closing(KafkaSink(connection)) as sink:
        uploads = read_uploads(data, now_ms=SystemClock().now_ms(), inline=inline)
        topic = settings.streamer.uploads_topic
        send_clips(
            sink, topic, track(uploads, "Sending", len(data), console=console), settings.streamer.flush_timeout_s
        )
    console.print(f"{len(data)} uploads are on {topic}", markup=False)
