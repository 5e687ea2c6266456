"""Answering questions: the service, the replicas that serve, and HTTP."""
