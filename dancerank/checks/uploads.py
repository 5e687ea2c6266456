"""Whether uploads that are about to be sent, or were, will find their features and a reader."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from schemas.errors import ConfigurationError, FeatureFileForbidden, KafkaRefused, TransportError
from streamer.roots import FeatureRoots
from transport.connection import KafkaConnection
from transport.group_offsets import members_of

UPLOADS_KEY: Final = "streamer.uploads_topic"
EXTRACTOR_KEY: Final = "streamer.extractor"
ROOTS_KEY: Final = "streamer.feature_roots"


def check_roots(
    uris: Sequence[str], what: str, folder: Path, feature_roots: Sequence[str], *, remedy: str = ""
) -> None:
    """Make sure that streamers with these roots read the files of ``folder``, before uploads name them.

    ``what``: what the files are. Raises ``ConfigurationError`` with the root to add, or to use instead; ``remedy``:
    what else helps.
    """
    roots = FeatureRoots(feature_roots)
    outside: list[str] = []
    for uri in uris:
        try:
            roots.resolve(uri)
        except FeatureFileForbidden:
            outside.append(uri)
    if outside:
        named = ", ".join(feature_roots) or "none"
        raise ConfigurationError(
            f"{len(outside)} of {len(uris)} {what} lie outside {ROOTS_KEY} ({named}), so the streamer would "
            f"refuse them; the first is {outside[0]}. Nothing was sent. Add {folder.resolve().as_uri()} to "
            f"{ROOTS_KEY}, in the settings of the streamers too, or move the folder below a root{remedy}",
            field=ROOTS_KEY,
        )


def unread(connection: KafkaConnection, topic: str, group: str) -> str | None:
    """Why no member of the streamers' ``group`` reads ``topic`` at present; ``None`` if one does."""
    try:
        members = members_of(connection, group)
    except (TransportError, KafkaRefused) as error:
        return f"whether a streamer reads {topic} cannot be seen: {error}"
    if not members:
        return f"no streamer reads {topic} now, for group {group} has no member: start dancerank stream"
    if not any(at.topic == topic for member in members for at in member.partitions):
        return (
            f"no streamer reads {topic} now, for the members of group {group} hold no partition of it: compare "
            f"{UPLOADS_KEY} with their settings"
        )
    return None
