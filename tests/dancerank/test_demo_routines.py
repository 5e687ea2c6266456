"""The demonstration streams routines and says which of their heaviest moments were planted."""

import re
from io import StringIO
from pathlib import Path

import numpy as np
import pytest

from dancerank.console.terminal import Console
from dancerank.demo.routines import ROUTINES, show_routines, shows_quality
from dancerank.demo.running import demo_settings, running
from dancerank.settings import load_settings
from dancerank.synthetic.routines import long_routines
from exporters.prometheus import PrometheusObserver
from schemas.modalities import Modality
from schemas.moments import heaviest
from tests.small_bundle import small_bundle


@pytest.mark.parametrize("is_planted", [True, False])
def test_a_moment_counts_as_planted_where_its_segment_or_second_shows_the_quality(is_planted: bool) -> None:
    (routine,) = long_routines(1, seed=5)
    seconds = np.arange(len(routine.static))
    planted = {
        "dynamic": np.isin(5 * seconds // 16, routine.shown_segments),
        "static": np.isin(seconds, routine.shown_seconds),
    }
    weights = {part: (here == is_planted) / (here == is_planted).sum() for part, here in planted.items()}
    moments = heaviest({part: of.tolist() for part, of in weights.items()}, 1.0, count=20, apart_s=0.0)
    assert {moment.part for moment in moments} == {"dynamic", "static"}
    assert {shows_quality(moment, routine) for moment in moments} == {is_planted}


def test_routines_go_through_the_system_where_the_bundle_has_their_stream(tmp_path: Path) -> None:
    bundle = small_bundle(tmp_path / "bundle", modalities=(Modality.SCENIC, Modality.ROUTINE))
    console = Console(file=StringIO(), width=160)
    with running(demo_settings(load_settings(), tmp_path), bundle, PrometheusObserver()) as system:
        system.await_ready()
        show_routines(console, system, tmp_path / "routines", seed=0, clips=0)
    shown = console.file.getvalue()
    assert len(re.findall(r"│ routine-\d +│ +\d+ s +│", shown)) == ROUTINES
    assert re.search(r"The seconds that made the score: \d+ of 15 were planted", shown)
