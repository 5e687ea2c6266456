"""Labelled clips on disk: the table, the virality score, splits, checks, statistics and importers. NumPy only."""

from dancerank_installation import require_own_packages

require_own_packages()
