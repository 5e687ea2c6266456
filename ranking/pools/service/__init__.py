"""The traffic pools as a service: events from Kafka, state in SQL, decisions to Kafka, answers to questions."""
