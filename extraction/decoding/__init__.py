"""Videos to frames, in a process of its own."""
