"""The version of the installed distribution, which ``pyproject.toml`` gives it; ``unknown`` if none is installed."""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("dancerank")
except PackageNotFoundError:
    __version__ = "unknown"
