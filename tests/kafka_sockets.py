"""kafka-python drops sockets without closing them: those of connections that fail, and those that are being made or
have data to send when their client closes.

CPython closes each at once or with the next garbage collection, and warns of it in whichever test runs then, where
warnings are errors. So the client's sockets close themselves here, and a warning is always of a socket of ours.
"""

import socket
import ssl
from typing import Any

from kafka.net.inet import KafkaNetSocket
from kafka.net.transport import KafkaSSLTransport


class _ClosedWhenDropped(socket.socket):
    def __del__(self) -> None:
        self.close()


class _SslClosedWhenDropped(ssl.SSLSocket):
    def __del__(self) -> None:
        self.close()


def close_dropped_sockets() -> None:
    """Give every client of kafka-python in this process sockets that are closed when nothing refers to them."""
    context_of = KafkaSSLTransport._build_ssl_context

    def context_with_closed_sockets(config: dict[str, Any]) -> ssl.SSLContext:
        context = context_of(config)
        context.sslsocket_class = _SslClosedWhenDropped
        return context

    KafkaSSLTransport._build_ssl_context = staticmethod(context_with_closed_sockets)
    KafkaNetSocket.socket = lambda _, *kind: _ClosedWhenDropped(*kind)
