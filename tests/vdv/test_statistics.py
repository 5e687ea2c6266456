"""Table 1: what is counted, per challenge and in total."""

from math import log2

import pytest

from schemas.modalities import Modality
from tests.vdv.data_sets import LABEL, annotation
from vdv.statistics import part_of, summarise


def test_each_challenge_and_the_total_are_counted() -> None:
    clips = [
        annotation("a", "ada", "small", duration_s=5.0, views=7, split="test", **LABEL),
        annotation("b", "ada", "large", duration_s=10.0, views=1, split="train", **LABEL),
        annotation("c", "bob", "large", duration_s=3.0, split="train", **(LABEL | {"likes": 100})),
    ]
    steps = {"a": {Modality.SKELETAL: 125, Modality.FACIAL: 15}, "b": {Modality.SKELETAL: 240}}
    large, small, total = summarise(clips, steps)
    assert [s.name for s in (large, small, total)] == ["large", "small", "total"]
    assert (large.clips, large.dancers, large.duration_s, large.frames) == (2, 2, 13.0, 325)
    assert (small.views, large.views, total.views) == (7, None, None)
    assert (total.clips, total.dancers, total.frames) == (3, 2, 450)
    assert total.steps == dict.fromkeys(Modality, 0) | {Modality.SKELETAL: 365, Modality.FACIAL: 15}
    assert total.parts == {"train": 2, "test": 1}
    assert total.scores == (pytest.approx(log2(14 / 3)), pytest.approx(log2(104 / 3)))


def test_the_views_are_known_if_those_of_all_clips_are() -> None:
    clips = [annotation(str(i), views=i * 1000) for i in range(3)]
    assert summarise(clips, {})[-1].views == 3000


def test_scores_of_clips_without_labels_are_unknown() -> None:
    assert summarise([annotation("a"), annotation("b", **LABEL)], {})[-1].scores is None


def test_folds_are_counted_in_their_order() -> None:
    clips = [annotation(str(i), fold=i) for i in (10, 2, 0)]
    assert list(summarise(clips, {})[-1].parts) == ["fold 0", "fold 2", "fold 10"]
    assert part_of(annotation("a")) is None
