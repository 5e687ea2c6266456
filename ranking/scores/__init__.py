"""The SQL view: rows of scored clips, rankings, and which model generation is active."""
