"""Benchmarks of the extraction from videos."""
