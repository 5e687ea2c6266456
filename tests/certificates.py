"""The certificates of authorities, which ``httpx.get`` reads for each request, also for one without TLS.

That takes 30 ms of a processor. A test that asks again and again until a process answers would take them from the
process that it waits for.
"""

from functools import cache

import httpx._transports.default as transport


def read_certificates_once() -> None:
    """Let httpx keep what it has read, for the life of this process."""
    transport.create_ssl_context = cache(transport.create_ssl_context)
