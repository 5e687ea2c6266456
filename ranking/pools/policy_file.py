"""Policies in TOML. What is refused is named with its line, its key and the remedy."""

import re
import tomllib
from typing import Any, Final, get_args

import msgspec

from ranking.pools.policy import Caps, Exploration, Nomination, Policy, PolicyError, Tier
from ranking.pools.toml_places import Place, dotted, line_of
from schemas.decoder_messages import of_msgspec
from schemas.escaping import shortened
from schemas.modalities import DIMENSIONS
from schemas.toml_documents import parse_toml

_MAX_QUOTED: Final = 80
_MAX_PROBLEM: Final = 1024
_STEPS: Final = re.compile(r"\.(\w+)|\[(\d+)\]")
_PARTS: Final[dict[str, type[msgspec.Struct]]] = {
    "tiers": Tier,
    "nomination": Nomination,
    "exploration": Exploration,
    "caps": Caps,
}


def parse_policy(text: str, name: str) -> Policy:
    """The policy in the TOML document ``text``; ``name`` is what messages call it, as a rule its path.

    Raises ``PolicyError`` for an unknown or missing key, a value of a wrong type or out of range, and parts that
    contradict each other, and for a document that is not TOML.
    """
    try:
        content = parse_toml(text)
    except tomllib.TOMLDecodeError as error:
        raise _not_toml(text, name, str(error)) from error
    try:
        return msgspec.convert(content, Policy)
    except PolicyError as error:
        place, problem = error.place, error.message
    except msgspec.ValidationError as error:
        place, problem = _explained(content, str(error))
    where = shortened(dotted(place), _MAX_QUOTED)
    raise PolicyError(f"{name}, line {line_of(text, place)}: {where}: {shortened(problem, _MAX_PROBLEM)}", place)


def _not_toml(text: str, name: str, message: str) -> PolicyError:
    parts = re.fullmatch(r"(.*) \(at line (\d+), column (\d+)\)", message, re.DOTALL)
    problem, line = (parts[1], int(parts[2])) if parts else (message, len(text.splitlines()) or 1)
    lines = text.splitlines()
    found = lines[line - 1].strip() if line <= len(lines) else ""
    return PolicyError(
        f"{name}, line {line}: not valid TOML: {shortened(problem)}, at {_quoted(found)}; correct that line", ()
    )


def _explained(content: dict[str, Any], message: str) -> tuple[Place, str]:
    """Place and remedy, from a message of msgspec: "Expected … - at `$.tiers[2].gate`"."""
    problem, _, where = message.partition(" - at ")
    place: Place = tuple(key or int(index) for key, index in _STEPS.findall(where.split("$", 1)[-1].strip("`")))
    named = re.search(r"`(\w+)`$", problem)
    if problem.startswith("Object contains unknown field") and named:
        return (*place, named[1]), f"there is no such key; allowed: {', '.join(_part(place).__struct_fields__)}"
    if problem.startswith("Object missing required field") and named:
        return (*place, named[1]), "missing; give it a value"
    if place == ("nomination", "thresholds"):
        return _threshold(content, place, problem)
    return place, _refused(_at(content, place), problem) + _hint(place, problem)


def _refused(value: Any, problem: str) -> str:
    shown = "a table" if isinstance(value, dict) else "an array" if isinstance(value, list) else _quoted(value)
    words = of_msgspec(problem)
    words = words[:1].lower() + words[1:].replace("`", "").replace("object", "table")
    return f"{shown} is refused: {words}"


def _quoted(value: Any) -> str:
    return shortened(repr(value), _MAX_QUOTED)


def _hint(place: Place, problem: str) -> str:
    if place == ("tiers",):
        return "; head each tier with [[tiers]]"
    if problem.startswith("Invalid enum value"):
        kind = next(field.type for field in msgspec.structs.fields(_part(place)) if field.name == place[-1])
        return f"; allowed: {', '.join(get_args(kind))}"
    return ""


def _threshold(content: dict[str, Any], place: Place, problem: str) -> tuple[Place, str]:
    """Which of the thresholds is meant; msgspec does not say."""
    thresholds = _at(content, place)
    if not isinstance(thresholds, dict):
        return place, _refused(thresholds, problem)
    for key, value in thresholds.items():
        if key not in tuple(DIMENSIONS):
            return (*place, key), f"there is no such modality; allowed: {', '.join(DIMENSIONS)}"
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 100:
            return (*place, key), f"{_quoted(value)} is refused: expected a percentile, from 0 to less than 100"
    return place, problem


def _part(place: Place) -> type[msgspec.Struct]:
    return _PARTS.get(str(place[0]), Policy) if place else Policy


def _at(content: Any, place: Place) -> Any:
    for step in place:
        content = content[step]
    return content
