"""Contracts between the parts: modalities, events, feature files, bundles, queries, ports and errors."""

from dancerank_installation import require_own_packages

require_own_packages()
