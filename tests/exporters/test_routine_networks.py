"""The stream of routines: its graph against torch and a slow reference, and as part of a bundle."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np
import pytest
import safetensors.numpy
from numpy.typing import NDArray

from dancerank.settings import shipped_bundle
from exporters.onnx.attached_routines import attach_routines, detach_routines
from exporters.onnx.inspect import describe
from exporters.onnx.parity import padded, session
from exporters.onnx.routine_graphs import BATCHES, check_routine
from networks.action_net import ActionNet
from networks.action_net.official import _theirs
from schemas.bundle import BundleManifest, GraphFile, read_bundle, read_listed_file, sha256_hex
from schemas.errors import BundleError
from schemas.export_profiles import ExportProfile, ParitySample, Profile
from schemas.modalities import FUSED_MODALITIES, Modality
from schemas.ports import RuntimeFactory
from schemas.routine_network import read_routine_network
from schemas.routines import packed, unpacked
from schemas.training_distribution import DistanceMeter
from streamer.runtimes import contract
from streamer.runtimes.onnx_runtime import OnnxRuntime
from streamer.runtimes.openvino_runtime import OpenVinoRuntime
from streamer.runtimes.parity_gate import check_parity_sample
from tests.networks.action_net import reference
from tests.routines import tiny_network, written_network
from tests.small_bundle import write_bundle, write_small_bundle

Array = NDArray[Any]
LENGTHS = (83, 1, 3, 4, 60, 61, 150)


class Written(NamedTuple):
    network: ActionNet
    folder: Path
    graph: bytes


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Written:
    folder = tmp_path_factory.mktemp("routines") / "network"
    written_network(folder)
    return Written(tiny_network(), folder, read_routine_network(folder).graph)


def of_one(weights: dict[str, Array], frames: Array) -> tuple[Array, float, list[list[float]]]:
    """Embedding, score and attention of (T, 3072) in float64: seconds and segments one at a time."""
    static, dynamic, begins = [], [], []
    for second, step in enumerate(frames):
        static.append(step[:2048])
        segment = int(second / 3.2 + 1e-9)
        if segment == len(dynamic):
            dynamic.append(step[2048:])
            begins.append(0)
        begins[segment] += 1
    found = [reference.stream(weights, name, rows) for name, rows in (("d_ct", dynamic), ("s_ct", static))]
    per_second = []
    for weight, seconds in zip(found[0][1].tolist(), begins, strict=True):
        per_second += [weight / seconds] * seconds
    score = reference.score(weights, dynamic, static)
    return np.concatenate([feature for feature, _ in found]), score, [per_second, found[1][1].tolist()]


def test_a_batch_is_scored_as_a_slow_reference_scores_each_second(written: Written) -> None:
    weights = {_theirs(name): value.double().numpy() for name, value in written.network.state_dict().items()}
    generator = np.random.default_rng(1)
    clips = [generator.exponential(0.5, (length, 3072)).astype(np.float32) for length in LENGTHS]
    inputs = {"frames": padded(clips), "lengths": np.array(LENGTHS)}
    embeddings, scores, attention = session(written.graph).run(["embedding", "score", "temporal_attention"], inputs)
    assert np.isfinite(attention).all()
    for row, clip in enumerate(clips):
        embedding, score, by_second = of_one(weights, clip)
        np.testing.assert_allclose(embeddings[row], embedding, rtol=1e-4, atol=1e-5)
        assert scores[row] == pytest.approx(score, abs=1e-5)
        np.testing.assert_allclose(attention[row, :, : len(clip)], by_second, atol=1e-6)
        assert not attention[row, :, len(clip) :].any()
        np.testing.assert_allclose(attention[row].sum(1), 1, atol=1e-5)


def test_every_length_class_is_compared_with_torch_when_a_network_is_written(written: Written) -> None:
    assert {1, 3, 4, 60, 83, 150, 600} <= {length for batch in BATCHES for length in batch}
    agreement = read_routine_network(written.folder).described.agreement
    assert 0 < agreement["score"] <= 1e-5
    assert 0 < agreement["embedding"] <= 1e-4
    with pytest.raises(BundleError, match=r"routine: the graph and torch differ by .* in a batch of lengths 83 s"):
        check_routine(tiny_network(seed=1), written.graph, [(83,)])


@pytest.mark.parametrize("seconds", [1, 3, 4, 16, 17, 60, 83, 600])
def test_packing_keeps_what_can_be_unpacked(seconds: int) -> None:
    segments = len({int(second / 3.2 + 1e-9) for second in range(seconds)})
    dynamic = np.arange(segments, dtype=np.float32)[:, None].repeat(1024, 1)
    static = np.arange(seconds, dtype=np.float32)[:, None].repeat(2048, 1)
    frames = packed(dynamic, static)
    assert [int(step[-1]) for step in frames] == [int(second / 3.2 + 1e-9) for second in range(seconds)]
    for before, after in zip((dynamic, static), unpacked(frames), strict=True):
        np.testing.assert_array_equal(before, after)
    with pytest.raises(ValueError, match="segments, not"):
        packed(dynamic[:-1], static)


def with_sample(folder: Path, profile: Profile) -> BundleManifest:
    """A bundle with a parity sample of one of its streams."""
    bundle = read_bundle(write_small_bundle(folder))
    frames = np.random.default_rng(0).normal(size=(2, 5, 512)).astype(np.float16)
    found = OnnxRuntime(bundle).run_stream(Modality.SCENIC, frames.astype(np.float32), np.array([5, 3]))
    tensors = {"frames": frames, "lengths": np.array([5, 3]), "embedding": found.embeddings, "score": found.scores}
    content = safetensors.numpy.save({f"scenic.{name}": tensor for name, tensor in tensors.items()})
    limits = {Modality.SCENIC: 1e-3}
    (folder / "sample.safetensors").write_bytes(content)
    sample = ParitySample("sample.safetensors", sha256_hex(content), limits, limits)
    made = ExportProfile(profile, {"scenic score": 1e-7}, longest={Modality.SCENIC: 99}, sample=sample)
    write_bundle(folder, msgspec.structs.replace(bundle.manifest, profile=made, metrics={"a": 1.0}), bundle.graphs)
    return read_bundle(folder).manifest


@pytest.mark.parametrize("profile", [Profile.FAST, Profile.INT8])
def test_attaching_changes_the_generation_and_no_other_graph(
    tmp_path: Path, written: Written, profile: Profile
) -> None:
    folder = tmp_path / "bundle"
    with_sample(folder, profile)
    before = read_bundle(folder)
    manifest = attach_routines(folder, written.folder)
    after = read_bundle(folder)
    assert manifest == after.manifest
    assert manifest.generation != before.manifest.generation
    assert manifest.modalities == (*FUSED_MODALITIES, Modality.ROUTINE)
    assert {name: after.graphs[name] for name in before.graphs} == before.graphs
    assert after.graphs.keys() - before.graphs.keys() == {manifest.stream(Modality.ROUTINE).file}
    assert manifest.stream(Modality.ROUTINE).attention == ("dynamic", "static")
    assert (manifest.profile.name, manifest.profile.longest) == (profile, {Modality.SCENIC: 99})
    assert manifest.profile.agreement.keys() == {"scenic score", "routine score", "routine embedding"}
    assert manifest.metrics == {"a": 1.0, "spearman_routine": 0.5}
    assert manifest.architecture["routine.trained_on"] == "planted routines=50"
    assert manifest.architecture["routine.score_range"] == "0 is 0 points, 1 is 25 points"
    sample = manifest.profile.sample
    assert sample is not None
    assert sample.score.keys() == {Modality.SCENIC, Modality.ROUTINE}
    assert after.sample is not None
    assert "routine.temporal_attention" in safetensors.numpy.load(after.sample)
    check_parity_sample(OnnxRuntime(after), after)
    described = describe(after)[4]
    assert (described.name, described.inputs[0]) == ("routine", "frames (N, T, 3072) float32")
    assert described.outputs[2] == "temporal_attention (N, 2, T) float32"
    assert described.parameters == sum(each.numel() for each in written.network.parameters())
    assert attach_routines(folder, written.folder) == manifest  # again, in its own place
    detached = detach_routines(folder)
    unnamed = msgspec.structs.replace(detached.profile.sample, file="sample.safetensors")
    assert (
        msgspec.structs.replace(detached, profile=msgspec.structs.replace(detached.profile, sample=unnamed))
        == before.manifest
    )
    assert sorted(path.name.partition("-")[0] for path in folder.iterdir()) == sorted(
        [*(f"{each}.onnx" for each in FUSED_MODALITIES), "fusion.onnx", "bundle.json", "sample"]
    )
    with pytest.raises(BundleError, match="has no stream routine"):
        detach_routines(folder)


def test_guidance_styles_and_the_samples_of_the_other_streams_stay(tmp_path: Path, written: Written) -> None:
    folder = tmp_path / "bundle"
    shutil.copytree(shipped_bundle(), folder)
    before = read_bundle(folder)
    manifest = attach_routines(folder, written.folder)
    assert (manifest.classifier, manifest.guidance) == (before.manifest.classifier, before.manifest.guidance)
    assert manifest.classifier is not None
    assert manifest.gradient_files()
    after = read_bundle(folder)
    assert before.sample is not None
    assert after.sample is not None
    samples = [safetensors.numpy.load(content) for content in (before.sample, after.sample)]
    for name, tensor in samples[0].items():
        if not name.startswith("routine."):
            np.testing.assert_array_equal(samples[1][name], tensor)
    for modality in FUSED_MODALITIES:
        file = manifest.stream(modality).file
        assert after.graphs[file] == before.graphs[file]
        stated = manifest.training_distribution[modality]
        assert stated == before.manifest.training_distribution[modality]
    check_parity_sample(OnnxRuntime(after), after)


def test_a_stream_that_computes_something_else_is_refused_where_it_runs(tmp_path: Path, written: Written) -> None:
    folder = write_small_bundle(tmp_path / "bundle")
    attach_routines(folder, written.folder)
    bundle = read_bundle(folder)
    sample = bundle.manifest.profile.sample
    assert sample is not None
    assert bundle.sample is not None
    tensors = safetensors.numpy.load(bundle.sample)
    tensors["routine.score"] = tensors["routine.score"] + np.float32(1e-2)
    changed = msgspec.structs.replace(bundle, sample=safetensors.numpy.save(tensors))
    with pytest.raises(BundleError, match=r"routine: on .* the score of a sample clip is off by"):
        check_parity_sample(OnnxRuntime(bundle), changed)


def test_the_bundle_states_the_distribution_of_the_routines(tmp_path: Path, written: Written) -> None:
    manifest = attach_routines(write_small_bundle(tmp_path / "bundle"), written.folder)
    meter = DistanceMeter(Modality.ROUTINE, manifest.training_distribution[Modality.ROUTINE], (3072,))
    odd = np.random.default_rng(0).normal(3.0, 20.0, (80, 3072)).astype(np.float32)
    assert meter.distance(odd) > 1


@pytest.mark.parametrize("check", contract.RUNTIME_CHECKS, ids=lambda check: check.__name__)
def test_runtimes_pass_the_checks_of_the_port_with_the_stream(
    tmp_path: Path, written: Written, check: contract.Check
) -> None:
    folder = write_small_bundle(tmp_path / "bundle", modalities=(Modality.SCENIC,))
    attach_routines(folder, written.folder)
    runtimes: tuple[RuntimeFactory, ...] = (OnnxRuntime, OpenVinoRuntime)
    for factory in runtimes:
        check(factory, read_bundle(folder), ("cpu",))


def test_a_new_bundle_leaves_the_old_one_and_replaces_nothing(tmp_path: Path, written: Written) -> None:
    folder = write_small_bundle(tmp_path / "bundle")
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    manifest = attach_routines(folder, written.folder, out=tmp_path / "new" / "bundle")
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    assert read_bundle(tmp_path / "new" / "bundle").manifest == manifest
    with pytest.raises(BundleError, match="exists already"):
        attach_routines(folder, written.folder, out=tmp_path / "new" / "bundle")
    detached = detach_routines(tmp_path / "new" / "bundle", out=tmp_path / "without")
    assert detached.generation == read_bundle(folder).manifest.generation


def test_a_bundle_that_is_changed_while_it_is_read_is_read_as_it_is_then(
    tmp_path: Path, written: Written, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write_small_bundle(tmp_path / "bundle")
    attach_routines(folder, written.folder)
    before, changed = read_bundle(folder), list[BundleManifest]()

    def read_file_of_a_bundle_that_is_changed(*arguments: Any) -> bytes:
        if not changed:
            changed.append(before.manifest)
            changed.append(detach_routines(folder))
        return read_listed_file(*arguments)

    monkeypatch.setattr("schemas.bundle.read_listed_file", read_file_of_a_bundle_that_is_changed)
    assert read_bundle(folder).manifest == changed[1] != before.manifest
    (folder / changed[1].fusion.file).unlink()
    with pytest.raises(BundleError, match=r"fusion\.onnx: listed in bundle\.json but cannot be read"):
        read_bundle(folder)


def without_parts(network: dict[str, Any]) -> None:
    network["attention"] = []


def with_one_part_twice(network: dict[str, Any]) -> None:
    network["attention"] = ["static", "static"]


def without_limits(network: dict[str, Any]) -> None:
    network["sample"]["score"] = {}


def with_limits_of_another(network: dict[str, Any]) -> None:
    network["sample"]["embedding"]["skeletal"] = 9.0


def without_span(network: dict[str, Any]) -> None:
    network["score_range"] = {"lowest": 25.0, "highest": 25.0}


def of_other_opset(network: dict[str, Any]) -> None:
    network["opset"] = 17


def of_other_descriptors(network: dict[str, Any]) -> None:
    network["distribution"]["descriptors"] = ["size"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (without_parts, r"network.json: the graph has to give an embedding and a temporal attention; train it again"),
        (with_one_part_twice, r"network.json: attention: parts must not name an attention twice; train it again"),
        (without_limits, r"network.json: sample: it has to state limits for routine, and for nothing else"),
        (with_limits_of_another, r"network.json: sample: it has to state limits for routine, and for nothing else"),
        (without_span, r"network.json: the range of scores 25 to 25 has no length; train it again"),
        (of_other_opset, r"its graph has opset 17, those of .* have 18; export the bundle with this release"),
        (of_other_descriptors, r"network.json: distribution: the descriptors are size, not size, mean"),
        (lambda network: network.clear(), r"network.json: .*missing required field.*; train it again"),
    ],
)
def test_a_network_that_cannot_be_used_is_refused_by_its_file(
    tmp_path: Path, written: Written, change: Callable[[dict[str, Any]], None], said: str
) -> None:
    folder = tmp_path / "network"
    folder.mkdir()
    for path in written.folder.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    found = msgspec.json.decode((folder / "network.json").read_bytes())
    change(found["network"])
    (folder / "network.json").write_bytes(msgspec.json.encode(found))
    bundle = write_small_bundle(tmp_path / "bundle")
    before = read_bundle(bundle)
    with pytest.raises(BundleError, match=said):
        attach_routines(bundle, folder)
    assert read_bundle(bundle) == before


def test_a_changed_byte_and_an_absent_network_are_refused(tmp_path: Path, written: Written) -> None:
    bundle = write_small_bundle(tmp_path / "bundle")
    with pytest.raises(BundleError, match=r"network.json: no readable network of routines .*dancerank routines train"):
        attach_routines(bundle, tmp_path)
    manifest = attach_routines(bundle, written.folder)
    stream = manifest.stream(Modality.ROUTINE)
    assert GraphFile(stream.file, stream.sha256) in manifest.files()
    (bundle / stream.file).write_bytes(b"other bytes")
    with pytest.raises(BundleError, match=r"routine-.*checksum mismatch"):
        read_bundle(bundle)
