"""A clip's result does not depend on its batch, with the shipped networks."""

from pathlib import Path

import numpy as np
import pytest

import dancerank
from dancerank.synthetic import synthesize
from ranking.views.clip_styles import clip_style
from schemas.bundle import Bundle, read_bundle
from schemas.events import ClipScored, embedding_array, temporal_attention
from schemas.modalities import FUSED_MODALITIES, Modality
from schemas.style_classifier import UNKNOWN_STYLE
from streamer.assembly import open_scorer
from streamer.runtimes.onnx_runtime import OnnxRuntime
from streamer.scoring import Scorer, ScoringInput
from tests.clips import random_features, upload

DURATIONS_S = (3.0, 3.04, 4.2, 5.0, 7.96, 12.48, 15.0, 23.0)
LACKING: tuple[set[Modality], ...] = (
    set(),
    {Modality.FACIAL},
    {Modality.SKELETAL, Modality.SCENIC},
    set(FUSED_MODALITIES) - {Modality.HOLISTIC},
    {Modality.HOLISTIC},
)
DANCED = 4
TOLERANCE = 1e-5


@pytest.fixture(scope="module")
def shipped() -> Bundle:
    return read_bundle(Path(dancerank.__file__).parent / "bundle")


def mixed_clips(bundle: Bundle) -> list[ScoringInput]:
    """Every length with some modality lacking here and there, in an order that mixes the lengths; the first and the
    last are routines if the bundle scores them. Some move in a way that it has learned to name.
    """
    clips = []
    for number, duration_s in enumerate((*DURATIONS_S, *DURATIONS_S[::-1])):
        present = [m for m in FUSED_MODALITIES if m not in LACKING[number % len(LACKING)]]
        features = random_features(duration_s, modalities=present, seed=number)
        clips.append((upload(f"clip-{number}", features, duration_s=duration_s), features))
    for number, danced in enumerate(clip.labelled() for clip in synthesize(DANCED, seed=77)):
        clips.insert(4 * number, (upload(f"danced-{number}", danced.features), danced.features))
    if Modality.ROUTINE in bundle.manifest.modalities:
        for duration_s, at in ((61.0, 0), (97.0, len(clips) + 1)):
            features = random_features(duration_s, modalities=[Modality.ROUTINE], seed=at)
            clips.insert(at, (upload(f"routine-{at}", features, duration_s=duration_s), features))
    return clips


def results(scorer: Scorer, batch: list[ScoringInput]) -> list[ClipScored]:
    scored = scorer.score(batch)
    assert all(isinstance(result, ClipScored) for result in scored)
    return scored  # type: ignore[return-value]


@pytest.mark.parametrize("order", ["as they come", "reversed", "longest first"])
def test_a_clip_scores_the_same_alone_and_in_any_mixed_batch(shipped: Bundle, order: str) -> None:
    scorer, clips = open_scorer(shipped), mixed_clips(shipped)
    alone = {clip[0].clip_id: results(scorer, [clip])[0] for clip in clips}
    assert sum(clip_style(clip).style not in (None, UNKNOWN_STYLE) for clip in alone.values()) >= DANCED // 2
    batch = {
        "as they come": clips,
        "reversed": clips[::-1],
        "longest first": sorted(clips, key=lambda clip: -clip[0].duration_s),
    }[order]
    for together in results(scorer, batch):
        expected = alone[together.clip_id]
        assert together.missing == expected.missing
        assert together.fused_score == pytest.approx(expected.fused_score, abs=TOLERANCE)
        for modality, result in expected.modalities.items():
            found = together.modalities[modality]
            assert found.score == pytest.approx(result.score, abs=TOLERANCE)
            assert found.attention == pytest.approx(result.attention, abs=TOLERANCE)
            # float16 embeddings: one unit in the last place where rounding tips.
            np.testing.assert_allclose(embedding_array(found), embedding_array(result), rtol=1.1e-3, atol=1e-5)
        assert clip_style(together).style == clip_style(expected).style
        assert clip_style(together).probability == pytest.approx(clip_style(expected).probability, abs=TOLERANCE)
        attended, alone_attended = temporal_attention(together), temporal_attention(expected)
        assert (attended is None) == (alone_attended is None) == (Modality.ROUTINE not in expected.modalities)
        if attended is not None and alone_attended is not None:
            for part, weights in attended.arrays().items():
                np.testing.assert_allclose(weights, alone_attended.arrays()[part], rtol=1.1e-3, atol=1e-6)


def test_results_do_not_depend_on_what_was_scored_before(shipped: Bundle) -> None:
    scorer, clips = Scorer(OnnxRuntime(shipped)), mixed_clips(shipped)
    first = results(scorer, clips[:1])[0]
    results(scorer, clips)
    again = results(scorer, clips[:1])[0]
    assert again.scores() == pytest.approx(first.scores(), abs=1e-6)


def test_scores_of_different_clips_differ(shipped: Bundle) -> None:
    scored = results(Scorer(OnnxRuntime(shipped)), mixed_clips(shipped))
    assert len({round(clip.fused_score, 6) for clip in scored}) > len(DURATIONS_S)
