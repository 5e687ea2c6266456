"""The command: settings, the processes built from them, the demonstration and its synthetic clips."""

from dancerank_installation import installed_version, require_own_packages

require_own_packages()


def __getattr__(name: str) -> str:
    if name == "__version__":  # read from the distribution only when it is asked for
        return installed_version()
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
