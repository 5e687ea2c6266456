"""Splits and folds: deterministic, stable, of the size asked for, and without leaks when asked."""

from collections import Counter
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.vdv.data_sets import annotation, in_memory, labelled
from vdv.annotations import Annotation
from vdv.errors import DataSetError
from vdv.splits import draw_folds, draw_split, leaks, partition_column, track_folds


@st.composite
def clip_lists(draw: st.DrawFn) -> list[Annotation]:
    people = draw(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 2)), min_size=4, max_size=60))
    return [annotation(f"clip-{i}", f"dancer-{d}", f"challenge-{c}") for i, (d, c) in enumerate(people)]


def parts(annotations: list[Annotation]) -> dict[str, tuple[str | None, int | None]]:
    return {a.clip_id: (a.split, a.fold) for a in annotations}


@settings(deadline=None)
@given(clip_lists(), st.integers(0, 5), st.randoms(use_true_random=False), st.booleans())
def test_a_split_depends_on_ids_and_seed_alone(
    clips: list[Annotation], seed: int, rng: object, by_dancer: bool
) -> None:
    shuffled = list(clips)
    rng.shuffle(shuffled)  # type: ignore[attr-defined]
    try:
        expected = parts(draw_split(clips, seed=seed, by_dancer=by_dancer))
    except DataSetError:
        with pytest.raises(DataSetError):
            draw_split(shuffled, seed=seed, by_dancer=by_dancer)
    else:
        assert parts(draw_split(shuffled, seed=seed, by_dancer=by_dancer)) == expected


@settings(deadline=None)
@given(clip_lists(), st.floats(0.05, 0.6))
def test_every_challenge_is_split_in_its_share(clips: list[Annotation], share: float) -> None:
    drawn = draw_split(clips, test_share=share)
    sizes = Counter(a.challenge_id for a in clips)
    held = Counter(a.challenge_id for a in drawn if a.split == "test")
    for challenge, size in sizes.items():
        assert held[challenge] == min(max(1, round(share * size)), size - 1)
    assert all(a.split in ("train", "test") and a.fold is None for a in drawn)


@settings(deadline=None)
@given(clip_lists(), st.integers(0, 5))
def test_a_split_by_dancer_never_leaks_and_leaves_both_sides_of_every_challenge(
    clips: list[Annotation], seed: int
) -> None:
    try:
        drawn = draw_split(clips, seed=seed, by_dancer=True)
    except DataSetError:  # whole dancers do not divide some challenge
        return
    assert leaks(in_memory(drawn)) == []
    for challenge in {a.challenge_id for a in clips}:
        found = Counter(a.split for a in drawn if a.challenge_id == challenge)
        assert found.total() == 1 or len(found) == 2


@settings(deadline=None)
@given(clip_lists(), st.integers(2, 4), st.integers(0, 3))
def test_folds_by_dancer_never_leak_and_hold_each_clip_once(clips: list[Annotation], folds: int, seed: int) -> None:
    dancers = {a.dancer_id for a in clips}
    if len(dancers) < folds:
        with pytest.raises(DataSetError, match="dancers"):
            draw_folds(clips, folds, seed=seed)
        return
    drawn = draw_folds(clips, folds, seed=seed)
    data = in_memory(drawn)
    assert leaks(data) == []
    found = track_folds(data)
    assert sorted(i for fold in found for i in fold.test) == list(range(len(clips)))
    for fold in found:
        assert sorted(fold.train + fold.test) == list(range(len(clips)))
        assert not {clips[i].dancer_id for i in fold.train} & {clips[i].dancer_id for i in fold.test}
    reversed_rows = parts(draw_folds(clips[::-1], folds, seed=seed))
    assert reversed_rows == parts(drawn)


@settings(deadline=None)
@given(st.lists(st.integers(1, 20), min_size=3, max_size=30), st.integers(2, 3))
def test_folds_differ_by_no_more_than_the_largest_group(sizes: list[int], folds: int) -> None:
    clips = [annotation(f"{d}-{i}", f"dancer-{d}") for d, size in enumerate(sizes) for i in range(size)]
    held = Counter(a.fold for a in draw_folds(clips, folds))
    assert max(held.values()) - min(held.values()) <= max(sizes)
    assert set(held) == set(range(folds))


def test_the_largest_groups_are_dealt_first() -> None:
    sizes = {"a": 7, "b": 5, "c": 4, "d": 3, "e": 1}
    clips = [annotation(f"{d}-{i}", d) for d, size in sizes.items() for i in range(size)]
    held = Counter(a.fold for a in draw_folds(clips, 2))
    assert held == {0: 10, 1: 10}


def test_folds_of_single_clips_are_even_in_every_challenge() -> None:
    drawn = draw_folds(labelled(40, challenges=4), 5, by_dancer=False)
    assert set(Counter((a.challenge_id, a.fold) for a in drawn).values()) == {2}


def test_another_seed_draws_another_split() -> None:
    drawn = [parts(draw_split(labelled(40), seed=seed)) for seed in range(4)]
    assert all(one != other for one, other in pairwise(drawn))


def test_a_challenge_of_one_clip_is_learned_from() -> None:
    (drawn,) = draw_split([annotation("a")])
    assert drawn.split == "train"


def test_a_challenge_that_whole_dancers_cannot_divide_is_named() -> None:
    clips = [annotation(f"{i}", "ada") for i in range(6)]
    with pytest.raises(DataSetError, match=r"'renegade'.*6 clips.*grouped folds"):
        draw_split(clips, by_dancer=True)


@pytest.mark.parametrize("share", [0.0, 1.0, -0.2, float("nan")])
def test_a_share_outside_0_and_1_is_refused(share: float) -> None:
    with pytest.raises(DataSetError, match="test share"):
        draw_split(labelled(4), test_share=share)


@pytest.mark.parametrize(
    ("folds", "by_dancer", "kind"), [(1, False, "clips"), (9, False, "clips"), (4, True, "dancers")]
)
def test_fewer_groups_than_folds_are_refused(folds: int, by_dancer: bool, kind: str) -> None:
    with pytest.raises(DataSetError, match=rf"{folds} folds of \d {kind}"):
        draw_folds(labelled(8, dancers=3), folds, by_dancer=by_dancer)


def test_one_stored_split_serves_the_single_tracks_and_the_track_of_all() -> None:
    data = in_memory(draw_split(labelled(30, challenges=3)))
    (everything,) = track_folds(data)
    assert len(everything.train) + len(everything.test) == 30
    assert everything.name == "split"
    singles = [track_folds(data, challenge)[0] for challenge in data.challenges]
    for challenge, fold in zip(data.challenges, singles, strict=True):
        assert {data.annotations[i].challenge_id for i in fold.train + fold.test} == {challenge}
        assert len(fold.test) == 2
    assert sorted(i for fold in singles for i in fold.test) == everything.test
    assert sorted(i for fold in singles for i in fold.train) == everything.train


def test_a_challenge_without_clips_in_a_fold_has_one_fold_less() -> None:
    clips = [annotation(f"{i}", challenge_id="a" if i < 4 else "b", fold=i % 2 if i < 4 else i % 3) for i in range(10)]
    data = in_memory(clips)
    assert [fold.name for fold in track_folds(data)] == ["fold 0", "fold 1", "fold 2"]
    assert [fold.name for fold in track_folds(data, "a")] == ["fold 0", "fold 1"]


@pytest.mark.parametrize(
    ("clips", "track", "named"),
    [
        (labelled(4), "all", "neither split nor fold; run: dancerank data split nowhere"),
        ([annotation("a", split="train", fold=1)], "all", "both split and fold; remove one"),
        ([annotation("a", split="train"), annotation("b", row=3)], "all", "row 3, split: is empty"),
        ([annotation("a", split="train")], "all", "no clip is held out; draw the column split again"),
        ([annotation("a", split="test")], "all", "no clip is to learn from"),
        ([annotation("a", fold=2), annotation("b", fold=2)], "all", "no clip is to learn from"),
        (draw_split(labelled(4)), "swan-lake", "'swan-lake'; give all or one of challenge-0, challenge-1"),
    ],
)
def test_a_track_that_cannot_be_run_names_the_remedy(clips: list[Annotation], track: str, named: str) -> None:
    with pytest.raises(DataSetError, match=named):
        track_folds(in_memory(clips), track)


@pytest.mark.parametrize("column", ["split", "fold"])
def test_a_leak_names_the_dancer_and_the_rows(column: str) -> None:
    first, second = ("train", "test") if column == "split" else (0, 1)
    clips = [
        annotation("a", "ada", row=2, **{column: first}),
        annotation("b", "bob", row=3, **{column: first}),
        annotation("c", "ada", row=4, **{column: second}),
        annotation("d", "bob", row=5, **{column: first}),
    ]
    data = in_memory(clips)
    assert partition_column(data) == column
    (finding,) = leaks(data)
    for named in ("'ada'", f"{first} in row 2", f"{second} in row 4", "--by-dancer"):
        assert named in str(finding)
