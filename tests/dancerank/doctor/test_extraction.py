"""Whether features can be extracted from videos here."""

from pathlib import Path

from dancerank.doctor.extraction import examine_extraction
from dancerank.doctor.findings import Level
from dancerank.settings import Settings
from extraction.settings import ExtractionSettings
from streamer.settings import StreamerSettings
from tests.extraction.tiny import TINY


def with_videos(**extraction: object) -> Settings:
    settings = ExtractionSettings(**extraction)  # type: ignore[arg-type]
    return Settings(streamer=StreamerSettings(extractor="videos"), extraction=settings)


def test_extractors_that_load_are_named_with_their_streams() -> None:
    (finding,) = examine_extraction(with_videos(extractors=TINY))
    assert finding.level is Level.OK
    assert "colours/1: skeletal, holistic, facial, scenic; 1 at once" in str(finding)


def test_networks_that_are_not_there_are_an_error_with_the_command_that_fetches_them(tmp_path: Path) -> None:
    (finding,) = examine_extraction(with_videos(models_folder=tmp_path))
    assert finding.level is Level.ERROR
    assert "dancerank extractors fetch" in str(finding)


def test_without_videos_nothing_is_examined() -> None:
    assert list(examine_extraction(Settings())) == []
    assert list(examine_extraction(with_videos(workers=0))) == []
