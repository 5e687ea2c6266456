import re

import msgspec
import pytest

from schemas.codec import encode_json
from schemas.events import EVENT_TYPES, ClipDeleted
from schemas.json_schema import FOLDER, schema_files, write


def test_the_files_in_the_project_are_current() -> None:
    found = {path.name: path.read_bytes() for path in FOLDER.iterdir()}
    assert found == schema_files(), "run python -m schemas.json_schema"


def test_every_event_has_a_file_named_after_it_and_its_version() -> None:
    assert len(schema_files()) == len(EVENT_TYPES)
    assert all(re.fullmatch(r"[a-z-]+\.\d+\.schema\.json", name) for name in schema_files())


def test_writing_again_changes_nothing(tmp_path) -> None:  # type: ignore[no-untyped-def]
    write(tmp_path)
    write(tmp_path)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == schema_files()


@pytest.mark.parametrize("name", schema_files())
def test_a_schema_refuses_unknown_fields_and_names_its_version(name: str) -> None:
    schema = msgspec.json.decode(schema_files()[name])
    event = schema["$defs"][schema["$ref"].rpartition("/")[2]]
    stem, version = name.split(".")[:2]
    assert event["properties"]["schema"]["enum"] == [f"{stem}/{version}"]
    assert event["additionalProperties"] is False


def test_the_required_fields_are_those_that_the_codec_requires() -> None:
    schema = msgspec.json.decode(schema_files()["clip-deleted.1.schema.json"])["$defs"]["ClipDeleted"]
    fields = msgspec.json.decode(encode_json(ClipDeleted(clip_id="a", reason="b")))
    assert set(fields) == set(schema["properties"]) == set(schema["required"])
