"""Pages from the settings themselves: the reference and a settings file with every key.

``python -m dancerank.reference.settings > docs/settings.md`` and
``python -m dancerank.reference.settings --example > deploy/dancerank.example.toml`` write them.
"""

import sys
import textwrap
from collections.abc import Iterator
from types import MappingProxyType
from typing import Any, Final

from pydantic import TypeAdapter

from dancerank.reference.pages import page, section
from dancerank.settings import ENV_PREFIX, Settings

_INTRODUCTION: Final = f"""\
Every process reads one settings object: from the TOML file that `--config` or `DANCERANK_CONFIG` names, and from
environment variables, which win. A group is a table in the file (`[kafka]`) and a part of the variable
(`{ENV_PREFIX}KAFKA__TIMEOUT_S=5`); lists and tables in variables are JSON. A wrong key stops the process with an error
that names it; a key of an older release names its replacement. `dancerank settings` shows the values that are used.
Two variables are not settings: `DANCERANK_CONFIG`, and `DANCERANK_DATA` (a folder of recordings for `dancerank demo`).
[dancerank.example.toml](../deploy/dancerank.example.toml) is a file with every key to start from."""
_EXAMPLE_INTRODUCTION: Final = """\
# Every key of dancerank's settings with its default. Remove the # before a key to set it; a key without a default
# shows an example. docs/settings.md holds the same as a table, with the environment variable of each.
# Generated: python -m dancerank.reference.settings --example > deploy/dancerank.example.toml
"""
_EXAMPLES: Final = MappingProxyType(
    {
        "bundle": "/srv/dancerank/bundle",
        "extraction.models_folder": "/srv/dancerank/extractors",
        "kafka.instance": "dancerank-0",
        "pools.policy": "/etc/dancerank/policy.toml",
        "server.api_keys": "/etc/dancerank/keys.json",
    }
)
"""Values of the keys that have no default."""
_WIDTH: Final = 120


def reference() -> str:
    """The whole page, in Markdown."""
    sections = _sections(TypeAdapter(Settings).json_schema())
    return page("Settings", _INTRODUCTION, "dancerank.reference.settings", sections)


def example() -> str:
    """A settings file in TOML with every key commented out; without the comment signs it can be loaded."""
    return _EXAMPLE_INTRODUCTION + "".join(_example_sections(TypeAdapter(Settings).json_schema()))


def _example_sections(schema: dict[str, Any]) -> Iterator[str]:
    plain, groups = _split(schema)
    yield "".join(_example_keys(plain, ""))
    for name, (description, fields) in groups.items():
        yield f"\n[{name}] # {description}\n" + "".join(_example_keys(fields, f"{name}."))


def _example_keys(fields: dict[str, Any], prefix: str) -> Iterator[str]:
    for name, field in fields.items():
        value = _EXAMPLES[prefix + name] if field.get("default") is None else field["default"]
        comment = " ".join(field["description"].split())
        lines = textwrap.wrap(comment, _WIDTH, initial_indent="# ", subsequent_indent="# ", break_on_hyphens=False)
        yield "\n" + "\n".join([*lines, f"#{name} = {_toml(value)}"]) + "\n"


def _split(schema: dict[str, Any]) -> tuple[dict[str, Any], dict[str, tuple[str, dict[str, Any]]]]:
    """The fields outside any table, and of each table the description and the fields."""
    properties = schema["properties"]
    plain = {name: field for name, field in properties.items() if "$ref" not in field}
    groups = {
        name: (field["description"], schema["$defs"][field["$ref"].rpartition("/")[2]]["properties"])
        for name, field in properties.items()
        if "$ref" in field
    }
    return plain, groups


def _sections(schema: dict[str, Any]) -> Iterator[str]:
    plain, groups = _split(schema)
    yield _table("Of the process", "Keys outside any table.", plain, "")
    for name, (description, fields) in groups.items():
        yield _table(f"`[{name}]`", description, fields, f"{name.upper()}__")


def _table(title: str, text: str, fields: dict[str, Any], prefix: str) -> str:
    rows = []
    for name, field in fields.items():
        default = "–" if field.get("default") is None else f"`{_toml(field['default'])}`"
        rows.append((f"`{name}`", default, field["description"], f"`{ENV_PREFIX}{prefix}{name.upper()}`"))
    return section(title, text, ("key", "default", "meaning", "variable"), rows)


def _toml(value: object) -> str:
    if isinstance(value, str):
        return f'"{value}"'
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_toml, value))}]"
    return str(value).lower() if isinstance(value, bool) else str(value)


if __name__ == "__main__":
    sys.stdout.write(example() if "--example" in sys.argv[1:] else reference())
