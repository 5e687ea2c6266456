"""``python -m dancerank``: the command without its script."""

from dancerank_installation import run_command

run_command()
