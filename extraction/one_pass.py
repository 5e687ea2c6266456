"""One pass over the frames of a video: decode, follow the dancer, extract every stream."""

import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Final, NamedTuple

import msgspec

from extraction.decoding.content import VideoContent
from extraction.decoding.lengths import check_shortest
from extraction.decoding.video import DecodedVideo, DecoderLimits
from extraction.frames import FRAME_RATE_HZ, VideoProperties
from extraction.stream_threads import StreamThreads
from extraction.streams import ExtractedStream, NotExtracted, OpenPersonTracker, OpenStreamExtractor
from schemas.errors import FeatureValueInvalid, NoUsableModality
from schemas.events import MIN_DURATION_S
from schemas.features import ClipFeatures, decode_features, encode_features
from schemas.modalities import MODALITIES, Modality
from schemas.plausibility import findings

DEFAULT_JOINT_LAYOUT: Final = "mpii-16"

Progress = Callable[[int, int], None]
"""Called after each batch with the frames that are done, and how many there will be as far as that is known."""


@dataclass(frozen=True)
class Extractors:
    """What a pass runs, with their networks loaded; used by several threads at once.

    ``identity`` changes whenever other features may come of the same video: names, versions and checksums of the
    networks, and the settings that matter. ``joint_layout``: of what ``streams`` makes for a modality with joints.
    """

    people: OpenPersonTracker
    streams: Mapping[Modality, OpenStreamExtractor]
    identity: str
    joint_layout: str = DEFAULT_JOINT_LAYOUT


class StreamReport(msgspec.Struct, frozen=True):
    """What came of one modality: ``steps`` of features by ``extractor``, or 0 and the ``reason``. ``seconds``: time
    that its extractor took, on a thread of its own.
    """

    modality: Modality
    steps: int
    extractor: str
    reason: str
    seconds: float


class Report(msgspec.Struct, frozen=True):
    """What a pass did. ``frames`` at 25 Hz, of ``pictures`` in the video, ``damaged`` of which could not be decoded;
    ``with_person``: frames in which the dancer was seen; ``most_people`` in one picture, as far as was looked;
    ``switches`` to another person between cuts. ``decoding_s``: how long the pass waited for frames, which are decoded
    in a process of their own meanwhile; ``total_s``: all of it.
    """

    frames: int
    pictures: int
    damaged: int
    with_person: int
    decoding_s: float
    people_s: float
    streams: tuple[StreamReport, ...]
    total_s: float
    most_people: int = 0
    switches: int = 0

    @property
    def duration_s(self) -> float:
        return self.frames / FRAME_RATE_HZ


class Extraction(NamedTuple):
    """The features of a video, what its container says, and what the pass did."""

    features: ClipFeatures
    properties: VideoProperties
    report: Report


def _silently(*_: int) -> None:
    """Progress that is not shown."""


def extract(
    content: VideoContent,
    extractors: Extractors,
    limits: DecoderLimits,
    *,
    shortest_s: float = MIN_DURATION_S,
    progress: Progress = _silently,
) -> Extraction:
    """The features of a video, in memory that does not grow with its length.

    Raises what ``DecodedVideo`` raises, ``VideoLengthRefused`` for less than ``shortest_s`` seconds and
    ``NoUsableModality``, naming each stream's reason, if no stream could be extracted.
    """
    began_s = time.perf_counter()
    with ExitStack() as exits:
        video = exits.enter_context(DecodedVideo(content, limits))
        properties = video.properties
        if properties.duration_s:
            check_shortest(properties.duration_s, shortest_s)
        people_tracker = extractors.people(properties)
        modalities = [modality for modality in MODALITIES if modality in extractors.streams]
        running = {modality: extractors.streams[modality](properties) for modality in modalities}
        threads = exits.enter_context(StreamThreads(running))
        people_s = decoding_s = 0.0
        with_person = frames = 0
        expected = round(properties.duration_s * FRAME_RATE_HZ)
        mark_s = time.perf_counter()
        for batch in video.batches():
            mark_s, waited_s = _lap(mark_s)
            decoding_s += waited_s
            people = people_tracker.follow(batch)
            mark_s, took_s = _lap(mark_s)
            people_s += took_s
            with_person += sum(person is not None for person in people)
            threads.add(batch, people)
            mark_s, _ = _lap(mark_s)
            frames += len(batch)
            progress(frames, max(expected, frames))
        decoded = video.report
        assert decoded is not None  # set at the end of the batches
        content.check_unchanged()
        check_shortest(frames / FRAME_RATE_HZ, shortest_s)
        results = threads.finish()
    streams: dict[Modality, ExtractedStream] = {}
    reports = []
    for modality in modalities:
        result = _plausible(modality, results[modality], extractors.joint_layout, frames / FRAME_RATE_HZ)
        seconds = threads.seconds[modality]
        if isinstance(result, NotExtracted):
            reports.append(StreamReport(modality, 0, "", result.reason, seconds))
        else:
            streams[modality] = result
            reports.append(StreamReport(modality, len(result.frames), result.extractor, "", seconds))
    report = Report(
        frames,
        decoded.pictures,
        decoded.damaged,
        with_person,
        decoding_s,
        people_s,
        tuple(reports),
        time.perf_counter() - began_s,
        people_tracker.seen.most_people,
        people_tracker.seen.switches,
    )
    return Extraction(_features(streams, reports, extractors.joint_layout), properties, report)


def _features(
    streams: Mapping[Modality, ExtractedStream], reports: list[StreamReport], joint_layout: str
) -> ClipFeatures:
    if not streams:
        reasons = "; ".join(f"{report.modality}: {report.reason}" for report in reports)
        raise NoUsableModality(f"nothing could be extracted ({reasons}); look at the video", field="features.uri")
    has_joints = any(modality.has_joints for modality in streams)
    return ClipFeatures(
        {modality: stream.frames for modality, stream in streams.items()},
        joint_layout if has_joints else None,
        {modality: stream.extractor for modality, stream in streams.items()},
    )


def _plausible(
    modality: Modality, result: ExtractedStream | NotExtracted, joint_layout: str, duration_s: float
) -> ExtractedStream | NotExtracted:
    """``result``, but for a stream that no recording gives and that would have the clip refused with its other streams:
    a face that never changes, a pose that jumps.
    """
    if isinstance(result, NotExtracted):
        return result
    alone = ClipFeatures({modality: result.frames}, joint_layout if modality.has_joints else None)
    try:
        finding = next(findings(decode_features(encode_features(alone)), duration_s), None)
    except FeatureValueInvalid as error:
        return NotExtracted(error.message)
    if finding is None:
        return result
    bound = "at least" if finding.at_least else "at most"
    return NotExtracted(f"{finding.what} is {finding.value:.3g}, and of a real clip {bound} {finding.limit:g}")


def _lap(since_s: float) -> tuple[float, float]:
    now_s = time.perf_counter()
    return now_s, now_s - since_s
