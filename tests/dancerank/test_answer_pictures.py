"""Answers become pictures of their numbers; without the package that draws, a sentence."""

import sys
from dataclasses import replace

import pytest

from dancerank.answer_pictures import Drawings
from schemas.errors import NotOffered
from schemas.joints import MPII_16
from schemas.modalities import Dimension
from schemas.questions.feedback import Points, Skeleton
from schemas.questions.pictures import ChallengeStrips, ClipStrip
from schemas.questions.tips import ChallengeTips, OverallTips, TipsAnswer
from tests.dancerank.pictures.drawn import of_class, parsed, words

EDGES = list(MPII_16.edges)
CHALLENGE = ChallengeTips(
    *("a challenge", "g1", 3, "mpii-16", list(MPII_16.joints), EDGES, 0.5, [3, 0], [[0.25] * 15 + [1.0], [None] * 16]),
    [0.5] * 15 + [1.5],
)
EVERY = TipsAnswer("g1", "mpii-16", list(MPII_16.joints), EDGES, [OverallTips("one", 3, [0.1] * 15 + [0.7])])


def test_tips_of_a_challenge_are_drawn_with_their_values() -> None:
    root = parsed(Drawings().tips(CHALLENGE, None, "svg"))
    said = {cell[0].text for cell in of_class(root, "cell")}
    assert {"left wrist, 0 s: 1", "right ankle, 0 s: 0.25", "left wrist: 1.5"} < said
    assert len(of_class(root, "none")) == 16
    assert Drawings().tips(CHALLENGE, None, "png").startswith(b"\x89PNG")
    assert "style" not in "".join(root.itertext())


def test_tips_of_a_style_say_so() -> None:
    root = parsed(Drawings().tips(replace(CHALLENGE, style="cha-cha"), None, "svg"))
    assert "3 clips of style cha-cha" in "".join(root.itertext())


def test_tips_of_all_challenges_are_drawn_with_their_values() -> None:
    root = parsed(Drawings().overall_tips(EVERY, "svg"))
    assert "one, left wrist: 0.7" in {cell[0].text for cell in of_class(root, "cell")}
    assert words(root, "challenge") == ["one"]


def test_without_the_package_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith(("dancerank.pictures", "dancerank.answer_pictures."))]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(NotOffered, match=r"install dancerank\[pictures\]"):
        Drawings().tips(CHALLENGE, None, "png")


def test_strips_are_drawn_with_the_skeletons_that_there_are() -> None:
    points: Points = [[(float(j), float(j % 5)) for j in range(16)] for _ in range(20)]
    points[0] = [None] * 16
    skeleton = Skeleton(
        layout="mpii-16", joints=list(MPII_16.joints), bones=EDGES, rate_hz=5.0, frames=20, positions=points
    )
    best = [ClipStrip("first", 1, 0.9, skeleton), ClipStrip("second", 2, 0.8, None)]
    root = parsed(Drawings().strips(ChallengeStrips("a challenge", Dimension.FUSED, 2, best, []), "svg"))
    assert words(root, "clip") == ["first", "second"]
    assert words(root, "time") == ["4.0 s"]
    assert "its skeleton was not kept" in words(root, "note")
    assert len(of_class(root, "bone")) == 10 * 15
