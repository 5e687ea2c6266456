"""A policy as the TOML document that gives it."""

import json
from typing import Any

import msgspec

from ranking.pools.policy import Policy


def policy_text(policy: Policy) -> str:
    """TOML that ``ranking.pools.policy_file.parse_policy`` reads as ``policy``."""
    content: dict[str, Any] = msgspec.to_builtins(policy)
    tiers = content.pop("tiers")
    tables = {name: content.pop(name) for name in ("nomination", "exploration", "caps")}
    thresholds = tables["nomination"].pop("thresholds")
    parts = [
        _lines(content),
        *("\n[[tiers]]\n" + _lines(tier) for tier in tiers),
        "\n[nomination]\n" + _lines(tables["nomination"]),
        "\n[nomination.thresholds]\n" + _lines(thresholds),
        "\n[exploration]\n" + _lines(tables["exploration"]),
        "\n[caps]\n" + _lines(tables["caps"]),
    ]
    return "".join(parts)


def _lines(values: dict[str, Any]) -> str:
    return "".join(f"{name} = {_value(value)}\n" for name, value in values.items() if value is not None)


def _value(value: str | float) -> str:
    """JSON's strings and numbers are TOML's too, but for DEL, which TOML wants escaped."""
    return json.dumps(value).replace("\x7f", "\\u007f")
