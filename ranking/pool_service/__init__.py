"""The traffic pools as a service: events from Kafka, books in SQL, decisions to Kafka, answers to questions."""
