"""Live events: what is scored and decided now, for those who listen over HTTP."""
