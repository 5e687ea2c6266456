"""Policies of the traffic pools: those in files, and the example with four tiers that ships beside this module."""

from importlib.resources import files
from pathlib import Path

from ranking.pools.policy import Policy
from ranking.pools.policy_file import parse_policy
from schemas.errors import ConfigurationError
from schemas.local_files import read_text


def shipped_policy() -> Path:
    """The example with four tiers inside this package."""
    return Path(str(files("dancerank.policies") / "four-tiers.toml"))


def read_policy(path: Path) -> Policy:
    """Raises ``ConfigurationError`` if the file cannot be read, or ``PolicyError`` naming the line that is wrong."""
    try:
        text = read_text(path)
    except OSError as error:
        raise ConfigurationError(
            f"{path} cannot be read ({error.strerror}); name a TOML file with a policy", field="policy"
        ) from error
    return parse_policy(text, str(path))
