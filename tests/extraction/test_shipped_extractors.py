"""The extractors that ship, on their real networks and a real dancer: four streams, named, the same bytes each time."""

from pathlib import Path

import numpy as np
import pytest

from extraction.assembly import networks_of, open_shipped, threads_of
from extraction.decoding.content import open_path
from extraction.decoding.cutting import cut
from extraction.one_pass import Extraction, Extractors, extract
from extraction.settings import ExtractionSettings
from schemas.errors import ConfigurationError
from schemas.features import encode_features
from schemas.modalities import FUSED_MODALITIES, Modality
from tests.extraction.decoded import MIB, limits
from tests.extractors import fetched_model
from tests.videos import fetched_video

FRAMES = 20


@pytest.fixture(scope="module")
def settings() -> ExtractionSettings:
    """On networks that Python's index alone gives."""
    chosen = ExtractionSettings(
        pose_network="pose-landmarks-full", face_network="frame-features", providers=("cpu",), threads=1
    )
    for name in networks_of(chosen).values():
        fetched_model(name)
    return chosen


@pytest.fixture(scope="module")
def extractors(settings: ExtractionSettings) -> Extractors:
    return open_shipped(settings)


@pytest.fixture(scope="module")
def dance(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("dance") / "dance.mkv"
    cut(fetched_video("dancer"), path, length_s=FRAMES / 25)
    return path


def run(extractors: Extractors, path: Path) -> Extraction:
    with open_path(path, max_bytes=64 * MIB) as content:
        return extract(content, extractors, limits(), shortest_s=0.0)


def test_a_real_dancer_has_four_streams_that_are_the_same_each_time(
    extractors: Extractors, settings: ExtractionSettings, dance: Path
) -> None:
    extraction, again = run(extractors, dance), run(extractors, dance)
    features, report = extraction.features, extraction.report
    assert features.modalities == FUSED_MODALITIES, report.streams
    assert encode_features(features) == encode_features(again.features)
    assert (report.frames, report.with_person) == (FRAMES, FRAMES)
    counts = {stream.modality: stream.steps for stream in report.streams}
    assert counts[Modality.SKELETAL] == counts[Modality.HOLISTIC] == FRAMES
    pose = features.frames[Modality.SKELETAL]
    assert pose.shape == (FRAMES, 16, 3)
    assert (pose[..., :2] >= 0).all()
    assert (pose[..., :2] <= np.array([extraction.properties.width, extraction.properties.height])).all()
    for modality, part in {
        Modality.SKELETAL: "pose_network",
        Modality.HOLISTIC: "frame_network",
        Modality.FACIAL: "face_network",
    }.items():
        assert fetched_model(networks_of(settings)[part]).manifest.title in features.extractors[modality]
    assert "gist" in features.extractors[Modality.SCENIC]


def test_the_identity_says_whether_other_features_may_come_of_a_video(
    extractors: Extractors, settings: ExtractionSettings
) -> None:
    same = settings.model_copy(update={"workers": 3, "threads": 2})
    assert open_shipped(same).identity == extractors.identity
    for change in ({"background": "median"}, {"longest_side": 640}, {"face_detector": "face-detector-short-range"}):
        fetched_model("face-detector-short-range")
        assert open_shipped(settings.model_copy(update=change)).identity != extractors.identity


def test_a_network_of_another_kind_is_refused(settings: ExtractionSettings) -> None:
    with pytest.raises(ConfigurationError, match="cannot be used where it is named"):
        open_shipped(settings.model_copy(update={"frame_network": "pose-detector"}))


@pytest.mark.parametrize(("cores", "threads"), [(1, 1), (2, 1), (3, 1), (8, 4)])
def test_networks_share_the_cores_unless_the_setting_says_otherwise(cores, threads, monkeypatch) -> None:
    monkeypatch.setattr("extraction.assembly.cores", lambda: cores)
    assert threads_of(ExtractionSettings()) == threads
    assert threads_of(ExtractionSettings(threads=3)) == 3
