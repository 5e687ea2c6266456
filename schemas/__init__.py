"""Contracts between the parts: modalities, events, feature files, bundles, queries, ports and errors."""
