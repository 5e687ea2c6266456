"""``docs/settings.md`` from the settings themselves: ``python -m dancerank.settings_reference > docs/settings.md``."""

import sys
from collections.abc import Iterator
from typing import Any, Final

from pydantic import TypeAdapter

from dancerank.settings import ENV_PREFIX, Settings

_INTRODUCTION: Final = f"""# Settings

Every process reads one settings object: from the TOML file that `--config` or `DANCERANK_CONFIG` names, and from
environment variables, which win. A group is a table in the file (`[kafka]`) and a part of the variable
(`{ENV_PREFIX}KAFKA__TIMEOUT_S=5`); lists and tables in variables are JSON. A wrong key stops the process and names
itself. `dancerank settings` shows what is in force. Two variables are no settings: `DANCERANK_CONFIG`, and
`DANCERANK_DATA` (a folder of recordings for `dancerank demo`).

This page is generated: `python -m dancerank.settings_reference > docs/settings.md`.
"""


def reference() -> str:
    """The whole page, in Markdown."""
    schema = TypeAdapter(Settings).json_schema()
    return _INTRODUCTION + "".join(_sections(schema))


def _sections(schema: dict[str, Any]) -> Iterator[str]:
    plain = {name: field for name, field in schema["properties"].items() if "$ref" not in field}
    yield _table("Of the process", "Keys outside any table.", plain, "")
    for name, field in schema["properties"].items():
        if "$ref" in field:
            group = schema["$defs"][field["$ref"].rpartition("/")[2]]
            yield _table(f"`[{name}]`", field["description"], group["properties"], f"{name.upper()}__")


def _table(title: str, text: str, fields: dict[str, Any], prefix: str) -> str:
    rows = [f"\n## {title}\n\n{text}\n\n| key | default | meaning | variable |\n|---|---|---|---|\n"]
    for name, field in fields.items():
        meaning = " ".join(field["description"].split()).replace("|", "\\|")
        default = "–" if field.get("default") is None else f"`{_toml(field['default'])}`"
        rows.append(f"| `{name}` | {default} | {meaning} | `{ENV_PREFIX}{prefix}{name.upper()}` |\n")
    return "".join(rows)


def _toml(value: object) -> str:
    if isinstance(value, str):
        return f'"{value}"'
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_toml, value))}]"
    return str(value).lower() if isinstance(value, bool) else str(value)


if __name__ == "__main__":
    sys.stdout.write(reference())
