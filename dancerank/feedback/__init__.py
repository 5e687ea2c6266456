"""Feedback about a clip's movement, in the process that serves and on the command line."""
