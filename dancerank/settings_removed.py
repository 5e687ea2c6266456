"""Keys of older releases, and what to do with each: a settings file that names one is refused with the remedy."""

from types import MappingProxyType
from typing import Final

REMOVED: Final = MappingProxyType(
    {
        "server.metrics_port": "use server.stream_metrics_port and server.rank_metrics_port, one for each process",
        "pools.deletions_topic": "move it to ranking.deletions_topic, which all views read",
        "ranking.generation": "remove it and choose the generation that answers with `dancerank generations use`",
    }
)
"""Dotted key → the remedy, as the end of a sentence. An entry stays for at least one minor release."""
