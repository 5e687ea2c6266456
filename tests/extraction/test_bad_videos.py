"""Every file that is not a good video is refused with the remedy, in bounded time and memory."""

import os
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from extraction.decoding.content import measure, open_path
from schemas.errors import (
    FeatureError,
    FeatureFileCorrupt,
    FeatureFileForbidden,
    FeatureFileMissing,
    VideoLengthRefused,
    VideoOversized,
    VideoUnreadable,
)
from schemas.events import VideoFile
from tests.extraction.decoded import MIB, decode
from tests.extraction.made_videos import Image, numbered, steady, step_of, write_sound, write_video
from tests.extraction.tiny import tiny_extractor

Make = Callable[[Path], Path]


def png(width: int = 8, height: int = 8, rows: bytes = b"") -> bytes:
    """A PNG of one colour; without ``rows`` its size is only declared."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def written(content: bytes) -> Make:
    def make(folder: Path) -> Path:
        path = folder / "video.mp4"
        path.write_bytes(content)
        return path

    return make


def video(seconds: float = 4.0, **options: str) -> Make:
    return lambda folder: write_video(folder / "video.mp4", steady(seconds), options=options)


def noisy(time_s: float) -> Image:
    """A picture that takes about as many bytes as any other."""
    return numbered(time_s) ^ np.random.default_rng(round(time_s * 25)).integers(0, 8, (48, 64, 3), np.uint8)


def cut(share: float, *, header_first: bool) -> Make:
    """An upload that broke off."""

    def make(folder: Path) -> Path:
        options = {"crf": "1"}
        path = folder / "video.mp4"
        write_video(path, steady(4), noisy, options=options)
        content = _header_first(path.read_bytes()) if header_first else path.read_bytes()
        path.write_bytes(content[: int(len(content) * share)])
        return path

    return make


def _header_first(content: bytes) -> bytes:
    """The same MP4 with ``moov`` before ``mdat``, as for the web."""
    boxes, at = {}, 0
    while at < len(content):
        size = int.from_bytes(content[at : at + 4], "big")
        boxes[content[at + 4 : at + 8]] = bytearray(content[at : at + size])
        at += size
    moov = boxes[b"moov"]
    table = moov.index(b"stco") + 4
    count = int.from_bytes(moov[table + 4 : table + 8], "big")
    for number in range(count):
        entry = table + 8 + 4 * number
        offset = int.from_bytes(moov[entry : entry + 4], "big")
        moov[entry : entry + 4] = (offset + len(moov)).to_bytes(4, "big")
    order = (b"ftyp", b"moov", b"free", b"mdat")
    return b"".join(bytes(boxes[kind]) for kind in order if kind in boxes)


def declared_huge(folder: Path) -> Path:
    """Motion JPEG whose pictures declare 65,500 × 65,500 pixels."""
    path = write_video(folder / "video.avi", steady(0.2), codec="mjpeg")
    content = bytearray(path.read_bytes())
    at = 0
    while (at := content.find(b"\xff\xc0\x00\x11", at)) >= 0:
        content[at + 5 : at + 9] = struct.pack(">HH", 65_500, 65_500)
        at += 1
    path.write_bytes(content)
    return path


def fifo(folder: Path) -> Path:
    os.mkfifo(folder / "video.mp4")
    return folder / "video.mp4"


PLAYLIST = b"#EXTM3U\n#EXTINF:5,\nfile:///etc/hostname\n#EXT-X-ENDLIST\n"
CONCAT = b"ffconcat version 1.0\nfile /etc/hostname\n"


@pytest.mark.parametrize(
    ("make", "error", "says"),
    [
        pytest.param(
            lambda folder: folder / "absent.mp4",
            FeatureFileMissing,
            "No such file",
            marks=pytest.mark.tried(kind="videos", given="a path that names nothing", outcome="`feature_file_missing`"),
        ),
        pytest.param(
            lambda folder: folder,
            FeatureFileMissing,
            "not a regular file",
            marks=pytest.mark.tried(kind="videos", given="a folder", outcome="`feature_file_missing`"),
        ),
        pytest.param(
            fifo,
            FeatureFileMissing,
            "not a regular file",
            marks=pytest.mark.tried(
                kind="videos", given="a named pipe that nothing writes to", outcome="`feature_file_missing` at once"
            ),
        ),
        pytest.param(
            written(b""),
            VideoUnreadable,
            "it is empty",
            marks=pytest.mark.tried(kind="videos", given="an empty file", outcome="`video_unreadable`"),
        ),
        pytest.param(
            written(b"not a video " * 999),
            VideoUnreadable,
            "not a video that can be read",
            marks=pytest.mark.tried(kind="videos", given="a text named `.mp4`", outcome="`video_unreadable`"),
        ),
        pytest.param(
            written(png()),
            VideoUnreadable,
            "it is a picture (PNG)",
            marks=pytest.mark.tried(
                kind="videos", given="a still picture named `.mp4`", outcome="`video_unreadable`, which says what it is"
            ),
        ),
        pytest.param(written(b"\xff\xd8\xff\xe0" + bytes(200)), VideoUnreadable, "it is a picture (JPEG)"),
        pytest.param(written(b"GIF89a" + bytes(200)), VideoUnreadable, "it is a picture (GIF)"),
        pytest.param(written(b"RIFF\0\0\0\0WEBPVP8 " + bytes(200)), VideoUnreadable, "it is a picture (WebP)"),
        pytest.param(
            written(PLAYLIST),
            VideoUnreadable,
            "not a video that can be read",
            marks=pytest.mark.tried(
                kind="videos",
                given="a playlist of HLS that names a local file",
                outcome="`video_unreadable`; the file is not opened",
            ),
        ),
        pytest.param(written(CONCAT), VideoUnreadable, "not a video that can be read"),
        pytest.param(
            lambda folder: write_sound(folder / "sound.mp4"),
            VideoUnreadable,
            "no video stream, only audio",
            marks=pytest.mark.tried(kind="videos", given="sound without pictures", outcome="`video_unreadable`"),
        ),
        pytest.param(
            cut(0.5, header_first=False),
            VideoUnreadable,
            "not a video that can be read",
            marks=pytest.mark.tried(
                kind="videos", given="an MP4 that breaks off before its index", outcome="`video_unreadable`"
            ),
        ),
        pytest.param(
            cut(0.5, header_first=True),
            VideoUnreadable,
            "cut off: its pictures end after",
            marks=pytest.mark.tried(
                kind="videos",
                given="an MP4 for the web that breaks off half way",
                outcome="`video_unreadable`, which says at which second",
            ),
        ),
        pytest.param(
            video(61.0),
            VideoLengthRefused,
            "lasts 61.0 s, and a clip lasts at most 60 s; cut it, or upload a longer routine with its features",
            marks=pytest.mark.tried(
                kind="videos", given="61 seconds", outcome="`video_length`, which says how longer routines are uploaded"
            ),
        ),
        pytest.param(
            declared_huge,
            VideoUnreadable,
            "",
            marks=pytest.mark.tried(
                kind="videos",
                given="an AVI whose pictures declare 65,500 × 65,500 pixels",
                outcome="refused without the memory for one",
            ),
        ),
    ],
)
def test_a_bad_video_is_refused_with_the_remedy(
    tmp_path: Path, make: Make, error: type[FeatureError], says: str
) -> None:
    with pytest.raises(error) as caught:
        decode(make(tmp_path))
    assert says in caught.value.message
    assert type(caught.value) is error


@pytest.mark.tried(kind="videos", given="an MP4 whose video stream has no pictures", outcome="`video_unreadable`")
def test_a_video_stream_without_pictures_is_refused(tmp_path: Path) -> None:
    path = write_video(tmp_path / "video.mp4", steady(1), options={"crf": "1"})
    content = bytearray(path.read_bytes())
    for table in (b"stsz", b"stco", b"stts", b"stsc", b"stss", b"ctts"):
        if (at := content.find(table)) >= 0:  # the tables of the samples state none
            where = at + (12 if table == b"stsz" else 8)
            content[where : where + 4] = bytes(4)
    path.write_bytes(content)
    with pytest.raises(VideoUnreadable, match="none of its pictures can be decoded"):
        decode(path)


@pytest.mark.tried(
    kind="videos",
    given="a file and an address outside the roots, one by `..`",
    outcome="`feature_file_forbidden`; nothing is opened",
)
@pytest.mark.parametrize("uri", ["file:///etc/hostname", "https://example.org/dance.mp4", "{root}/../dance.mp4"])
def test_a_video_outside_the_roots_is_refused(tmp_path: Path, uri: str) -> None:
    root = tmp_path / "videos"
    root.mkdir()
    video(4.0)(tmp_path).rename(tmp_path / "dance.mp4")
    with pytest.raises(FeatureFileForbidden):
        tiny_extractor(root.as_uri()).extract(VideoFile(uri.format(root=root.as_uri())))


def test_a_video_with_too_many_bytes_is_refused_unread(tmp_path: Path) -> None:
    path = video(0.2)(tmp_path)
    with pytest.raises(VideoOversized, match=r"over the limit of 10; .*max_video_bytes"), open_path(path, max_bytes=10):
        pass


def test_a_video_with_too_many_pixels_is_refused_before_it_is_decoded(tmp_path: Path) -> None:
    with pytest.raises(VideoOversized, match=r"64 × 48 pixels, over the limit of 3000; .*extraction.max_pixels"):
        decode(video(0.2)(tmp_path), max_pixels=3000)


@pytest.mark.tried(
    kind="videos", given="a checksum of another file", outcome="`feature_file_corrupt`, before it is decoded"
)
def test_another_checksum_is_refused(tmp_path: Path) -> None:
    path = video(0.2)(tmp_path)
    with path.open("rb") as file, pytest.raises(FeatureFileCorrupt, match="checksum mismatch"):
        measure(file.fileno(), max_bytes=MIB, sha256="0" * 64)


def test_a_wrong_extension_does_not_matter(tmp_path: Path) -> None:
    path = write_video(tmp_path / "video.mkv", steady(0.2)).rename(tmp_path / "video.txt")
    assert [step_of(frame.image) for frame in decode(path)[1]] == list(range(5))


def test_one_picture_is_one_frame(tmp_path: Path) -> None:
    assert len(decode(write_video(tmp_path / "one.mp4", [0.0]))[1]) == 1


def test_black_pictures_are_frames(tmp_path: Path) -> None:
    black = np.zeros((48, 64, 3), np.uint8)
    _, frames, report = decode(write_video(tmp_path / "black.mp4", steady(1), lambda _: black))
    assert (len(frames), report.damaged, max(int(frame.image.max()) for frame in frames)) == (25, 0, 0)


@pytest.fixture(scope="module")
def picture_8k(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("8k") / "8k.mp4"
    return write_video(path, [0.0, 0.04], lambda t: numbered(t, (7680, 4320)), options={"crf": "40"})


@pytest.mark.tried(kind="videos", given="pictures of 8K", outcome="features, in the same memory as of any other")
def test_8k_is_scaled_down(picture_8k: Path) -> None:
    properties, frames, _ = decode(picture_8k)
    assert (properties.width, properties.height) == (7680, 4320)
    assert [frame.image.shape for frame in frames] == [(540, 960, 3)] * 2


@pytest.mark.tried(
    kind="videos", given="a video that needs more memory than its decoder may have", outcome="`video_oversized`"
)
def test_a_decoder_that_needs_more_memory_is_refused_it(picture_8k: Path) -> None:
    with pytest.raises(VideoOversized, match=r"256 MiB; .*extraction.decoder_memory_bytes"):
        decode(picture_8k, decoder_memory_bytes=256 * MIB)
