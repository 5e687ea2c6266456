"""Receive what the system measures, beside or in place of Prometheus: ``python examples/own_observer.py``.

Every method of ``Observer`` can be overridden; it has to return at once and must not raise. ``Processes`` takes an
observer as well, and hands it to every process that it builds.
"""

from collections import defaultdict

from synthetic_clips import features_of, upload_of

from dancerank import Settings
from schemas import Modality, Observer, read_bundle
from streamer import open_scorer


class StageTimes(Observer):
    """Adds up how long each stage takes, in seconds, by modality."""

    def __init__(self) -> None:
        self.seconds: defaultdict[str, float] = defaultdict(float)

    def stage_timed(self, stage: str, duration_s: float, modality: Modality | None = None) -> None:
        self.seconds[f"{stage} {modality}" if modality else stage] += duration_s


def main() -> StageTimes:
    times = StageTimes()
    scorer = open_scorer(read_bundle(Settings().bundle_folder), observer=times)
    scorer.score([(upload_of(number), features_of(number)) for number in range(8)])
    for stage, seconds in times.seconds.items():
        print(f"{stage:20} {1000 * seconds:6.1f} ms")
    return times


if __name__ == "__main__":
    main()
