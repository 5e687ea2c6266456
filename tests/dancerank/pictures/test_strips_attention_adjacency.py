"""Strips of skeletons, attention heads in bins, and adjacency matrices."""

import numpy as np
import pytest

from dancerank.pictures.adjacency import Layer, adjacency
from dancerank.pictures.attention import attention_bins
from dancerank.pictures.bodies import Moving
from dancerank.pictures.strips import POSES, Strip, strips
from schemas.joints import DANCE_23, MPII_16
from schemas.picture_formats import STILL, PictureFormat
from tests.dancerank.pictures.drawn import HOSTILE, dancer, of_class, parsed, pixels, words

SVG = PictureFormat.SVG


def strip(rank: int, frames: int | None = 100, clip_id: str = "") -> Strip:
    positions = None if frames is None else dancer(MPII_16, frames, rank)
    return Strip(clip_id or f"clip-{rank}", rank, 1 - rank / 100, 4.0, MPII_16, positions)


def test_each_clip_has_its_rank_id_score_and_poses() -> None:
    best, last = [strip(rank) for rank in range(1, 6)], [strip(rank) for rank in range(91, 96)]
    root = parsed(strips("a challenge", "skeletal", best, last, clips=95, kind=SVG))
    assert words(root, "clip") == [row.clip_id for row in best + last]
    assert words(root, "score") == [f"{row.score:.3f}" for row in best + last]
    assert words(root, "rank") == [f"{row.rank}." for row in best + last]
    assert words(root, "part") == ["best 5", "last 5"]
    assert len(of_class(root, "bone")) == 10 * (POSES * len(MPII_16.edges))


def test_poses_are_taken_evenly_and_a_clip_of_one_frame_has_one() -> None:
    root = parsed(strips("a challenge", "skeletal", [strip(1, 1)], [], clips=1, kind=SVG))
    assert len(of_class(root, "bone")) == len(MPII_16.edges)
    assert words(root, "part") == ["best 1"]


@pytest.mark.parametrize("kind", STILL)
def test_a_challenge_without_clips_or_skeletons_and_any_id_make_a_picture(kind: PictureFormat) -> None:
    hollow = strip(3)._replace(positions=np.full((20, 16, 2), np.nan))
    other = strip(4)._replace(layout=DANCE_23, positions=dancer(DANCE_23, 60))
    best = [strip(1, None), strip(2, clip_id=HOSTILE), hollow, other]
    for rows in ([], best):
        picture = strips(HOSTILE, "fused", rows, [], clips=len(rows), kind=kind)
        if kind is SVG:
            assert words(parsed(picture), "note").count("its skeleton was not kept") == (2 if rows else 0)
        else:
            assert pixels(picture).min() < 128


def test_attention_is_summed_into_thirty_bins_with_their_seconds() -> None:
    weights = np.random.default_rng(0).dirichlet(np.ones(90), 4)
    root = parsed(attention_bins(weights, 15.0, title="a clip", kind=SVG))
    cells = of_class(root, "cell")
    assert len(cells) == 4 * 30
    assert words(root, "tick")[:3] == ["0.0", "0.5", "1.0"]
    said = [float((cell[0].text or "").rpartition(": ")[2]) for cell in cells]
    np.testing.assert_allclose(said, weights.reshape(4, 30, 3).sum(2).ravel(), rtol=6e-3)
    assert words(root, "head") == ["head 1", "head 2", "head 3", "head 4"]


@pytest.mark.parametrize(("heads", "steps"), [(1, 1), (4, 1), (4, 7), (8, 1500)])
def test_any_number_of_heads_and_steps_makes_a_picture(heads: int, steps: int) -> None:
    weights = np.random.default_rng(0).dirichlet(np.ones(steps), heads)
    clip = Moving(MPII_16, dancer(MPII_16, steps))
    root = parsed(attention_bins(weights, steps / 25, title=HOSTILE, clip=clip, kind=SVG))
    assert len(of_class(root, "cell")) == heads * min(30, steps)
    assert pixels(attention_bins(np.zeros((heads, steps)), steps / 25, title="a")).min() < 128


def test_matrices_stand_layer_by_layer_with_one_scale_and_negative_edges_have_a_dash() -> None:
    matrix = np.array([[0.0, 0.25], [-0.5, 0.1]])
    layers = [Layer(2, np.eye(16) / 2, MPII_16.joints), Layer(5, matrix), Layer(8, np.zeros((4, 4)))]
    root = parsed(adjacency([("PSGCN", layers), (HOSTILE, layers[:1])], kind=SVG))
    assert words(root, "layer") == [
        *("layer 2, 16 vertices", "layer 5, 2 vertices", "layer 8, 4 vertices", "layer 2, 16 vertices")
    ]
    assert len(of_class(root, "cell")) == 256 + 4 + 16 + 256
    assert len(of_class(root, "negative")) == 1
    assert {"0 to 0.5", "0 to −0.5, with a dash"} == set(words(root, "key"))
    assert pixels(adjacency([("PSGCN", layers)])).min() < 128
    assert pixels(adjacency([])).max() == 255
