"""Measures of familiarity: the one that is served is that of the classifier, and validation sees no other style."""

from typing import Any

import numpy as np
import pytest

from benchmarks import style_familiarity
from benchmarks.style_familiarity import SERVED, Clips, judged, refusals, validation
from networks.styles.judging import judge
from networks.styles.movement import described, fit_discriminant
from schemas.joints import MPII_16
from tests.styles import dances


def with_descriptors(**options: Any) -> Clips:
    clips = dances(**options)
    return Clips(clips, described(clips, MPII_16), MPII_16)


def test_the_measure_that_is_served_is_the_familiarity_of_the_classifier() -> None:
    learned, others = with_descriptors(), with_descriptors(first=5000, recordings=2)
    (found,) = judged(learned, others)
    _, familiarity = judge(fit_discriminant(learned.clips, MPII_16), others.clips)
    np.testing.assert_allclose(found[SERVED], familiarity, rtol=1e-5)


def test_unknown_clips_change_no_threshold_and_no_validation(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(style_familiarity, "FOLDS", 3)
    learned, known = with_descriptors(), with_descriptors(first=5000, recordings=2)
    unknown = known._replace(described=known.described + 30)
    found = refusals(learned, known, unknown)[SERVED]
    assert (found.unknown, found.auroc) == (0, 1)
    assert found.known > 0.8
    again = refusals(learned, known, known)[SERVED]
    assert again.known == again.unknown == found.known
    assert set(validation(learned)) == set(refusals(learned, known, unknown))
