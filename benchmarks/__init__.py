"""Measurements. Each module is a command that prints its table and writes it to ``out/``."""
