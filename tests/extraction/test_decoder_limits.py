"""A decoder that crashes, spins or hangs is ended and its video refused; no other video notices."""

import errno
import resource
import select
import signal
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random

import psutil
import pytest

from extraction.decoding.content import open_path
from extraction.decoding.video import DecodedVideo
from schemas.errors import DecoderEnded, DecoderUnavailable, FeatureError, RetriableError, VideoUnreadable
from tests.extraction.decoded import MIB, decode, limits
from tests.extraction.made_videos import numbered, steady, step_of, write_video
from tests.fuzz.mutations import damaged
from tests.waiting import wait_until


@pytest.fixture(scope="module")
def long_video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """More frames than are decoded ahead, and than a pipe holds."""
    return write_video(tmp_path_factory.mktemp("long") / "v.mp4", steady(8), lambda t: numbered(t, (320, 240)))


def decoders() -> list[psutil.Process]:
    children = psutil.Process().children(recursive=True)
    return [child for child in children if any("worker.py" in word for word in _command(child))]


def _command(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []


@contextmanager
def reading(path: Path) -> Iterator[tuple[DecodedVideo, psutil.Process]]:
    """A video whose first frames were read, and its decoder."""
    with open_path(path, max_bytes=64 * MIB) as content, DecodedVideo(content, limits()) as video:
        next(video.batches())
        (process,) = decoders()
        yield video, process


@pytest.mark.tried(kind="videos", given="a video that crashes its decoder", outcome="`decoder_ended`, with the signal")
def test_a_decoder_that_crashes_is_an_error_of_its_video_alone(long_video: Path) -> None:
    with reading(long_video) as (video, process):
        process.send_signal(signal.SIGSEGV)
        with pytest.raises(DecoderEnded, match="signal SIGSEGV"):
            list(video.batches())
        assert len(decode(long_video)[1]) == 200


@pytest.mark.tried(
    kind="videos", given="a video whose decoder does not answer", outcome="`decoder_ended`; it is killed"
)
def test_a_decoder_without_progress_is_ended(long_video: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out_of_patience, wait = threading.Event(), select.select

    def impatient(files: list[int], *others: object) -> tuple[list[int], list[int], list[int]]:
        while not out_of_patience.is_set():
            if (ready := wait(files, [], [], 0.05))[0]:
                return ready
        return [], [], []

    monkeypatch.setattr(select, "select", impatient)
    with reading(long_video) as (video, process):
        process.suspend()
        out_of_patience.set()
        with pytest.raises(DecoderEnded, match=r"no picture came for 30 s.*extraction.decoder_patience_s"):
            list(video.batches())
    assert not process.is_running()


def test_a_decoder_over_its_cpu_seconds_is_ended(long_video: Path) -> None:
    with reading(long_video) as (video, process):
        assert process.rlimit(psutil.RLIMIT_CPU) == (300, 301)
        assert process.rlimit(psutil.RLIMIT_AS) == (2048 * MIB, 2048 * MIB)
        assert process.rlimit(psutil.RLIMIT_FSIZE) == (0, 0)
        process.send_signal(signal.SIGXCPU)  # as the kernel does at the limit
        with pytest.raises(DecoderEnded, match=r"more than 300 CPU seconds.*extraction.decoder_cpu_s"):
            list(video.batches())


def test_a_decoder_gets_no_secrets_of_its_process(long_video: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DANCERANK_KAFKA__SECRETS", "1234")
    with reading(long_video) as (_, process):
        assert "DANCERANK_KAFKA__SECRETS" not in process.environ()
        held = [file.path for file in process.open_files()]
    assert held == [str(long_video)]


def test_a_decoder_that_cannot_be_started_is_tried_again(long_video: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine without memory says nothing about the video, which must not be dead-lettered."""

    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.ENOMEM, "Cannot allocate memory")

    monkeypatch.setattr(subprocess, "Popen", refuse)
    with pytest.raises(DecoderUnavailable, match="Cannot allocate memory") as caught:
        decode(long_video)
    assert isinstance(caught.value, RetriableError)


def test_leaving_a_video_ends_its_decoder(long_video: Path) -> None:
    with reading(long_video) as (video, process):
        pass
    assert not process.is_running()
    assert decoders() == []
    video.close()


def test_what_is_decoded_ahead_is_bounded(long_video: Path) -> None:
    with reading(long_video) as (video, _):
        wait_until(lambda: video.ahead() >= 32)
        assert video.ahead() == 32


@pytest.mark.tried(
    kind="videos",
    given="videos with random bytes changed, cut out and doubled",
    outcome="frames, or an error of the video",
)
def test_damaged_videos_are_decoded_or_refused(tmp_path: Path) -> None:
    rng = Random(38)
    sound = write_video(tmp_path / "v.mp4", steady(0.6)).read_bytes()
    outcomes = set()
    for number in range(12):
        path = tmp_path / f"{number}.mp4"
        path.write_bytes(damaged(rng, sound))
        try:
            outcomes.add(len(decode(path)[1]) > 0)
        except FeatureError as error:
            outcomes.add(type(error))
        path.unlink()
    assert {True, VideoUnreadable} <= outcomes
    assert [step_of(frame.image) for frame in decode(tmp_path / "v.mp4")[1]] == list(range(15))


def test_the_decoder_takes_the_memory_of_a_picture_once_not_for_each(tmp_path: Path) -> None:
    video = write_video(tmp_path / "v.mp4", steady(3), lambda t: numbered(t, (520, 496)), codec="mpeg4")
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_minflt
    _, frames, _ = decode(video)
    pages = resource.getrusage(resource.RUSAGE_CHILDREN).ru_minflt - before
    assert pages < sum(frame.image.nbytes for frame in frames) / resource.getpagesize(), "with all that Python imports"
