"""The events as JSON Schema files, for producers in other languages: ``python -m schemas.json_schema`` writes them.

What JSON Schema cannot say stays with the codec: finite scores, whole float16 values, no
modality both scored and missing.
"""

from pathlib import Path
from typing import Final

import msgspec

from schemas.events import EVENT_TYPES, Event

FOLDER: Final = Path(__file__).parent / "json"


def schema_files() -> dict[str, bytes]:
    """File name → content, one file per event: ``clip-uploaded.1.schema.json`` describes ``clip-uploaded/1``."""
    return {_file_name(event_type): _json_schema(event_type) for event_type in EVENT_TYPES}


def write(folder: Path = FOLDER) -> None:
    """Write every schema file into ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in schema_files().items():
        (folder / name).write_bytes(content)


def _file_name(event_type: type[Event]) -> str:
    name, version = str(event_type.__struct_config__.tag).split("/")
    return f"{name}.{version}.schema.json"


def _json_schema(event_type: type[Event]) -> bytes:
    schema = {"$schema": "https://json-schema.org/draft/2020-12/schema", **msgspec.json.schema(event_type)}
    return msgspec.json.format(msgspec.json.encode(schema), indent=2) + b"\n"


if __name__ == "__main__":
    write()
