"""Similarity among the clips of one dance style, before and after a snapshot."""

from pathlib import Path

import pytest

from ranking.vectors.backends.numpy_exact import NumpyBackend
from ranking.vectors.view import IndexView
from schemas.clock import ManualClock
from schemas.errors import NotFound
from schemas.events import StyleResult
from schemas.observation import Observer
from schemas.questions.retrieval import SimilarQuery
from tests.ranking.examples import NOW_MS, apply, apply_entries, deletion, scored_clip

STYLES = ["waltz", "tango", None, "waltz", "not judged", "waltz"]


def view() -> IndexView:
    return IndexView(NumpyBackend(), Observer(), ManualClock(start_ms=NOW_MS))


def filled() -> IndexView:
    made = view()
    clips = [
        scored_clip(f"c{n}", challenge_id="ab"[n % 2])
        if style == "not judged"
        else scored_clip(f"c{n}", challenge_id="ab"[n % 2], style=StyleResult(style=style, probability=0.5))
        for n, style in enumerate(STYLES)
    ]
    apply(made, clips)
    return made


def hits(made: IndexView, **asked: object) -> list[str]:
    return sorted(hit.clip_id for hit in made.similar(SimilarQuery(clip_id="c0", **asked)).hits)  # type: ignore[arg-type]


def test_only_clips_of_the_style_are_hits(tmp_path: Path) -> None:
    made = filled()
    made.save(tmp_path)
    restored = view()
    assert restored.restore(tmp_path)
    assert restored.content() == made.content()
    for held in (made, restored):
        assert hits(held, style="waltz") == ["c3", "c5"]
        assert hits(held, style="unknown") == ["c2"]
        assert hits(held, style="tango", challenge_id="b") == ["c1"]
        assert hits(held, style="waltz", challenge_id="a") == []
        assert hits(held) == ["c1", "c2", "c3", "c4", "c5"]


def test_a_style_that_no_clip_shows_is_not_known() -> None:
    made = filled()
    with pytest.raises(NotFound, match="style samba is not known here") as refused:
        hits(made, style="samba")
    assert refused.value.field == "style"
    apply_entries(made, deletion("c1"))
    with pytest.raises(NotFound, match="style tango is not known here"):
        hits(made, style="tango")


def test_a_clip_that_is_judged_again_has_its_new_style() -> None:
    made = filled()
    later = scored_clip("c4", uploaded_at_ms=NOW_MS + 1, style=StyleResult(style="tango", probability=0.5))
    apply(made, [later], start=9)
    assert hits(made, style="tango") == ["c1", "c4"]
