"""Records in and out: Kafka, an in-memory broker for tests, and an embedded broker for a first run."""

from dancerank_installation import require_own_packages

require_own_packages()
