"""Clips, vectors, bundles and events that benchmarks run on."""
