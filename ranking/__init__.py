"""Scored clips in, answers out: the SQL view, the vector view, rankings, similarity search and the HTTP API."""

from dancerank_installation import require_own_packages

require_own_packages()
