"""Scored clips in, answers out: the SQL view, the vector view, rankings, similarity search and the HTTP API."""
