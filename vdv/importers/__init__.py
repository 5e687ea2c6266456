"""Importers of third-party data sets, one format per module."""
