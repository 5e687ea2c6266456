import json
from contextlib import suppress
from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dancerank.settings import shipped_bundle
from schemas.bundle import MANIFEST_NAME, BundleManifest, generation_of, read_bundle
from schemas.errors import BundleError
from schemas.events import TemporalAttention
from schemas.export_profiles import ExportProfile, Profile
from schemas.modalities import FUSED_MODALITIES, Modality
from tests.small_bundle import WIDTHS, write_bundle, write_small_bundle


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_small_bundle(tmp_path / "bundle", modalities=(Modality.SKELETAL, Modality.SCENIC))


@pytest.fixture(scope="module")
def shared_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_small_bundle(tmp_path_factory.mktemp("bundle"), modalities=(Modality.SCENIC,))


def edit(folder: Path, **changes: object) -> None:
    path = folder / MANIFEST_NAME
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def rewrite(folder: Path, **changes: object) -> None:
    """Change the manifest and set the generation that belongs to it."""
    bundle = read_bundle(folder)
    write_bundle(folder, msgspec.structs.replace(bundle.manifest, **changes), bundle.graphs)


def test_a_bundle_holds_the_bytes_that_were_verified(folder: Path) -> None:
    bundle = read_bundle(folder)
    assert bundle.manifest.modalities == (Modality.SKELETAL, Modality.SCENIC)
    assert bundle.manifest.stream(Modality.SCENIC).embedding_dim == WIDTHS[Modality.SCENIC]
    assert bundle.graphs == {path.name: path.read_bytes() for path in folder.glob("*.onnx")}
    with pytest.raises(KeyError):
        bundle.manifest.stream(Modality.FACIAL)


def test_a_manifest_survives_its_encoding(folder: Path) -> None:
    manifest = read_bundle(folder).manifest
    assert msgspec.json.decode(msgspec.json.encode(manifest), type=BundleManifest) == manifest


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
@given(st.data())
def test_a_changed_byte_is_refused_with_the_files_name(shared_folder: Path, data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(["scenic.onnx", "fusion.onnx"]))
    path = shared_folder / name
    original = path.read_bytes()
    spoilt = bytearray(original)
    spoilt[data.draw(st.integers(0, len(spoilt) - 1))] ^= data.draw(st.integers(1, 255))
    try:
        path.write_bytes(spoilt)
        with pytest.raises(BundleError, match=rf"{name}: checksum mismatch"):
            read_bundle(shared_folder)
    finally:
        path.write_bytes(original)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_a_changed_manifest_is_refused_or_means_the_same_networks(shared_folder: Path, data: st.DataObject) -> None:
    path = shared_folder / MANIFEST_NAME
    original = path.read_bytes()
    spoilt = bytearray(original)
    spoilt[data.draw(st.integers(0, len(spoilt) - 1))] ^= data.draw(st.integers(1, 255))
    try:
        before = read_bundle(shared_folder).manifest
        path.write_bytes(spoilt)
        with suppress(BundleError):
            after = read_bundle(shared_folder).manifest
            assert after.generation == before.generation == generation_of(after)
    finally:
        path.write_bytes(original)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=st.binary(max_size=100))
@pytest.mark.parametrize("prefix", [b"", b'{"schema":"model-bundle/1","generation":'])
def test_bytes_that_are_not_a_manifest_are_refused(shared_folder: Path, prefix: bytes, content: bytes) -> None:
    path = shared_folder / MANIFEST_NAME
    original = path.read_bytes()
    try:
        path.write_bytes(prefix + content)
        with pytest.raises(BundleError, match=MANIFEST_NAME):
            read_bundle(shared_folder)
    finally:
        path.write_bytes(original)


def test_a_deeply_nested_manifest_is_refused(folder: Path) -> None:
    (folder / MANIFEST_NAME).write_text('{"metrics":' * 100_000)
    with pytest.raises(BundleError, match=MANIFEST_NAME):
        read_bundle(folder)


def test_a_folder_without_a_manifest_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"is .* a bundle"):
        read_bundle(tmp_path)


def test_a_missing_graph_is_refused_with_its_name(folder: Path) -> None:
    (folder / "scenic.onnx").unlink()
    with pytest.raises(BundleError, match=r"scenic\.onnx: listed in bundle\.json but cannot be read"):
        read_bundle(folder)


@pytest.mark.parametrize("edited", [{"joint_layout": "coco-17"}, {"generation": "0" * 16}])
def test_an_edited_manifest_is_refused(folder: Path, edited: dict[str, object]) -> None:
    edit(folder, **edited)
    with pytest.raises(BundleError, match="generation does not match"):
        read_bundle(folder)


@pytest.mark.parametrize("other", ["model-bundle/0", "model-bundle/4"])
def test_a_bundle_of_another_format_is_refused_with_both_formats_and_the_remedy(folder: Path, other: str) -> None:
    edit(folder, schema=other, streams="listed otherwise", added=1)
    with pytest.raises(BundleError) as caught:
        read_bundle(folder)
    assert caught.value.message == (
        f"{folder / MANIFEST_NAME}: the bundle has format '{other}', this release reads 'model-bundle/1' to "
        "'model-bundle/3'; export the checkpoint again with this release, or install the release that wrote the bundle"
    )


def test_an_unknown_field_is_refused_with_its_name_and_the_remedy(folder: Path) -> None:
    edit(folder, more=1)
    with pytest.raises(
        BundleError,
        match=r"unknown field `more`; this release reads 'model-bundle/1' to 'model-bundle/3'; export .* again",
    ):
        read_bundle(folder)


@pytest.mark.parametrize("schema", [None, 1, ["model-bundle/1"]])
def test_a_manifest_without_a_format_is_refused(folder: Path, schema: object) -> None:
    edit(folder, schema=schema)
    with pytest.raises(BundleError, match="schema"):
        read_bundle(folder)


@pytest.mark.parametrize("opset", [16, 24])
def test_an_opset_that_cannot_be_read_is_refused(folder: Path, opset: int) -> None:
    rewrite(folder, opset=opset)
    with pytest.raises(BundleError, match=f"opset {opset} is not supported"):
        read_bundle(folder)


@pytest.mark.parametrize("name", ["../scenic.onnx", "/etc/hostname", "sub/scenic.onnx", "..", ".", "", "a\0b"])
def test_a_graph_outside_the_folder_is_refused(folder: Path, name: str) -> None:
    (folder.parent / "scenic.onnx").write_bytes((folder / "scenic.onnx").read_bytes())
    manifest = read_bundle(folder).manifest
    streams = tuple(
        msgspec.structs.replace(stream, file=name) if stream.modality == Modality.SCENIC else stream
        for stream in manifest.streams
    )
    manifest = msgspec.structs.replace(manifest, streams=streams)
    edit(folder, **msgspec.to_builtins(msgspec.structs.replace(manifest, generation=generation_of(manifest))))
    with pytest.raises(BundleError):
        read_bundle(folder)


@pytest.mark.parametrize("layout", [None, "blender"])
def test_a_skeletal_stream_needs_a_joint_layout_that_exists(folder: Path, layout: str | None) -> None:
    rewrite(folder, joint_layout=layout)
    with pytest.raises(BundleError, match="joint_layout"):
        read_bundle(folder)


def test_a_joint_layout_needs_a_skeletal_stream(tmp_path: Path) -> None:
    folder = write_small_bundle(tmp_path, modalities=(Modality.SCENIC,))
    rewrite(folder, joint_layout="mpii-16")
    with pytest.raises(BundleError, match="go together"):
        read_bundle(folder)


def test_streams_out_of_order_twice_or_absent_are_refused(folder: Path) -> None:
    streams = read_bundle(folder).manifest.streams
    for wrong in (streams[::-1], (*streams, streams[-1]), ()):
        folder = write_small_bundle(folder, modalities=(Modality.SKELETAL, Modality.SCENIC))
        rewrite(folder, streams=wrong)
        with pytest.raises(BundleError, match="in the order skeletal, holistic, facial, scenic"):
            read_bundle(folder)


@pytest.mark.parametrize(
    ("parts", "said"),
    [
        (("static", "static"), "parts must not name an attention twice"),
        (("dynamic", ""), "parts must have names of 1 to 32 characters"),
        (("dynamic", "x" * 33), "parts must have names of 1 to 32 characters"),
    ],
)
def test_parts_of_attention_that_no_result_can_carry_are_refused(
    folder: Path, parts: tuple[str, ...], said: str
) -> None:
    first, *others = read_bundle(folder).manifest.streams
    rewrite(folder, streams=(msgspec.structs.replace(first, attention=parts), *others))
    with pytest.raises(BundleError, match=f"attention of skeletal: {said}"):
        read_bundle(folder)
    with pytest.raises(ValueError, match=said):
        TemporalAttention(modality=Modality.ROUTINE, rate_hz=1.0, parts=parts, weights=bytes(8))


def test_the_generation_is_that_of_the_content(tmp_path: Path) -> None:
    first = read_bundle(write_small_bundle(tmp_path / "1", seed=1)).manifest
    again = read_bundle(write_small_bundle(tmp_path / "2", seed=1)).manifest
    other = read_bundle(write_small_bundle(tmp_path / "3", seed=2)).manifest
    assert first.generation == again.generation != other.generation
    assert first.modalities == FUSED_MODALITIES
    described = msgspec.structs.replace(first, metrics={"srcc": 0.5}, training_data="elsewhere")
    assert generation_of(described) == first.generation


def test_a_bundle_of_a_modality_that_this_release_does_not_know_is_refused(folder: Path, tmp_path: Path) -> None:
    manifest = (folder / MANIFEST_NAME).read_text().replace('"modality":"scenic"', '"modality":"audio"')
    (tmp_path / MANIFEST_NAME).write_text(manifest)
    with pytest.raises(BundleError, match=r"does not know 'audio', only skeletal.*install the package") as caught:
        read_bundle(tmp_path)
    assert len(caught.value.message.splitlines()) == 1


def test_a_bundle_of_the_first_format_is_read_and_states_no_training_distribution(folder: Path) -> None:
    before = read_bundle(folder).manifest
    path = folder / MANIFEST_NAME
    fields = msgspec.json.decode(path.read_bytes())
    del fields["training_distribution"], fields["profile"]
    path.write_bytes(msgspec.json.encode(fields | {"schema": "model-bundle/1"}))
    found = read_bundle(folder).manifest
    assert found == before
    assert found.training_distribution == {}


def test_a_bundle_of_the_second_format_is_read_as_of_the_exact_profile(folder: Path) -> None:
    path = folder / MANIFEST_NAME
    fields = msgspec.json.decode(path.read_bytes())
    del fields["profile"]
    path.write_bytes(msgspec.json.encode(fields | {"schema": "model-bundle/2"}))
    assert read_bundle(folder).manifest.profile == ExportProfile(Profile.EXACT)


def test_an_export_profile_that_this_release_does_not_know_is_refused(folder: Path) -> None:
    edit(folder, profile={"name": "int4", "agreement": {}})
    with pytest.raises(BundleError, match="Invalid enum value 'int4'"):
        read_bundle(folder)


def test_the_first_format_has_no_training_distribution(folder: Path) -> None:
    edit(folder, schema="model-bundle/1")
    with pytest.raises(BundleError, match="unknown field `training_distribution`"):
        read_bundle(folder)


@pytest.mark.parametrize(
    ("modality", "changes", "message"),
    [
        (Modality.SKELETAL, {"descriptors": ["colour"]}, "skeletal: the descriptors are colour"),
        (Modality.SKELETAL, {"limit": -1.0}, "skeletal: mean, precision or limit"),
        (Modality.SCENIC, {}, "scenic: the descriptors are movement"),
    ],
)
def test_a_training_distribution_that_cannot_be_used_is_named_with_its_modality(
    folder: Path, modality: Modality, changes: dict[str, object], message: str
) -> None:
    pose = read_bundle(shipped_bundle()).manifest.training_distribution[Modality.SKELETAL]
    edit(folder, training_distribution={modality: msgspec.to_builtins(pose) | changes})
    with pytest.raises(BundleError, match=f"training_distribution of {message}.*export the bundle again"):
        read_bundle(folder)
