"""Exact and fast passes over arrays of features."""
