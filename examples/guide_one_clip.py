"""What would raise a clip's score, with the bundle that ships: ``python examples/guide_one_clip.py``."""

from synthetic_clips import features_of

from dancerank import Settings
from schemas import read_bundle
from streamer import CriticalFrame, critical_frames, open_guide


def main() -> list[CriticalFrame]:
    guide = open_guide(read_bundle(Settings().bundle_folder))
    guidance = guide.guidance(features_of(1), of="fused")
    moments = critical_frames(guidance, count=3)
    print(f"fused score {guidance.score:+.3f}; to raise it:")
    for moment in moments:
        print(f"{moment.time_s:6.2f} s: {moment.sentence}")
    return moments


if __name__ == "__main__":
    main()
