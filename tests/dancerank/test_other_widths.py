"""Features of other widths than the paper's: from a data set to a scored clip and the index."""

from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from dancerank.cli import app
from dancerank.fitting.learning import train
from dancerank.fitting.recipe import read_recipe
from networks.model_config import AppearanceNetwork, ViralityModelConfig
from networks.virality_model import ViralityModel
from ranking.vectors.backends.numpy_exact import NumpyBackend
from ranking.vectors.view import IndexView
from schemas.bundle import read_bundle
from schemas.clock import ManualClock
from schemas.errors import ConfigurationError
from schemas.features import ClipFeatures
from schemas.modalities import Modality
from schemas.observation import Observer
from tests.clips import upload
from tests.ranking.examples import apply
from tests.streaming import Log, process, quick_settings
from vdv.annotations import Annotation
from vdv.checking import check_data_set
from vdv.errors import DataSetError
from vdv.folder import Clip, DataSet, write_data_set

WIDTHS = {Modality.HOLISTIC: 1280, Modality.FACIAL: 96, Modality.SCENIC: 512}


def features(generator: np.random.Generator, brightness: float, widths: dict[Modality, int] = WIDTHS) -> ClipFeatures:
    frames = {
        modality: generator.normal(brightness, 0.3, (round(4 * modality.rate_hz), width)).astype(np.float32)
        for modality, width in widths.items()
    }
    return ClipFeatures(frames)


def clip(number: int, found: ClipFeatures) -> Clip:
    annotation = Annotation(
        clip_id=f"clip-{number}",
        dancer_id=f"dancer-{number % 5}",
        challenge_id="a",
        duration_s=4.0,
        score=number / 10,
        split="test" if number % 5 == 0 else "train",
    )
    return Clip(annotation, found)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> DataSet:
    generator = np.random.default_rng(0)
    clips = [clip(number, features(generator, 0.2 + number / 20)) for number in range(10)]
    return write_data_set(tmp_path_factory.mktemp("widths") / "data", clips)


@pytest.fixture(scope="module")
def bundle(data: DataSet, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small network that was trained on ``data`` by the command line and exported."""
    folder = tmp_path_factory.mktemp("run")
    recipe = folder / "recipe.toml"
    recipe.write_text('[network]\nappearance_network = "usdl"\n')  # exported in a fraction of RTCN's time
    for command in (
        ["train", data.folder, folder / "run", "--settings", recipe, "--width", 0.02, "--epochs", 1],
        ["export", folder / "run/model.safetensors", folder / "bundle"],
    ):
        result = CliRunner().invoke(app, [str(argument) for argument in command])
        assert result.exit_code == 0, result.output
    return folder / "bundle"


def test_the_bundle_declares_the_widths_of_the_data(bundle: Path) -> None:
    manifest = read_bundle(bundle).manifest
    assert {stream.modality: stream.input_channels for stream in manifest.streams} == WIDTHS


def test_clips_of_these_widths_are_scored_and_found_again(bundle: Path) -> None:
    generator, log = np.random.default_rng(1), Log(partitions=1)
    clips = {f"clip-{number}": features(generator, 0.2 + number / 4) for number in range(3)}
    log.upload(*(upload(name, found) for name, found in clips.items()))
    process(log, log.streamer(read_bundle(bundle), quick_settings()), settled=3)
    assert log.dead() == []
    assert {one.clip_id for one in log.scored()} == clips.keys()
    assert all(result.modalities.keys() == WIDTHS.keys() for result in log.scored())
    index = IndexView(NumpyBackend(), Observer(), ManualClock())
    apply(index, log.scored())
    assert index.clips() == 3


def test_a_clip_of_the_papers_width_is_refused_by_name(bundle: Path) -> None:
    found = features(np.random.default_rng(2), 0.5, {Modality.HOLISTIC: 2048})
    log = Log(partitions=1)
    log.upload(upload("clip", found))
    process(log, log.streamer(read_bundle(bundle), quick_settings()), settled=1)
    (reason,) = log.dead()
    assert reason["code"] == "feature_shape_invalid"
    assert "'holistic' has 2048 channels; this model reads 1280" in reason["message"]


def test_clips_of_two_widths_are_a_finding(data: DataSet, tmp_path: Path) -> None:
    generator = np.random.default_rng(3)
    clips = [clip(n, features(generator, 0.5, {Modality.HOLISTIC: 1280 if n else 2048})) for n in range(3)]
    findings = check_data_set(write_data_set(tmp_path / "mixed", clips)).findings
    assert [(finding.row, finding.field) for finding in findings if "channels" in finding.problem] == [
        (3, Modality.HOLISTIC),
        (4, Modality.HOLISTIC),
    ]


def test_settings_of_another_width_are_refused(data: DataSet, tmp_path: Path) -> None:
    recipe = read_recipe(None, network={"feature_channels": {"holistic": 640}}, training={})
    with pytest.raises(DataSetError, match="have 1280 channels, the settings ask for 640"):
        train(data, tmp_path / "run", recipe, on_progress=lambda *_: None)


def test_a_model_refuses_data_of_another_width(bundle: Path, tmp_path: Path) -> None:
    generator = np.random.default_rng(4)
    other = [clip(n, features(generator, 0.2 + n / 9, WIDTHS | {Modality.FACIAL: 64})) for n in range(6)]
    folder = write_data_set(tmp_path / "other", other).folder
    command = ["evaluate", str(bundle.parent / "run/model.safetensors"), str(folder)]
    result = CliRunner().invoke(app, command, env={"COLUMNS": "300"})
    assert result.exit_code == 1
    assert "have 64 channels, the checkpoint was trained on 96" in result.output


@pytest.mark.parametrize("channels", [{"skeletal": 3}, {"holistic": 0}, {"holistic": 16_385}])
def test_impossible_widths_are_refused(channels: dict[str, int]) -> None:
    given = {Modality(name): width for name, width in channels.items()}
    with pytest.raises(ConfigurationError, match="feature_channels of"):
        ViralityModelConfig(feature_channels=given)


@pytest.mark.parametrize("network", ["rtcn", "tcn", "lstm", "segments", "spatial-attention", "usdl"])
def test_every_appearance_network_reads_them(network: AppearanceNetwork) -> None:
    config = ViralityModelConfig(
        modalities=(Modality.FACIAL,),
        appearance_network=network,
        feature_channels={Modality.FACIAL: 96},
        temporal_width=0.02,
    )
    output = ViralityModel(config).eval().stream(Modality.FACIAL)(torch.ones(2, 9, 96), torch.tensor([9, 5]))
    assert output.score.shape == (2,)


def test_a_model_without_them_reads_the_papers_widths() -> None:
    config = ViralityModelConfig()
    assert [config.input_channels(modality) for modality in WIDTHS] == [2048, 2048, 512]
