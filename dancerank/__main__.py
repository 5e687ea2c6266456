"""``python -m dancerank``: the command without its script."""

from dancerank.cli import app

app()
