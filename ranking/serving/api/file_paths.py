"""Paths whose body is a file: it may be larger, and take longer to arrive, than that of a question."""

from typing import Final

SCORE_FILE: Final = "/v1/score/file"
FILE_PATHS: Final = frozenset({SCORE_FILE})
