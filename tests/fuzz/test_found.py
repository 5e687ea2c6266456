"""Inputs that fuzzing found: each was answered by a traceback, or by a page of quotation, and is refused by name."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
import safetensors.numpy
from msgspec import structs

from dancerank.dead_letters import in_short
from dancerank.fitting.recipe import read_recipe
from dancerank.policies import read_policy
from dancerank.settings import load_settings
from ranking.serving.api import read_keys
from ranking.vectors.catalogue_block import CatalogueBlock, merged, read_block
from ranking.vectors.change_log import blocks, framed
from schemas.bundle import MANIFEST_NAME, read_bundle, sha256_hex
from schemas.codec import decode, encode
from schemas.errors import (
    BundleError,
    ConfigurationError,
    DancerankError,
    FeatureFileCorrupt,
    FinalError,
    MalformedEvent,
    SnapshotError,
)
from schemas.events import PoolDecision
from schemas.features import decode_features
from tests.fuzz.event_inputs import EVENTS
from tests.fuzz.folder_inputs import bundle, restore_a_snapshot, run_a_bundle, snapshots, vouched, written
from tests.fuzz.importer_inputs import import_alphapose
from tests.fuzz.outcomes import check_refusal
from vdv.errors import DataSetError

LONG = "x" * 70_000


def read_as(kind: str, path: Path) -> object:
    match kind:
        case "settings":
            return load_settings(path)
        case "policy":
            return read_policy(path)
        case "API keys":
            return read_keys(path)
        case _:
            return read_recipe(path, network={}, training={})


@pytest.mark.parametrize("kind", ["settings", "policy", "recipe"])
@pytest.mark.parametrize(
    ("document", "named"),
    [
        pytest.param(
            f"a = {'[' * 3000}{']' * 3000}",
            "nested too deeply",
            marks=pytest.mark.tried(
                kind="decoding errors",
                given="settings, policies and recipes of 3,000 brackets",
                outcome="refused with the file",
            ),
        ),
        pytest.param(
            f"a = {'{a=' * 3000}0{'}' * 3000}",
            "nested too deeply",
            marks=pytest.mark.tried(
                kind="decoding errors", given="the same of 3,000 inline tables", outcome="refused with the file"
            ),
        ),
        pytest.param(
            f"a = {'9' * 5000}",
            "digits",
            marks=pytest.mark.tried(
                kind="decoding errors", given="an integer of 5,000 digits in them", outcome="refused with the file"
            ),
        ),
        pytest.param(
            f"a = 0x{'f' * 5000}",
            "more than 64 bits",
            marks=pytest.mark.tried(
                kind="decoding errors", given="an integer of 5,000 hexadecimal digits", outcome="refused with the file"
            ),
        ),
    ],
)
def test_toml_that_the_parser_fails_on_is_refused_with_the_file(
    tmp_path: Path, kind: str, document: str, named: str
) -> None:
    path = tmp_path / "a.toml"
    path.write_text(document)
    with pytest.raises(FinalError, match=rf"a\.toml.*{named}") as caught:
        read_as(kind, path)
    check_refusal(caught.value)


@pytest.mark.tried(
    kind="decoding errors",
    given="an environment variable of 100,000 brackets, or with a number of 5,000 digits",
    outcome="refused with the variable",
)
@pytest.mark.parametrize("value", ["[" * 100_000, f"[{'9' * 5000}]"])
def test_json_in_a_variable_that_the_parser_fails_on_is_refused_by_its_name(
    monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    monkeypatch.setenv("DANCERANK_KAFKA__BOOTSTRAP_SERVERS", value)
    with pytest.raises(ConfigurationError, match="variable DANCERANK_KAFKA__BOOTSTRAP_SERVERS") as caught:
        load_settings()
    check_refusal(caught.value)


def changed_bundle(**changes: object) -> Path:
    manifest: Any = msgspec.json.decode(bundle()[MANIFEST_NAME])
    return written({**bundle(), MANIFEST_NAME: msgspec.json.encode(manifest | changes)}, "long")


@pytest.mark.tried(
    kind="untrusted text in output",
    given="keys and values of 70,000 characters in settings, policies, recipes and API keys",
    outcome="a message of a readable length",
)
@pytest.mark.parametrize(
    ("kind", "document"),
    [
        ("settings", f"[kafka]\n{LONG} = 1"),
        ("settings", f'[kafka]\ntimeout_s = "{LONG}"'),
        ("policy", f"{LONG} = 1\n"),
        ("policy", f'version = "{LONG}"'),
        ("policy", f"version = {LONG}"),
        ("recipe", f"[{LONG}]"),
        ("recipe", f"[training]\n{LONG} = 1"),
        ("recipe", f'[training]\nepochs = "{LONG}"'),
        ("API keys", f'{{"{LONG}": 1}}'),
    ],
)
def test_a_refusal_quotes_no_more_than_a_person_reads(tmp_path: Path, kind: str, document: str) -> None:
    path = tmp_path / "file"
    path.write_text(document)
    with pytest.raises(FinalError) as caught:
        read_as(kind, path)
    check_refusal(caught.value)


@pytest.mark.tried(
    kind="untrusted text in output",
    given="keys and values of 70,000 characters in a bundle's manifest",
    outcome="a message of a readable length",
)
@pytest.mark.parametrize(
    "changes", [{LONG: 1}, {"joint_layout": LONG}, {"schema": LONG}, {"streams": [{"modality": LONG}]}]
)
def test_so_does_the_refusal_of_a_bundle(changes: dict[str, object]) -> None:
    with pytest.raises(BundleError) as caught:
        read_bundle(changed_bundle(**changes))
    check_refusal(caught.value)


@pytest.mark.tried(
    kind="untrusted text in output",
    given="a dead letter whose value is nested 3,000 levels deep",
    outcome="shown down to the 16th",
)
@pytest.mark.parametrize("value", [b'{"a":' * 3000 + b"0" + b"}" * 3000, b"\x81\xa1a" * 400 + b"\x00"])
def test_a_value_that_is_nested_deeply_is_shown_in_short(value: bytes) -> None:
    shown = in_short(value)
    assert shown is None or shown.count("{") <= 16


@pytest.mark.tried(
    kind="legal and absurd values", given="a pool decision whose percentile is NaN", outcome="refused with the field"
)
@pytest.mark.parametrize("field", ["percentile", "bound", "limit"])
@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_a_decision_with_a_number_that_is_not_finite_is_refused(field: str, value: float) -> None:
    tree = msgspec.msgpack.decode(encode(EVENTS[-1]))
    with pytest.raises(MalformedEvent, match=f"{field} must be a finite number"):
        decode(msgspec.msgpack.encode(tree | {field: value}), PoolDecision)


@pytest.mark.tried(
    kind="two readers, two truths",
    given="a snapshot whose catalogue names other clips than its index, with right checksums",
    outcome="refused, the index is rebuilt",
)
@pytest.mark.parametrize(
    ("backend", "change"),
    [
        ("numpy", lambda block: structs.replace(block, clip_ids=["another", *block.clip_ids[1:]])),
        ("faiss", lambda block: structs.replace(block, rows=block.rows + 1)),  # it knows clips by their rows alone
    ],
    ids=["numpy", "faiss"],
)
def test_a_snapshot_whose_index_holds_other_clips_than_its_catalogue_is_refused(
    backend: str, change: Callable[[CatalogueBlock], CatalogueBlock]
) -> None:
    files = dict(snapshots(backend))
    newest = max(name.partition("/")[0] for name in files if name.startswith("snapshot-"))
    manifest: Any = msgspec.json.decode(files[f"{newest}/manifest.json"])
    log = manifest["spaces"][0]["catalogue"]
    written = merged([read_block(block) for block in blocks(files[f"segments/{log}"])])
    files[f"segments/{log}"] = content = framed(change(written).encoded())
    manifest["logs"][log] = {"size_bytes": len(content), "sha256": sha256_hex(content)}
    files[f"{newest}/manifest.json"] = msgspec.json.encode(manifest)
    with pytest.raises(SnapshotError, match="its indexes hold other clips than its catalogue"):
        restore_a_snapshot((backend, files))


def test_the_longest_message_keeps_its_beginning_and_its_end() -> None:
    error = BundleError(f"place: {LONG}; remedy", field=LONG)
    assert isinstance(error, DancerankError)
    assert error.message.startswith("place: x")
    assert error.message.endswith("x; remedy")
    assert (len(error.message), len(error.field or "")) == (8192, 256)


@pytest.mark.tried(
    kind="decoding errors",
    given="a graph whose tensors have names that are not UTF-8",
    outcome="the bundle is refused with the file",
)
def test_a_graph_whose_names_are_not_utf8_is_refused_with_its_file(capfd: pytest.CaptureFixture[str]) -> None:
    files = dict(bundle())
    content = files["scenic.onnx"]
    assert b"lengths" in content
    files["scenic.onnx"] = content.replace(b"lengths", b"\xfflength")
    with pytest.raises(BundleError, match=r"scenic\.onnx: ONNX Runtime cannot load this graph") as caught:
        run_a_bundle({**files, MANIFEST_NAME: vouched(files)})
    check_refusal(caught.value)
    assert "Falling back" not in capfd.readouterr().out


@pytest.mark.tried(
    kind="importers that trust types",
    given="AlphaPose results with half a surrogate pair as a key, or nested 100,000 deep",
    outcome="refused with the file",
)
@pytest.mark.parametrize(
    "content", [b'[{"image_id": "1.jpg", "keypoints": [], "\\ud800": 1}]', b'{"a": ' + b"[" * 100_000]
)
def test_alphapose_results_that_no_decoder_takes_are_refused(content: bytes) -> None:
    with pytest.raises(DataSetError, match=r"r\.json is not an AlphaPose result") as caught:
        import_alphapose((content, ["c1", "25", "", "r.json"], 25.0))
    check_refusal(caught.value)


@pytest.mark.tried(
    kind="two readers, two truths",
    given="a safetensors header with a field that the format does not have",
    outcome="refused, as the safetensors library does",
)
def test_a_header_with_an_unknown_field_is_refused() -> None:
    header = b'{"scenic":{"dtype":"F16","shape":[1,512],"data_offsets":[0,1024],".":1%s}}' % (b"0" * 400)
    content = len(header).to_bytes(8, "little") + header + bytes(1024)
    with pytest.raises(FeatureFileCorrupt, match="unknown field") as caught:
        decode_features(content)
    check_refusal(caught.value)
    with pytest.raises(safetensors.SafetensorError):
        safetensors.numpy.load(content)
