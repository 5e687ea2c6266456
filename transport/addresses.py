"""Addresses of brokers: ``host:port``, where a host is a name, an IPv4 address, or an IPv6 address in brackets."""

import re
from collections.abc import Sequence
from ipaddress import IPv6Address
from typing import Final

from schemas.errors import ConfigurationError
from schemas.escaping import shortened

_PARTS: Final = re.compile(r"(\[[^\[\]]*\]|[^\s\[\]:/@,;]+):([0-9]+)", re.ASCII)
_PORTS: Final = range(1, 65536)
_MOST_DIGITS: Final = 5
_SHOWN: Final = 80


def check_addresses(servers: Sequence[str]) -> None:
    """Raise ``ConfigurationError`` if there is none, or saying what is wrong with one and how it is written: Kafka's
    client would wait in vain for most, and take port 9092 for one that is absent.
    """
    if not servers:
        raise ConfigurationError("no Kafka server named; give at least one host:port", field="servers")
    for server in servers:
        _check(server)


def _check(text: str) -> None:
    found = _PARTS.fullmatch(text)
    if found is None:
        raise ConfigurationError(f"{_shown(text)} {_mistake(text)}", field="servers")
    host, port = found.groups()
    if len(port) > _MOST_DIGITS or int(port) not in _PORTS:
        raise ConfigurationError(f"{_shown(text)} has no port from 1 to 65535; write host:port", field="servers")
    if host.startswith("["):
        try:
            IPv6Address(host[1:-1])
        except ValueError:
            message = f"{_shown(text)} has no IPv6 address in its brackets; write one as in [::1]:9092"
            raise ConfigurationError(message, field="servers") from None


def _mistake(text: str) -> str:
    if not text.strip():
        return "is empty; write host:port"
    if "@" in text:
        return "is not an address; write host:port, and user and password under kafka.security and kafka.secrets"
    if "://" in text:
        return "has a scheme; write host:port, and the protocol under kafka.security.security_protocol"
    if "," in text or ";" in text:
        return 'names several brokers in one text; write ["one:9092", "two:9092"]'
    if text.count(":") > 1 and "[" not in text:
        return "is not an address; write host:port, and an IPv6 address in brackets, as in [::1]:9092"
    host, colon, port = text.strip().rpartition(":")
    if not colon or not port:
        return "has no port; write host:port"
    if not host:
        return "has no host; write host:port"
    return "is not an address; write host:port"


def _shown(text: str) -> str:
    """Without what stands before an ``@``, which may be a password."""
    before, at, after = text.rpartition("@")
    return repr(shortened(f"***@{after}" if at else before + after, _SHOWN))
