"""How many connections a process opens to its database, and how long it waits for one that is free."""

from typing import Final

MOST_CONNECTIONS: Final = 10
"""Connections of one process by default: nine processes stay below PostgreSQL's default of 100."""

CONNECTION_WAIT_S: Final = 10.0
