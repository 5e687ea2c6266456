"""Pictures and videos of what was extracted, for people to look at."""
