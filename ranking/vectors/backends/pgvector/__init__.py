"""Vectors in PostgreSQL, with the extension pgvector."""
