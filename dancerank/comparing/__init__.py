"""Comparisons of policies for those who ask a serving process, each in a process of its own."""

from dancerank.comparing.comparisons import Comparisons

__all__ = ["Comparisons"]
