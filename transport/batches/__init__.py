"""Record batches as they lie in Kafka's protocol, for records that the client cannot read."""
