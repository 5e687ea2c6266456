"""``dancerank produce`` of videos: which events they become, and what is reported before anything is sent."""

import hashlib
from pathlib import Path

import pytest
from typer.testing import CliRunner

from dancerank.cli import app
from dancerank.videos.folders import holds_videos, passed_over, videos_of
from dancerank.videos.uploads import Owner, read_video_uploads
from extraction.settings import ExtractionSettings
from schemas.codec import decode, encode
from schemas.events import ClipUploadedV2, VideoFile
from tests.extraction.made_videos import steady, write_sound, write_video
from vdv.errors import DataSetError

NOW_MS = 1_790_000_000_000
COLUMNS = "clip_id,dancer_id,challenge_id"


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_video(tmp_path_factory.mktemp("clip") / "clip.mp4", steady(3.2))


def folder_of(folder: Path, clip: Path, *names: str) -> Path:
    folder.mkdir(exist_ok=True)
    for name in names:
        (folder / name).write_bytes(clip.read_bytes())
    return folder


def table(folder: Path, *lines: str) -> Path:
    (folder / "clips.csv").write_text("\n".join(lines) + "\n")
    return folder


def uploads(folder: Path, owner: Owner | None = None) -> list[ClipUploadedV2]:
    return read_video_uploads(videos_of([folder]), owner, folder, ExtractionSettings(), now_ms=NOW_MS)


def produce(*arguments: str | Path) -> str:
    """What is said of something that cannot be sent, before Kafka is asked."""
    done = CliRunner().invoke(app, ["produce", *map(str, arguments)])
    assert done.exit_code == 1
    return " ".join(done.output.split())


def test_rows_become_events_that_name_their_videos(clip: Path, tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "videos", clip, "a.mp4", "b #1.MOV", "c.mp4")
    table(
        folder,
        f"{COLUMNS},video,duration_s,uploaded_at_ms",
        "c,ada,waltz,,,",
        "b,bob,waltz,b #1.MOV,3.25,1700000000000",
    )
    assert holds_videos(folder)
    first, second = (decode(encode(event), ClipUploadedV2) for event in uploads(folder))
    checksum = hashlib.sha256(clip.read_bytes()).hexdigest()
    assert (first.clip_id, first.dancer_id, first.challenge_id) == ("c", "ada", "waltz")
    assert (first.duration_s, first.uploaded_at_ms) == (3.2, NOW_MS)
    assert first.features == VideoFile((folder / "c.mp4").as_uri(), checksum)
    assert (second.duration_s, second.uploaded_at_ms) == (3.25, 1_700_000_000_000)
    assert second.features == VideoFile(f"{folder.as_uri()}/b%20%231.MOV", checksum)


def test_videos_without_a_table_are_called_as_their_files(clip: Path, tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "videos", clip, "b.mp4", "a.mp4")
    (folder / "notes.txt").write_text("not a video, and not sent")
    made = uploads(folder, Owner("ada", "waltz"))
    assert [(event.clip_id, event.dancer_id, event.challenge_id) for event in made] == [
        ("a", "ada", "waltz"),
        ("b", "ada", "waltz"),
    ]
    assert "left out: notes.txt, as videos end in .3gp" in passed_over(folder)[0]
    (alone,) = uploads(folder / "a.mp4", Owner("ada", "waltz"))
    assert alone == made[0]


@pytest.mark.tried(
    kind="videos",
    given="produce of a folder of videos that are too short, only sound, text, absent, outside it and named .gif",
    outcome="one error with row, file and remedy of each; nothing is sent",
)
def test_every_video_that_cannot_be_sent_is_named_with_row_and_reason(clip: Path, tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "videos", clip, "good.mp4", "picture.gif")
    write_video(folder / "short.mp4", steady(2))
    write_sound(folder / "song.mp4")
    (folder / "text.mp4").write_text("not a video " * 99)
    lines = [f"{name},ada,waltz," for name in ("good", "short", "song", "text", "absent", "picture")]
    table(folder, f"{COLUMNS},video", *lines, "out,ada,waltz,../clip.mp4", "number,a b,waltz,good.mp4")
    with pytest.raises(DataSetError, match=r"row 9, dancer_id: 'a b' is refused"):
        uploads(folder)
    table(
        folder,
        f"{COLUMNS},video,duration_s",
        *(f"{line}," for line in lines),
        "out,ada,waltz,../c.mp4,",
        f"good2,a,b,good.mp4,{61}",
    )
    with pytest.raises(DataSetError) as refused:
        uploads(folder)
    said = [str(finding) for finding in refused.value.findings]
    for row, words in {
        3: "video: short.mp4: it lasts 2.00 s, and a clip lasts at least 3 s",
        4: "video: song.mp4: it has no video stream, only audio",
        5: "video: text.mp4: it is not a video that can be read",
        6: "video: there is no video called absent beside the table; name it in the column video",
        7: "video: picture.gif does not end as a video does (.3gp, ",
        8: "video: '../c.mp4' leads outside",
        9: "duration_s",
    }.items():
        (line,) = [line for line in said if f"clips.csv, row {row}" in line]
        assert words in line
    assert len(said) == 7


@pytest.mark.tried(
    kind="videos",
    given="produce of a recording whose container states no length",
    outcome="`data_set`, which names the column for it",
)
def test_a_container_without_a_length_needs_one_in_the_table(clip: Path, tmp_path: Path) -> None:
    folder = tmp_path / "videos"
    folder.mkdir()
    write_video(folder / "live.mpg", steady(3.2), container="h264")  # pictures alone, as some cameras write them
    with pytest.raises(DataSetError, match=r"states no length; give it in the column duration_s of clips\.csv"):
        uploads(folder, Owner("ada", "waltz"))
    table(folder, f"{COLUMNS},duration_s", "live,ada,waltz,3.2")
    (event,) = uploads(folder)
    assert event.duration_s == 3.2


def test_a_row_whose_video_can_have_no_name_is_refused_as_one_without_a_video(clip: Path, tmp_path: Path) -> None:
    folder, clip_id = folder_of(tmp_path / "videos", clip, "good.mp4"), "😀" * 128  # 512 bytes
    table(folder, COLUMNS, "good,ada,waltz", f"{clip_id},ada,waltz")
    with pytest.raises(DataSetError, match=rf"row 3, video: there is no video called {clip_id}"):
        uploads(folder)


def test_a_name_that_is_no_clip_id_is_refused(clip: Path, tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "videos", clip, "my dance.mp4")
    with pytest.raises(DataSetError, match=r"my dance\.mp4: .*clip_id"):
        uploads(folder, Owner("ada", "waltz"))


@pytest.mark.tried(
    kind="first steps that fail silently",
    given="produce of videos outside feature_roots, without a dancer, inline, of one that is named .gif",
    outcome="exit 1 before anything is sent, with the root, option or name",
)
def test_what_cannot_be_sent_is_said_before_kafka_is_asked(
    clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = folder_of(tmp_path / "videos", clip, "a.mp4")
    assert "give --dancer and --challenge" in produce(folder)
    owner = ("--dancer", "ada", "--challenge", "waltz")
    assert "no event can carry; leave out --inline" in produce(folder, *owner, "--inline")
    said = produce(folder, *owner)
    assert "1 of 1 videos lie outside streamer.feature_roots (none)" in said
    assert f"Add {folder.as_uri()} to streamer.feature_roots" in said
    picture = folder / "picture.gif"
    picture.write_bytes(b"GIF89a")
    assert "picture.gif is not named as a video" in produce(picture, *owner)
    table(folder, COLUMNS, "a,ada,waltz")
    assert "clips.csv names dancers and challenges; leave out --dancer" in produce(folder, *owner)
    features = table(tmp_path, f"{COLUMNS},duration_s,features", "a,ada,waltz,4,a.safetensors")
    assert "holds no videos; leave out --dancer" in produce(features, *owner)
    table(tmp_path, f"{COLUMNS},duration_s,features")
    assert "clips.csv names no clip; give it a row for each feature file" in produce(tmp_path)
