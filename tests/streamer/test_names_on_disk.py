"""Names on disk are bytes: each one is found again under the URI that carries its bytes."""

import os
import unicodedata
from pathlib import Path

import fsspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from schemas.errors import FeatureFileForbidden, FeatureFileMissing
from streamer.loading import unlimited
from streamer.roots import FeatureRoots
from streamer.stores import FeatureStore
from tests.vdv.data_sets import clips, labelled, write_rows
from vdv.folder import open_data_set, write_data_set
from vdv.uploads import read_uploads


def store(*roots: str) -> FeatureStore:
    return FeatureStore(FeatureRoots(roots), max_bytes=100_000, patience_s=5.0, options={})


def found(folder: Path, name: bytes) -> bytes:
    """What is read under the URI of ``folder/name``, once from the folder's root and once from that of its parent."""
    path = Path(os.fsdecode(os.fsencode(folder) + b"/" + name))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(name)
    uri = path.as_uri()
    assert uri.isascii()
    read = store(path.parent.as_uri()).read(uri, unlimited)
    assert store(folder.as_uri()).read(uri, unlimited) == read
    return read


NAMES = (
    pytest.param(b"caf\xe9.safetensors", marks=pytest.mark.tried(
        kind="text where the system has bytes", given="a feature file whose name is Latin-1", outcome="read")),
    pytest.param(b"tanz\xfc/a", marks=pytest.mark.tried(
        kind="text where the system has bytes", given="a folder whose name is Latin-1", outcome="read")),
    pytest.param(b"\x83\x5f\x83\x93\x83\x58", marks=pytest.mark.tried(
        kind="text where the system has bytes", given="a name in Shift-JIS", outcome="read")),
    pytest.param(b"\xff\xfe\x80", marks=pytest.mark.tried(
        kind="text where the system has bytes", given="a name that no encoding has", outcome="read")),
    pytest.param(b"\xed\xa0\x80", marks=pytest.mark.tried(
        kind="text where the system has bytes", given="a surrogate, encoded, in a name", outcome="read")),
    pytest.param(b"100%", marks=pytest.mark.tried(
        kind="text where the system has bytes", given="a percent sign in a name", outcome="read")),
    pytest.param(b"a%20b %E9", marks=pytest.mark.tried(
        kind="text where the system has bytes", given="a name that looks escaped", outcome="read")),
    pytest.param(b"a#b?c=d&e;f", marks=pytest.mark.tried(
        kind="text where the system has bytes", given="# and ? in a name", outcome="read")),
    pytest.param(b" two  spaces ", marks=pytest.mark.tried(
        kind="text where the system has bytes", given="spaces around a name", outcome="read")),
    pytest.param(b"line\nend\r\ttab", marks=pytest.mark.tried(
        kind="text where the system has bytes", given="line ends and tabs in a name", outcome="read")),
    b"..hidden..", b"[v6]", b"C:\\clip", b"a::b", b"~", b"-", "größe 舞 💃".encode(),
    unicodedata.normalize("NFC", "é").encode(), unicodedata.normalize("NFD", "é").encode(),
)  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_a_file_is_found_under_the_uri_of_its_bytes(feature_root: Path, name: bytes) -> None:
    assert found(feature_root, name) == name


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(name=st.binary(min_size=1, max_size=60).filter(lambda name: name not in (b".", b"..")))
def test_no_name_that_the_disk_takes_is_missing(feature_root: Path, name: bytes) -> None:
    name = name.replace(b"/", b"_").replace(b"\0", b"0")
    assert found(feature_root, name) == name


@pytest.mark.parametrize("raw", ["a b", "a\nb", "é", "caf\udce9", "a;b", "//a"])
def test_a_uri_that_leaves_characters_unescaped_names_the_same_file(feature_root: Path, raw: str) -> None:
    (feature_root / raw.lstrip("/")).write_bytes(b"here")
    assert store(feature_root.as_uri()).read(f"file://{feature_root}/{raw}", unlimited) == b"here"


def test_half_of_a_character_in_a_uri_is_refused(feature_root: Path) -> None:
    with pytest.raises(FeatureFileForbidden, match="half of a character; escape the bytes"):
        store(feature_root.as_uri()).check(f"{feature_root.as_uri()}/\ud83d")


@pytest.mark.tried(
    kind="text where the system has bytes",
    given="a URI with a composed é, the file's name has a decomposed one",
    outcome="missing; the error says which URI to write",
)
def test_a_missing_file_that_is_there_in_the_other_unicode_form_is_named(feature_root: Path) -> None:
    for there, asked in (("NFC", "NFD"), ("NFD", "NFC")):
        path = feature_root / unicodedata.normalize(there, f"é{there}")  # type: ignore[arg-type]
        path.write_bytes(b"")
        uri = (feature_root / unicodedata.normalize(asked, path.name)).as_uri()  # type: ignore[arg-type]
        with pytest.raises(FeatureFileMissing) as refused:
            store(feature_root.as_uri()).read(uri, unlimited)
        assert refused.value.message.endswith(f"the Unicode form {there}; write {path.as_uri()}")


@pytest.mark.tried(
    kind="text where the system has bytes",
    given="object keys a//b and a/./b beside a/b",
    outcome="three files",
)
def test_keys_of_an_object_store_are_literal() -> None:
    files = fsspec.filesystem("memory")
    for key in ("/clips/a/b", "/clips/a//b", "/clips/a/./b", "/clips/a%20b", "/clips/a b"):
        files.pipe_file(key, key.encode())
        assert store("memory://clips/").read(f"memory:/{key}", unlimited) == key.encode()
    files.store.clear()


@pytest.mark.tried(
    kind="text where the system has bytes",
    given="a data set in a folder, with files, that are not UTF-8",
    outcome="sent by URI and read",
)
def test_what_a_data_set_sends_is_found_whatever_its_names_are(feature_root: Path) -> None:
    folder = Path(os.fsdecode(os.fsencode(feature_root) + b"/t\xe4nze"))
    data = write_data_set(folder, clips(labelled(2)))
    (folder / "features/clip-0.safetensors").rename(folder / os.fsdecode(b"features/z\xfcrich #1.safetensors"))
    table = data.table.read_bytes().replace(b"features/clip-0.safetensors", b"features/z\xfcrich #1.safetensors")
    data.table.write_bytes(table)
    reader = store(feature_root.as_uri())
    for upload in read_uploads(open_data_set(folder), now_ms=1_700_000_000_000):
        assert upload.features.uri.isascii()  # type: ignore[union-attr]
        assert reader.read(upload.features.uri, unlimited)  # type: ignore[union-attr]


def test_spaces_around_a_path_in_the_table_belong_to_it_if_such_a_file_is_there(feature_root: Path) -> None:
    (feature_root / " a").write_bytes(b"with")
    (feature_root / "b").write_bytes(b"without")
    write_rows(feature_root, "clip_id,dancer_id,challenge_id,duration_s,features", "1,x,y,9, a", "2,x,y,9, b ")
    data = open_data_set(feature_root)
    assert [data.content(annotation) for annotation in data.annotations] == [b"with", b"without"]
