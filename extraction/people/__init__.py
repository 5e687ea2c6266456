"""People in videos: the pose of one dancer, who is followed from frame to frame, the dancer's mask, and the skeletal
stream.
"""

from collections.abc import Callable

from extraction.frames import VideoProperties
from extraction.networks import Network
from extraction.people.detection import PersonDetector
from extraction.people.landmarks import LandmarkNetwork
from extraction.people.skeleton import SkeletalExtractor
from extraction.people.tracking import DancerTracker
from extraction.streams import OpenStreamExtractor


def open_people(detector: Network, landmarks: Network) -> Callable[[VideoProperties], DancerTracker]:
    """Trackers of videos, one each, that share the networks ``pose-detector`` and ``pose-landmarks-lite`` (or
    ``-full``, ``-heavy``).
    """
    people, bodies = PersonDetector(detector), LandmarkNetwork(landmarks)
    return lambda video: DancerTracker(people, bodies)


def open_skeletal(extractor: str) -> OpenStreamExtractor:
    """Extractors of the skeletal stream, (T, 16, 3) at 25 Hz, from what a tracker sees. ``extractor``: the title of its
    landmark network, as feature files record it.
    """
    return lambda video: SkeletalExtractor(video, extractor)


__all__ = ["open_people", "open_skeletal"]
