"""Networks learn from data sets: what the commands that train do."""
