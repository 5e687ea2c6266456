"""Sums of guidance equal what a plain loop over the clips that are there gives, whatever came and went."""

import random
from collections.abc import Iterable, Sequence
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ranking.database.connection import Database
from ranking.database.tables import guided_clips, joint_sums
from ranking.scores.generations import Generations
from ranking.scores.store import ScoreStore
from ranking.scores.tips.audit import sums_differences
from ranking.scores.tips.content import MOST_BINS, Sums, guided
from ranking.views.log_records import LogEntry
from schemas.errors import NotFound
from schemas.events import ClipScored, ClipScoredV3, JointGuidance, outside_training, training_distance
from schemas.joints import LAYOUTS
from schemas.ports import ScoredRecord
from tests.ranking.examples import NOW_MS, apply, apply_entries, deletion, guidance, logged, record, scored_clip
from tests.ranking.scores.test_counts import forget, workers

MPII = LAYOUTS["mpii-16"]


def by_hand(of: Sequence[JointGuidance]) -> tuple[list[int], list[list[float]], list[float]]:
    """Clips by bin, Eq. (8) and Eq. (9) of clips with one joint layout, by loops over rational numbers."""
    joints = len(of[0].magnitudes) // (2 * of[0].bins)
    reach: list[int] = []
    temporal: list[list[Fraction]] = []
    overall = [Fraction(0)] * joints
    for each in of:
        values = np.frombuffer(each.magnitudes, "<f2").reshape(-1, joints)
        of_bin = Fraction(each.rate_hz) * Fraction(each.bin_s)
        frames = [min(of_bin, each.frames - at * of_bin) for at in range(len(values))]
        while len(temporal) < len(values):
            temporal.append([Fraction(0)] * joints)
            reach.append(0)
        for at, row in enumerate(values):
            reach[at] += 1
            for joint, value in enumerate(row):
                magnitude = Fraction(float(value)) * Fraction(each.scale)
                temporal[at][joint] += magnitude
                overall[joint] += magnitude * frames[at] / each.frames
    eq_8 = [[float(total / clips) for total in of_bin] for of_bin, clips in zip(temporal, reach, strict=True)]
    return reach, eq_8, [float(total / len(of)) for total in overall]


class Reference:
    """The records that hold, by generation and clip; deleted clips stay deleted."""

    def __init__(self) -> None:
        self.held: dict[tuple[str, str], ScoredRecord] = {}
        self.deleted: set[str] = set()

    def take(self, entries: Iterable[LogEntry]) -> None:
        for entry in entries:
            if isinstance(entry, ScoredRecord):
                key = (entry.clip.generation, entry.clip.clip_id)
                self.held[key] = max(entry, self.held.get(key, entry), key=_written)
            else:
                self.deleted.add(entry.event.clip_id)

    def counted(self, generation: str, challenge_id: str, layout: str) -> list[JointGuidance]:
        return [
            clip.guidance
            for (of, clip_id), (_, clip) in sorted(self.held.items())
            if (of, clip.challenge_id) == (generation, challenge_id) and clip_id not in self.deleted
            if isinstance(clip, ClipScoredV3) and clip.guidance is not None and clip.guidance.joint_layout == layout
            if not outside_training(training_distance(clip))
        ]

    def check(self, store: ScoreStore, generation: str = "g1") -> None:
        with store._database.reading() as connection:
            assert list(sums_differences(connection)) == []
        overall = {}
        for challenge in ("x", "y"):
            found = {layout: self.counted(generation, challenge, layout) for layout in ("mpii-16", "coco-17")}
            of, layout = max((len(clips), layout == "coco-17", layout) for layout, clips in found.items())[::2]
            if not of:
                with pytest.raises(NotFound):
                    store.challenge_tips(challenge, generation)
                continue
            reach, temporal, mean = by_hand(found[layout])
            answer = store.challenge_tips(challenge, generation)
            assert (answer.clips, answer.layout, answer.clips_by_bin) == (of, layout, reach)
            np.testing.assert_allclose(np.array(answer.temporal), temporal, rtol=1e-12, atol=2**-50)
            np.testing.assert_allclose(answer.overall, mean, rtol=1e-12, atol=2**-50)
            overall[challenge] = answer.overall
        if overall:
            assert {each.challenge_id: each.overall for each in store.tips(generation).challenges} == overall


def _written(entry: ScoredRecord) -> tuple[int, int, int]:
    return entry.clip.uploaded_at_ms, entry.record.partition, entry.record.offset


def made(number: int, draw: random.Random, **changes: Any) -> ClipScored:
    """A clip of one of two challenges, most with guidance, some outside the training distribution."""
    fields: dict[str, Any] = {"challenge_id": draw.choice(["x", "x", "y"])}
    if draw.random() < 0.9:
        fields["guidance"] = guidance(draw.randrange(10_000))
    if draw.random() < 0.1:
        fields["training_distance"] = draw.choice([0.5, 2.0])
    return scored_clip(f"clip-{number:03d}", **(fields | changes))


step = st.tuples(
    st.sampled_from(["score", "score", "score again", "move", "delete", "replay"]),
    st.integers(1, 30),
    st.integers(0, 2**16),
)


def follow(store: ScoreStore, steps: Sequence[tuple[str, int, int]]) -> None:
    """Batches of new clips, of clips that are scored again or moved, and deletions, checked at the end."""
    reference, offset, log = Reference(), 0, list[list[LogEntry]]()
    for number, (kind, size, seed) in enumerate(steps):
        draw = random.Random(seed)
        if kind == "replay" and log:
            batch = draw.sample(log[seed % len(log)], len(log[seed % len(log)]))
        elif kind == "delete":
            batch = [deletion(f"clip-{n:03d}", offset + n) for n in draw.sample(range(60), min(size, 10))]
        else:
            start, moved = (draw.randrange(60) if kind == "score" else 0), {"challenge_id": draw.choice("xy")}
            clips = [
                made(start + n, draw, uploaded_at_ms=NOW_MS + number % 3, **(moved if kind == "move" else {}))
                for n in range(size)
            ]
            batch = [ScoredRecord(record(clip, offset + n), clip) for n, clip in enumerate(clips)]
        offset += size
        log.append(batch)
        reference.take(batch)
        store.apply(batch, {})
    reference.check(store)


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(steps=st.lists(step, min_size=1, max_size=8))
def test_tips_follow_the_clips(shared_store: ScoreStore, steps: list[tuple[str, int, int]]) -> None:
    forget(shared_store._database)
    follow(shared_store, steps)


@pytest.mark.postgresql
@settings(max_examples=4, deadline=None, suppress_health_check=list(HealthCheck))
@given(steps=st.lists(step, min_size=1, max_size=8))
def test_tips_follow_the_clips_on_postgresql_too(
    postgresql_database: Database, steps: list[tuple[str, int, int]]
) -> None:
    forget(postgresql_database)
    follow(ScoreStore(postgresql_database), steps)


def test_what_was_added_and_taken_out_again_leaves_no_bit_behind() -> None:
    draw = random.Random(1)
    clips = [guided(scored_clip(f"c{n}", guidance=guidance(n, scale=10.0 ** draw.uniform(-9, 5)))) for n in range(40)]
    known = [clip for clip in clips if clip is not None]
    kept, gone = known[:25], known[25:]
    expected = Sums.none(16).changed([(clip, 1) for clip in kept]).encoded()
    for _ in range(20):
        changes = [(clip, 1) for clip in draw.sample(known, len(known))] + [(clip, -1) for clip in gone]
        sums = Sums.none(16)
        while changes:
            size = draw.randint(1, 9)
            sums, changes = sums.changed(changes[:size]), changes[size:]
        assert sums.encoded() == expected
        assert Sums.decoded(*sums.encoded()).encoded() == expected
    empty = Sums.none(16).changed([(clip, sign) for clip in known for sign in (1, -1)])
    assert empty.encoded() == Sums.none(16).encoded()


def test_a_mean_of_powers_of_two_is_exact(any_store: ScoreStore) -> None:
    magnitudes = np.zeros((2, 16), "<f2")
    magnitudes[0], magnitudes[1, 3] = 0.5, 1.0
    long = guidance(duration_s=0.6, scale=2.0**-20, magnitudes=magnitudes.tobytes())  # 12.5 frames and 2.5
    short = guidance(duration_s=0.4, scale=2.0**-18, magnitudes=magnitudes[:1].tobytes())
    apply(any_store, [scored_clip("a", guidance=long), scored_clip("b", guidance=short), scored_clip("c")])
    found = any_store.challenge_tips("ch", "g1")
    assert (found.clips, found.clips_by_bin, found.bin_s) == (2, [2, 1], 0.5)
    assert found.temporal[0] == [(2.0**-21 + 2.0**-19) / 2] * 16
    assert found.temporal[1] == [2.0**-20 if joint == 3 else 0.0 for joint in range(16)]
    at_3 = (12.5 * 2.0**-21 + 2.5 * 2.0**-20) / 15
    assert found.overall[3] == pytest.approx((at_3 + 2.0**-19) / 2, rel=1e-9)
    assert (found.joints[3], found.bones[0]) == ("left hip", (0, 1))


def test_clips_of_other_joint_layouts_are_summed_apart(any_store: ScoreStore) -> None:
    coco = [scored_clip(f"k{n}", guidance=guidance(n, layout="coco-17")) for n in range(3)]
    apply(any_store, [*(scored_clip(f"m{n}", guidance=guidance(n)) for n in range(2)), *coco])
    found = any_store.challenge_tips("ch", "g1")
    assert (found.layout, found.clips, len(found.overall)) == ("coco-17", 3, 17)
    assert any_store.tips("g1").layout == "coco-17"
    apply_entries(any_store, deletion("k0"), deletion("k1"))
    assert any_store.challenge_tips("ch", "g1").layout == "mpii-16"


def test_a_moment_is_a_mean_over_the_clips_that_last_so_long_and_the_whole_counts_each_clip_once(
    store: ScoreStore,
) -> None:
    for number, seconds in enumerate((0.5, 1.0, 1.5)):
        ones = np.full((number + 1, 16), 0.5**number, "<f2").tobytes()
        clip = guidance(duration_s=seconds, scale=1.0, magnitudes=ones, frames=round(seconds * 30), rate_hz=30.0)
        apply(store, [scored_clip(f"c{number}", guidance=clip)], start=number)
    found = store.challenge_tips("ch", "g1")
    assert found.clips_by_bin == [3, 2, 1]
    assert [row[0] for row in found.temporal] == [pytest.approx(1.75 / 3), 0.75 / 2, 0.25]
    assert found.overall == [pytest.approx(1.75 / 3)] * 16


def test_guidance_that_this_release_cannot_place_counts_for_nothing_and_stops_nothing(any_store: ScoreStore) -> None:
    odd = [
        guidance(1, joint_layout="octopus-8"),
        guidance(2, joint_layout="nul\0"),
        guidance(3, joint_layout="coco-17"),  # of 16 joints
        guidance(4, duration_s=1.0, bin_s=1.0, magnitudes=bytes(32)),
        guidance(5, duration_s=0.5 * MOST_BINS + 1),
        guidance(6, duration_s=0.1, frames=2**31 - 1, rate_hz=1000.0, bin_s=60.0, magnitudes=bytes(2 * 35792 * 16)),
    ]
    apply(any_store, [scored_clip(f"odd-{n}", guidance=each) for n, each in enumerate(odd)])
    with pytest.raises(NotFound, match="no clip of challenge ch has guidance under generation g1; score clips"):
        any_store.challenge_tips("ch", "g1")
    apply(any_store, [scored_clip("even", guidance=guidance(7))], start=20)
    assert any_store.challenge_tips("ch", "g1").clips == 1
    assert any_store.count_differences() == []


def test_a_clip_whose_network_overflowed_counts_as_no_more_than_the_greatest(any_store: ScoreStore) -> None:
    ones = {"duration_s": 0.5, "magnitudes": np.ones(16, "<f2").tobytes()}
    for number, scale in enumerate((1e308, 5e-324, -0.0)):
        apply(any_store, [scored_clip(f"c{number}", guidance=guidance(scale=scale, **ones))], start=number)
    assert any_store.challenge_tips("ch", "g1").temporal == [[1024 / 3] * 16]
    assert any_store.count_differences() == []


def test_workers_that_write_to_the_same_challenges_at_once_add_every_clip_once(any_database: Database) -> None:
    draw, reference = random.Random(5), Reference()
    batches: list[list[list[LogEntry]]] = []
    for worker in range(3):
        own: list[list[LogEntry]] = []
        for number in range(10):
            at_ms = NOW_MS + 100 * worker + number
            # Every other batch is of clips that no other worker writes: their rows keep nobody waiting.
            ids = draw.sample(range(90), 25) if number % 2 else range(100 * worker + 100, 100 * worker + 125)
            clips = [made(n, draw, uploaded_at_ms=at_ms) for n in ids]
            own.append(list(logged(clips, start=number * 25, partition=worker)))
        own.insert(5, [deletion(f"clip-{n:03d}", n, partition=worker) for n in range(worker, 90, 17)])
        batches.append(own)
    assert workers(any_database, batches) == []
    for own in batches:
        for batch in own:
            reference.take(batch)
    store = ScoreStore(any_database)
    reference.check(store)
    at_once, together = store.content(), [entry for own in batches for batch in own for entry in batch]
    forget(any_database)
    store.apply(together, {})
    assert store.content() == at_once


def test_a_retired_generation_takes_its_sums_along(any_store: ScoreStore, any_database: Database) -> None:
    for start, generation in ((0, "g1"), (10, "g2")):
        clips = [scored_clip(f"c{n}", generation=generation, guidance=guidance(n)) for n in range(10)]
        apply(any_store, clips, start=start)
    generations = Generations(any_database)
    generations.activate("g2", NOW_MS)
    list(generations.retire("g1", NOW_MS))
    apply_entries(any_store, deletion("c1"))
    for table in (guided_clips, joint_sums):
        with any_database.reading() as connection:
            assert set(connection.scalars(sa.select(table.c.generation))) == {"g2"}
    assert any_store.challenge_tips("ch", "g2").clips == 9
    assert any_store.count_differences() == []


def test_the_last_clip_takes_the_sums_of_its_challenge_along(any_store: ScoreStore, any_database: Database) -> None:
    apply(any_store, [scored_clip("a", guidance=guidance(1))])
    before = any_store.content()
    apply(any_store, [scored_clip("a", challenge_id="y", uploaded_at_ms=NOW_MS + 1, guidance=guidance(1))], start=1)
    apply(any_store, [scored_clip("a", uploaded_at_ms=NOW_MS + 1, guidance=guidance(1))], start=2)
    assert [each.challenge_id for each in any_store.tips("g1").challenges] == ["ch"]
    assert any_store.content() != before, "the clip is of another upload"
    apply_entries(any_store, deletion("a"))
    with any_database.reading() as connection:
        assert connection.scalars(sa.select(joint_sums.c.challenge_id).order_by(joint_sums.c.challenge_id)).all() == [
            "y"
        ]
    with pytest.raises(NotFound, match="no clip has guidance under generation g1"):
        any_store.tips("g1")
    assert any_store.count_differences() == []


def test_the_state_of_a_challenge_does_not_grow_with_its_clips(any_store: ScoreStore, any_database: Database) -> None:
    def size() -> int:
        with any_database.reading() as connection:
            (row,) = connection.execute(sa.select(joint_sums.c.overall, joint_sums.c.temporal)).all()
            return sum(map(len, row))

    sizes = set()
    for start in range(0, 300, 100):
        clips = [scored_clip(f"c{n}", guidance=guidance(n, duration_s=60.0)) for n in range(start, start + 100)]
        apply(any_store, clips, start=start)
        sizes.add(size())
    (only,) = sizes
    assert only < 12 * MOST_BINS * 17 + 8 * MOST_BINS + 100


def test_the_audit_names_what_differs_and_a_rebuild_mends_it(any_store: ScoreStore, any_database: Database) -> None:
    draw, reference = random.Random(4), Reference()
    batch = logged([made(n, draw) for n in range(50)])
    reference.take(batch)
    any_store.apply(batch, {})
    with any_database.writing() as connection:
        connection.execute(sa.update(guided_clips).values(scale=9.0).where(guided_clips.c.clip_id == "clip-007"))
        connection.execute(sa.delete(joint_sums).where(joint_sums.c.challenge_id == "x"))
        row = {"generation": "g1", "challenge_id": "z", "joint_layout": "mpii-16"}
        clips, overall, temporal = Sums.none(16).changed([(guided(batch[0].clip), 1)]).encoded()  # type: ignore[list-item]
        connection.execute(sa.insert(joint_sums), row | {"clips": clips, "overall": overall, "temporal": temporal})
    found = [str(each) for each in any_store.count_differences()]
    assert found[0].startswith("x under g1: the guidance of 0 clips with mpii-16 joints is in the sums, ")
    assert found[-1] == "z under g1: the guidance of 1 clips with mpii-16 joints is in the sums, 0 held"
    any_store.rebuild_counts()
    assert any_store.count_differences() == []


def test_a_change_of_one_magnitude_behind_the_sums_is_seen(any_store: ScoreStore, any_database: Database) -> None:
    apply(any_store, [scored_clip("a", guidance=guidance(1)), scored_clip("b", guidance=guidance(2))])
    with any_database.writing() as connection:
        connection.execute(sa.update(guided_clips).values(scale=9.0).where(guided_clips.c.clip_id == "a"))
    assert [str(each) for each in any_store.count_differences()] == [
        "ch under g1: the guidance of 2 clips with mpii-16 joints differs from its sums"
    ]


def test_moments_of_the_music_stay_together_by_seconds_and_spread_by_shares_of_the_length(store: ScoreStore) -> None:
    lengths_s = np.linspace(10, 15, 21).round(1).tolist()
    by_share = np.zeros(30)
    for number, length_s in enumerate(lengths_s):
        bins = -(-2 * round(25 * length_s) // 25)
        magnitudes = np.zeros((bins, 16), "<f2")
        magnitudes[12] = 1.0  # 6.0 to 6.5 s
        clip = guidance(duration_s=length_s, scale=1.0, magnitudes=magnitudes.tobytes())
        apply(store, [scored_clip(f"c{number}", guidance=clip)], start=number)
        by_share[int(6.25 / length_s * 30)] += 1 / len(lengths_s)
    by_second = np.array([row[0] for row in store.challenge_tips("ch", "g1").temporal])
    assert (by_second[12], np.count_nonzero(by_second)) == (1.0, 1)
    assert (np.count_nonzero(by_share), by_share.max()) == (7, pytest.approx(0.19, abs=0.01))
