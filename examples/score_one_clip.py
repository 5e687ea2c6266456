"""Score one clip with the bundle that ships, without Kafka: ``python examples/score_one_clip.py``."""

from synthetic_clips import features_of, upload_of

from dancerank import Settings
from schemas import ClipScored, read_bundle
from streamer import open_scorer


def main() -> ClipScored:
    scorer = open_scorer(read_bundle(Settings().bundle_folder))
    [scored] = scorer.score([(upload_of(1), features_of(1))])
    if not isinstance(scored, ClipScored):
        raise scored  # inference failed on this clip
    for modality, result in scored.modalities.items():
        print(f"{modality:10} score {result.score:+.3f}, attention {result.attention:.2f}")
    print(f"{'fused':10} score {scored.fused_score:+.3f}; missing: {', '.join(scored.missing)}")
    return scored


if __name__ == "__main__":
    main()
