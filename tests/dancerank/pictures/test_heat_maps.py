"""Heat maps: cells of every joint, normalised to 0–1, with what 0 and 1 are; cells without clips are crossed out."""

from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from dancerank.pictures.bodies import Moving
from dancerank.pictures.heat_maps import (
    MOST_BINS,
    MOST_CHALLENGES,
    ChallengeAttention,
    Example,
    Tips,
    overall_heat_map,
    tips_heat_map,
)
from dancerank.pictures.scales import shade
from dancerank.pictures.sheets import luminance
from schemas.joints import LAYOUTS, MPII_16, JointLayout
from schemas.picture_formats import PictureFormat
from tests.dancerank.pictures.drawn import HOSTILE, dancer, of_class, parsed, pixels, words

SVG = PictureFormat.SVG


def tips(bins: int, layout: JointLayout = MPII_16, **others: Any) -> Tips:
    temporal = np.random.default_rng(0).gamma(2, 0.01, (bins, layout.joint_count))
    clips = np.arange(bins, 0, -1)
    overall = temporal.mean(0) if bins else np.full(layout.joint_count, np.nan)
    return Tips("a challenge", bins, layout.joints, 0.5, temporal, clips, overall)._replace(**others)


def darkness(cell: Any) -> float:
    fill = cell.get("fill")
    return 1 - luminance((int(fill[1:3], 16), int(fill[3:5], 16), int(fill[5:7], 16)))


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=lambda layout: layout.name)
def test_each_joint_has_a_row_of_cells_which_are_darker_where_it_counts_more(layout: JointLayout) -> None:
    given = tips(6, layout)
    given.temporal[2, 0] = 0.0
    root = parsed(tips_heat_map(given, kind=SVG))
    cells = of_class(root, "cell")
    assert len(cells) == 7 * layout.joint_count
    by_title = {(cell[0].text or "").rpartition(":")[0]: darkness(cell) for cell in cells}
    values = {f"{layout.joints[j]}, {b * 0.5:g} s": given.temporal[b, j] for b, j in np.ndindex(given.temporal.shape)}
    ordered = sorted(values, key=lambda title: values[title])
    shades = [by_title[title] for title in ordered]
    assert all(one <= other + 1e-9 for one, other in pairwise(shades))
    assert shades[0] < 0.05
    assert shades[-1] > 0.95


def test_the_key_says_what_0_and_1_are() -> None:
    temporal = np.array([[0.0125] * 15 + [0.5], [0.1] * 16])
    root = parsed(tips_heat_map(tips(2, temporal=temporal), kind=SVG))
    assert "0 = 0, 1 = 0.5 score per mean absolute deviation; half as dark is a quarter of that" in words(root, "key")


def test_a_quarter_of_the_greatest_value_has_half_of_its_shade_on_every_map() -> None:
    values = np.array([0.5, 0.125, *[0.0] * 14])
    for root in (
        parsed(tips_heat_map(tips(1, temporal=values[None], overall=values), kind=SVG)),
        parsed(overall_heat_map([ChallengeAttention("a", 1, values)], MPII_16.joints, kind=SVG)),
    ):
        found = {cell.get("fill") for cell in of_class(root, "cell")}
        assert found == {f"#{red:02x}{green:02x}{blue:02x}" for red, green, blue in map(shade, (0.0, 0.5, 1.0))}
        assert any("half as dark is a quarter" in said for said in words(root, "key"))


def test_both_sides_have_their_joints_in_one_order() -> None:
    rows = words(parsed(tips_heat_map(tips(1), kind=SVG)), "joint")
    assert rows[:4] == ["head top", "upper neck", "thorax", "pelvis"]
    assert rows[4:10] == rows[10:] == ["shoulder", "elbow", "wrist", "hip", "knee", "ankle"]
    assert words(parsed(tips_heat_map(tips(1), kind=SVG)), "side") == ["middle", "right", "left"]


def test_a_bin_without_clips_is_crossed_out_whatever_its_value() -> None:
    given = tips(4, clips_by_bin=np.array([3, 2, 1, 0]))
    root = parsed(tips_heat_map(given, kind=SVG))
    assert len(of_class(root, "none")) == 16
    bars = [float(bar.get("height", "")) for bar in of_class(root, "clips") if bar.tag.endswith("rect")]
    np.testing.assert_allclose(np.array(bars) / bars[0], [1, 2 / 3, 1 / 3, 0], atol=1e-3)


@pytest.mark.parametrize("bins", [0, 1, 30, 120, 1_000])
def test_any_length_of_a_challenge_makes_a_picture_of_bounded_width(bins: int) -> None:
    root = parsed(tips_heat_map(tips(bins), kind=SVG))
    assert 500 < float(root.get("width", "")) < 1_100
    assert len(of_class(root, "cell")) <= 16 * (MOST_BINS + 1)
    assert pixels(tips_heat_map(tips(bins))).shape[1] == round(2 * float(root.get("width", "")))


def test_bins_that_share_a_column_are_averaged_by_their_clips() -> None:
    temporal = np.zeros((2 * MOST_BINS, 16))
    temporal[0], temporal[1] = 1.0, 4.0
    clips = np.ones(2 * MOST_BINS, np.int64)
    clips[0] = 2
    root = parsed(tips_heat_map(tips(2 * MOST_BINS, temporal=temporal, clips_by_bin=clips), kind=SVG))
    assert "head top, 0 s: 2" in {cell[0].text for cell in of_class(root, "cell")}


def test_an_example_stands_above_the_map() -> None:
    root = parsed(tips_heat_map(tips(30), Example("clip-7", 2, Moving(MPII_16, dancer(MPII_16, 375))), kind=SVG))
    assert len(of_class(root, "joint")) == 16 + 10 * 16  # names of rows, and ten poses
    assert "poses of clip-7, rank 2 by movement" in words(root, "note")[0]


def test_an_example_that_ends_early_stands_above_its_own_time_only() -> None:
    poses = dancer(MPII_16, 375)
    poses[150:] = np.nan
    root = parsed(tips_heat_map(tips(30), Example("clip-7", 1, Moving(MPII_16, poses)), kind=SVG))
    assert len(of_class(root, "joint")) == 16 + 4 * 16


@pytest.mark.parametrize("challenges", [0, 1, 75])
def test_the_map_of_challenges_has_a_row_for_each_of_them_up_to_a_bound(challenges: int) -> None:
    rng = np.random.default_rng(0)
    given = [ChallengeAttention(f"{n} {HOSTILE}", n + 1, rng.gamma(3, 0.01, 16)) for n in range(challenges)]
    picture = overall_heat_map(given, MPII_16.joints, kind=SVG)
    root = parsed(picture)
    assert len(of_class(root, "challenge")) == min(challenges, MOST_CHALLENGES)
    assert len(of_class(root, "cell")) == 16 * min(challenges, MOST_CHALLENGES)
    assert ("and 15 more challenges" in words(root, "note")) == (challenges == 75)
    height = float(root.get("height", ""))
    assert height < 100 + 24 * MOST_CHALLENGES + 160
    assert pixels(overall_heat_map(given, MPII_16.joints)).shape[0] == round(2 * height)


def test_a_challenge_without_a_value_for_a_joint_has_a_crossed_cell() -> None:
    overall = np.linspace(0, 1, 16)
    overall[3] = np.nan
    root = parsed(overall_heat_map([ChallengeAttention("a", 1, overall)], MPII_16.joints, kind=SVG))
    assert len(of_class(root, "none")) == 1
