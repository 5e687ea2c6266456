"""Records in and out: Kafka, an in-memory broker for tests, and an embedded broker for a first run."""
