"""Limits on a process's database connections, and on the wait for a free one."""

from typing import Final

MOST_CONNECTIONS: Final = 10
"""Connections of one process by default: nine processes stay below PostgreSQL's default of 100."""

CONNECTION_WAIT_S: Final = 10.0
