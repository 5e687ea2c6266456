"""One pass over a video gives the streams that each extractor makes of all its frames, and a report."""

from dataclasses import replace
from pathlib import Path

import fsspec
import numpy as np
import pytest

from extraction.decoding.content import open_path
from extraction.frames import Frame
from extraction.one_pass import Extraction, Extractors, extract
from extraction.selection import open_extractors
from extraction.settings import ExtractionSettings
from extraction.streams import PeopleSeen
from schemas.errors import ConfigurationError, NoUsableModality, VideoLengthRefused, VideoUnreadable
from schemas.events import VideoFile
from schemas.features import decode_features, encode_features
from schemas.modalities import FUSED_MODALITIES, Modality
from schemas.plausibility import check_plausible
from streamer.extractors.contract import EXTRACTOR_CHECKS, Check
from tests.extraction.decoded import MIB, decode, limits
from tests.extraction.made_videos import steady, write_video
from tests.extraction.tiny import Colours, open_tiny, tiny_extractor, values


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_video(tmp_path_factory.mktemp("clip") / "clip.mp4", steady(3.2))


def run(path: Path, extractors: Extractors | None = None, **options: object) -> Extraction:
    with open_path(path, max_bytes=64 * MIB) as content:
        return extract(content, extractors or open_tiny(), limits(), **options)  # type: ignore[arg-type]


def test_each_stream_is_made_of_all_frames_at_its_rate(clip: Path) -> None:
    extraction = run(clip)
    frames = decode(clip)[1]
    for modality in FUSED_MODALITIES:
        steps = [
            values(modality, next(frame for frame in frames if frame.time_s >= step / modality.rate_hz - 1e-9))
            for step in range(int((len(frames) - 1) / 25 * modality.rate_hz) + 1)
        ]
        assert np.array_equal(extraction.features.frames[modality], np.stack(steps))
    assert extraction.features.joint_layout == "mpii-16"
    check_plausible(decode_features(encode_features(extraction.features)), 3.2)


def test_the_report_says_what_was_done(clip: Path) -> None:
    shown: list[tuple[int, int]] = []
    report = run(clip, progress=lambda done, expected: shown.append((done, expected))).report
    assert (report.frames, report.pictures, report.damaged, report.with_person) == (80, 80, 0, 80)
    assert (report.most_people, report.switches) == (2, 0)
    assert report.duration_s == 3.2
    assert [(s.modality, s.steps > 0, s.reason) for s in report.streams] == [(m, True, "") for m in FUSED_MODALITIES]
    assert shown == [(done, 80) for done in range(8, 81, 8)]
    parts = report.decoding_s + report.people_s + sum(stream.seconds for stream in report.streams)
    assert 0 < parts <= report.total_s


def test_extractors_get_batches_of_at_most_8_frames(tmp_path: Path) -> None:
    opened: list[Colours] = []

    def open_one(_: object) -> Colours:
        opened.append(Colours(Modality.SCENIC))
        return opened[-1]

    path = write_video(tmp_path / "clip.mp4", steady(3.0))
    run(path, replace(open_tiny(), streams={Modality.SCENIC: open_one}))
    assert opened[0].batches == [8] * 9 + [3]


def test_a_stream_that_is_absent_is_reported_with_the_reason(tmp_path: Path) -> None:
    def nobody(_: object) -> Colours:
        return Colours(Modality.FACIAL)

    class Nobody:
        seen = PeopleSeen()

        def follow(self, frames: list[Frame]) -> list[None]:
            return [None] * len(frames)

    path = write_video(tmp_path / "clip.mp4", steady(3.0))
    alone = replace(open_tiny(), people=lambda _: Nobody(), streams={Modality.FACIAL: nobody})
    with pytest.raises(NoUsableModality, match=r"nothing could be extracted \(facial: every picture is black\)"):
        run(path, alone)


@pytest.mark.tried(
    kind="videos", given="black pictures", outcome="`no_usable_modality`, with the reason of each stream"
)
def test_a_black_video_has_no_stream(tmp_path: Path) -> None:
    path = write_video(tmp_path / "black.mp4", steady(3.0), lambda _: np.zeros((48, 64, 3), np.uint8))
    with pytest.raises(NoUsableModality, match="skeletal: every picture is black; holistic: every"):
        run(path)


@pytest.mark.tried(kind="videos", given="one picture; two seconds", outcome="`video_length`")
@pytest.mark.parametrize(("count", "says"), [(1, "0.04 s"), (50, "2.00 s")])
def test_a_video_that_is_too_short_for_a_clip_is_refused(tmp_path: Path, count: int, says: str) -> None:
    path = write_video(tmp_path / "short.mp4", [number / 25 for number in range(count)])
    with pytest.raises(VideoLengthRefused, match=rf"it lasts {says}, and a clip lasts at least 3 s"):
        run(path)
    assert run(path, shortest_s=0.0).report.frames == count


@pytest.mark.tried(kind="videos", given="a file that is written to while it is read", outcome="`video_unreadable`")
def test_a_video_that_changes_meanwhile_is_refused(tmp_path: Path) -> None:
    path = write_video(tmp_path / "clip.mp4", steady(3.2))

    def write_more(done: int, _: int) -> None:
        if done == 16:
            with path.open("ab") as file:
                file.write(b"more")

    with pytest.raises(VideoUnreadable, match="written to while it was read"):
        run(path, progress=write_more)


@pytest.mark.parametrize("check", EXTRACTOR_CHECKS, ids=lambda check: check.__name__)
def test_it_is_a_feature_extractor(check: Check, clip: Path) -> None:
    sha256 = decode(clip)[0].sha256
    check(tiny_extractor(clip.parent.as_uri()), VideoFile(clip.as_uri(), sha256))


def test_a_video_in_an_object_store_gives_the_same_features(clip: Path) -> None:
    fsspec.filesystem("memory").pipe("/videos/clip.mp4", clip.read_bytes())
    there = tiny_extractor("memory://videos").extract(VideoFile("memory://videos/clip.mp4"))
    here = tiny_extractor(clip.parent.as_uri()).extract(VideoFile(clip.as_uri()))
    assert encode_features(there) == encode_features(here)


@pytest.mark.parametrize(
    ("name", "problem"),
    [("tests.extraction.tiny:values", "does not take the arguments"), ("no_such_module:factory", "cannot be imported")],
)
def test_a_setting_that_does_not_lead_to_extractors_is_refused(name: str, problem: str) -> None:
    with pytest.raises(ConfigurationError, match=problem) as caught:
        open_extractors(ExtractionSettings(extractors=name))
    assert caught.value.field == "extraction.extractors"
