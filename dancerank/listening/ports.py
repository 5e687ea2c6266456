"""Ports that a process listens on: taken early, and a port that cannot be had is an error that names its setting."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager

from dancerank.settings import ENV_PREFIX
from schemas.errors import ConfigurationError


@contextmanager
def bound(host: str, port: int, setting: str = "port", otherwise: str = "") -> Iterator[socket.socket]:
    """The port, taken but not answering yet. Raises ``ConfigurationError`` naming ``server.<setting>``.

    ``otherwise``: what else than another port may be set.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # asyncio sets TCP_NODELAY only on connections whose socket names its protocol. Without it, an answer of two writes
    # waits 40 ms for the client's delayed acknowledgement.
    with socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP) as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            taken.bind((host, port))
        except OSError as error:
            raise _not_to_be_had(setting, host, port, error, otherwise) from error
        yield taken


def _not_to_be_had(setting: str, host: str, port: int, error: OSError, otherwise: str) -> ConfigurationError:
    return ConfigurationError(
        f"server.{setting} is {port}, which cannot be listened on at {host}: {error.strerror or error}; set another"
        f"{otherwise} (variable {ENV_PREFIX}SERVER__{setting.upper()}), or correct server.host",
        field=f"server.{setting}",
    )
