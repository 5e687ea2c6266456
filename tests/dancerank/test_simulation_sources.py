"""Sources of simulated clips: synthetic ones scored by a bundle, or a data set with its predictions."""

from pathlib import Path

import msgspec
import numpy as np
import pytest

from dancerank.fitting.training import HELD_OUT_SEED, TRAINING_SEED
from dancerank.settings import shipped_bundle
from dancerank.simulation.recorded import recorded_clips, recorded_world
from dancerank.simulation.synthetic import FIRST_SEED, SHORT, SyntheticWorlds
from dancerank.simulation.world import BEFORE
from dancerank.synthetic import plan_clips, synthesize
from networks.predictions import Predictions, write_predictions
from ranking.monitoring.correlation import spearman
from schemas.bundle import Bundle, read_bundle
from schemas.errors import ConfigurationError
from schemas.events import ClipScored, ClipUploaded, InlineFeatures
from schemas.modalities import FUSED_MODALITIES, Dimension, Modality
from streamer.runtimes.onnx_runtime import OnnxRuntime
from streamer.scoring import Scorer
from tests.vdv.data_sets import in_memory, labelled
from vdv.errors import DataSetError
from vdv.virality import raw_score

CLIPS = 48
SEED = 3


@pytest.fixture(scope="module")
def bundle() -> Bundle:
    return read_bundle(shipped_bundle())


def test_synthetic_clips_are_scored_as_each_would_be_alone_and_end_as_eq_1_says(bundle: Bundle) -> None:
    reported: list[int] = []
    world = SyntheticWorlds(bundle, CLIPS, days=2.0).world(SEED, reported.append)
    assert (reported[-1], reported) == (CLIPS, sorted(reported))
    planned = plan_clips(CLIPS, seed=FIRST_SEED + SEED, plan=SHORT)[int(BEFORE * CLIPS) :]
    assert [clip.clip_id for clip in world.clips] == [clip.clip_id for clip in planned]
    for clip, truth in zip(world.clips, planned, strict=True):
        likes, comments, reposts, days, _ = truth.reactions
        assert clip.virality == pytest.approx(float(raw_score(likes, comments, reposts, days)[0]))
        assert set(clip.scores) == {Dimension(m) for m in truth.modalities} | {Dimension.FUSED}
    scorer = Scorer(OnnxRuntime(bundle))
    filmed = {clip.clip_id: clip for clip in synthesize(CLIPS, seed=FIRST_SEED + SEED, plan=SHORT)}
    for clip in world.clips[:4]:
        upload = ClipUploaded(clip.clip_id, clip.dancer_id, clip.challenge_id, 0, 4.0, InlineFeatures(b""))
        scored = scorer.score([(upload, filmed[clip.clip_id].features)])[0]
        assert isinstance(scored, ClipScored)
        assert clip.scores == pytest.approx(scored.scores(), abs=1e-5)
    assert spearman([c.scores[Dimension.FUSED] for c in world.clips], world.rates.tolist()) > 0.3
    again = SyntheticWorlds(bundle, CLIPS, days=2.0).world(SEED)
    assert again.rated == world.rated


def test_synthetic_clips_are_not_those_that_the_bundle_was_trained_or_chosen_with() -> None:
    assert max(TRAINING_SEED, HELD_OUT_SEED) < FIRST_SEED


def test_a_bundle_of_other_joints_is_refused(bundle: Bundle) -> None:
    other = Bundle(msgspec.structs.replace(bundle.manifest, joint_layout="coco-17"), bundle.graphs)
    with pytest.raises(ConfigurationError, match="coco-17"):
        SyntheticWorlds(other, CLIPS, days=2.0).world(1)


def predictions_of(path: Path, clip_ids: list[str]) -> Path:
    rng = np.random.default_rng(0)
    shape = (len(clip_ids), len(FUSED_MODALITIES))
    scores, attention = rng.normal(size=shape), rng.random(shape)
    scores[0, 2] = attention[0, 2] = np.nan
    truth, fused = rng.random(len(clip_ids)), rng.normal(size=len(clip_ids))
    folds = ("test",) * len(clip_ids)
    write_predictions(Predictions(tuple(clip_ids), folds, FUSED_MODALITIES, truth, fused, scores, attention), path)
    return path


def test_predictions_that_evaluate_wrote_are_read_and_absent_modalities_stay_absent(tmp_path: Path) -> None:
    rows = labelled(30)
    path = predictions_of(tmp_path / "p.csv", [row.clip_id for row in rows])
    clips, times = recorded_clips(in_memory(rows), path)
    assert times is None
    predicted = {*FUSED_MODALITIES, Dimension.FUSED}
    assert set(clips[0].scores) == predicted - {Dimension.FACIAL}
    assert set(clips[1].scores) == predicted
    assert clips[5].virality == pytest.approx(float(raw_score(50, 2, 1, 3.0)[0]))
    first, again, other = (recorded_world(clips, times, seed=seed, days=2.0) for seed in (1, 1, 2))
    assert first.rated == again.rated
    assert [c.clip_id for c in first.clips] != [c.clip_id for c in other.clips]


def test_only_held_out_clips_are_replayed_in_the_order_of_their_upload(tmp_path: Path) -> None:
    rows = [
        msgspec.structs.replace(row, split="train" if i % 3 else "test", uploaded_at_ms=10**12 - 1000 * i)
        for i, row in enumerate(labelled(90))
    ]
    held_out = [row.clip_id for row in rows if row.split == "test"]
    clips, times = recorded_clips(in_memory(rows), predictions_of(tmp_path / "p.csv", held_out))
    assert [clip.clip_id for clip in clips] == held_out[::-1]
    assert times == sorted(times or ())
    everything = predictions_of(tmp_path / "all.csv", [row.clip_id for row in rows])
    assert len(recorded_clips(in_memory(rows), everything)[0]) == len(held_out)


def test_what_is_wrong_is_named_with_file_row_and_remedy(tmp_path: Path) -> None:
    rows = labelled(30)
    ids = [row.clip_id for row in rows]
    data = in_memory(rows)
    with pytest.raises(DataSetError, match=r"clips.csv, row 7: clip-5 has no row in .*p.csv; predict all"):
        recorded_clips(data, predictions_of(tmp_path / "p.csv", ids[:5] + ids[6:]))
    with pytest.raises(DataSetError, match=r"p.csv, row 32: 'clip-99' is not in .*; predict the clips"):
        recorded_clips(data, predictions_of(tmp_path / "p.csv", [*ids, "clip-99"]))
    with pytest.raises(DataSetError, match=r"row 32: 'clip-3' comes twice"):
        recorded_clips(data, predictions_of(tmp_path / "p.csv", [*ids, "clip-3"]))
    with pytest.raises(ConfigurationError, match=r"absent.csv: there is no such file; dancerank evaluate"):
        recorded_clips(data, tmp_path / "absent.csv")
    judged = in_memory([msgspec.structs.replace(rows[0], score=3.0, likes=None), *rows[1:]])
    with pytest.raises(DataSetError, match=r"row 2: clip-0 has no counts; give likes"):
        recorded_clips(judged, predictions_of(tmp_path / "p.csv", ids))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("clip_id,truth\nclip-0,1\n", "the column fused is missing"),
        ("clip_id,fused\nclip-0,\n", "row 2, fused: '' is not a score"),
        ("clip_id,fused\nclip-0,nan\n", "row 2, fused: 'nan' is not a score"),
        ("clip_id,fused,facial\nclip-0,1,high\n", "row 2, facial: 'high' is not a score"),
        ("", "is empty"),
    ],
)
def test_a_table_of_other_things_is_refused(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "p.csv"
    path.write_text(text)
    with pytest.raises(DataSetError, match=message):
        recorded_clips(in_memory(labelled(1)), path)


def test_a_data_set_without_held_out_clips_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "p.csv"
    path.write_text("clip_id,fused\n")
    with pytest.raises(DataSetError, match="holds no clips to replay"):
        recorded_clips(in_memory([]), path)


def test_a_bundle_of_fewer_modalities_needs_only_these_filmed(bundle: Bundle) -> None:
    kept = [stream for stream in bundle.manifest.streams if stream.modality is not Modality.HOLISTIC]
    fewer = Bundle(msgspec.structs.replace(bundle.manifest, streams=tuple(kept)), bundle.graphs)
    plan = SyntheticWorlds(fewer, CLIPS, days=2.0).plan()
    assert plan.modalities == tuple(m for m in FUSED_MODALITIES if m is not Modality.HOLISTIC)
