"""The demonstration: the whole system in one process, on synthetic clips or recorded dances, and what it prints."""
