"""Labelled clips on disk: the table, the virality score, splits, checks, statistics and importers. NumPy only."""
