"""Scoring of clips that were never uploaded, in the process that serves."""
