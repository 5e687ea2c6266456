"""Rankings, counts and tips of one dance style equal those of a plain list of its clips."""

import random
from collections.abc import Sequence

import numpy as np
import pytest
import sqlalchemy as sa

from ranking.database.connection import Database
from ranking.database.tables import ranking_runs
from ranking.scores.ranks import place
from ranking.scores.runs.audit import differences
from ranking.scores.store import ScoreStore
from ranking.scores.tips.audit import sums_differences
from ranking.serving.service import RankingService
from schemas.clock import ManualClock
from schemas.errors import GuidanceMissing, NotFound, QueryError
from schemas.events import ClipScored, ClipScoredV3, StyleResult, outside_training, training_distance
from schemas.modalities import Dimension
from schemas.questions.retrieval import Order, RankedClip, Window
from tests.ranking.examples import NOW_MS, apply, apply_entries, deletion, guidance, scored_clip

FUSED = Dimension.FUSED
STYLES = ("waltz", "cha-cha", "waltz/slow", "50 %_", None)
HOUR_MS = 3_600_000


def styled(clip_id: str, style: str | None, **changes: object) -> ClipScored:
    return scored_clip(clip_id, style=StyleResult(style=style, probability=0.75), **changes)


def drawn(number: int, draw: random.Random, *, challenges: Sequence[str] = ("ch", "ch2")) -> ClipScored:
    changes = {
        "challenge_id": draw.choice(challenges),
        "uploaded_at_ms": NOW_MS - draw.randrange(3 * HOUR_MS),
        "fused_score": draw.choice([0.25, draw.random()]),
    }
    if draw.random() < 0.1:
        changes["training_distance"] = 2.0
    if draw.random() < 0.2:
        return scored_clip(f"clip-{number:03d}", **changes)
    if draw.random() < 0.3:
        changes["guidance"] = guidance(number)
    return styled(f"clip-{number:03d}", draw.choice(STYLES), **changes)


def style_of(clip: ClipScored) -> str | None:
    found = clip.style if isinstance(clip, ClipScoredV3) else None
    return None if found is None else found.style or "unknown"


def expected(
    clips: Sequence[ClipScored], challenge: str, style: str | None, order: Order = "top", since_ms: int = 0
) -> list[RankedClip]:
    among = [
        clip
        for clip in clips
        if clip.challenge_id == challenge
        and style in (None, style_of(clip))
        and clip.uploaded_at_ms >= since_ms
        and not outside_training(training_distance(clip))
    ]
    scores = [clip.fused_score for clip in among]
    ranked = [
        RankedClip(
            *place(sum(s > clip.fused_score for s in scores), scores.count(clip.fused_score), len(scores)),
            clip.clip_id,
            clip.dancer_id,
            clip.fused_score,
        )
        for clip in among
    ]
    sign = -1 if order == "top" else 1
    return sorted(ranked, key=lambda each: (sign * each.score, each.clip_id))


def changed_clips(store: ScoreStore, *, count: int) -> list[ClipScored]:
    """Clips that come, come again in another challenge or of another style, and are deleted."""
    draw = random.Random(3)
    clips = {clip.clip_id: clip for clip in (drawn(number, draw) for number in range(count))}
    apply(store, list(clips.values()))
    again = [drawn(number, draw) for number in range(0, count, 5)]
    later = {
        clip.clip_id: type(clip)(**{**{f: getattr(clip, f) for f in clip.__struct_fields__}, "uploaded_at_ms": NOW_MS})
        for clip in again
    }
    apply(store, list(later.values()), start=count)
    clips |= later
    gone = [f"clip-{number:03d}" for number in range(0, count, 7)]
    apply_entries(store, *(deletion(clip_id, offset) for offset, clip_id in enumerate(gone)))
    return [clip for clip_id, clip in sorted(clips.items()) if clip_id not in gone]


def test_the_ranking_of_a_style_is_that_of_its_clips_alone(any_database: Database) -> None:
    store = ScoreStore(any_database, ManualClock(start_ms=NOW_MS))
    clips = changed_clips(store, count=300)
    windows: dict[Window, int] = {"all": 0, "1h": (NOW_MS - HOUR_MS) // 60_000 * 60_000}
    for style in ("waltz", "waltz/slow", "50 %_", "unknown", None):
        for window, since_ms in windows.items():
            for order in ("top", "bottom"):
                found = store.ranking("ch", FUSED, "g1", order=order, k=1000, window=window, style=style)
                wanted = expected(clips, "ch", style, order, since_ms)
                assert found.entries == wanted, (style, window, order)
                assert (found.clips, found.style) == (len(wanted), style)
                page = store.ranking("ch", FUSED, "g1", order=order, k=5, window=window, style=style)
                assert page.entries == wanted[:5]
                after = page.entries[-1].clip_id
                following = store.ranking("ch", FUSED, "g1", order=order, k=7, window=window, style=style, after=after)
                assert following.entries == wanted[5:12]
    assert [*differences_of(any_database)] == []
    for style in ("waltz/slow", "50 %_"):  # of the same clips: their distribution, and what is around each
        for window, since_ms in windows.items():
            wanted = expected(clips, "ch", style, "top", since_ms)
            scores = [each.score for each in wanted]
            counted = store.challenge_distribution("ch", FUSED, "g1", bins=7, window=window, style=style)
            assert (counted.clips, counted.style, sum(counted.counts)) == (len(wanted), style, len(wanted))
            assert counted.counts == np.histogram(scores, counted.edges)[0].tolist()
            for at in range(0, len(wanted), 3):
                found = store.neighbours(wanted[at].clip_id, FUSED, "g1", k=4, window=window, style=style)
                assert (found.challenge_id, found.style, found.clips, found.clip) == (
                    "ch",
                    style,
                    len(wanted),
                    wanted[at],
                )
                assert found.above == wanted[max(at - 4, 0) : at][::-1]
                assert found.below == wanted[at + 1 : at + 5]


def differences_of(database: Database) -> list[object]:
    with database.reading() as connection:
        return [*differences(connection), *sums_differences(connection)]


def test_counts_of_styles_are_those_of_the_clips(any_database: Database) -> None:
    store = ScoreStore(any_database, ManualClock(start_ms=NOW_MS))
    clips = changed_clips(store, count=200)
    for challenge in ("ch", None):
        among = [clip for clip in clips if challenge in (None, clip.challenge_id)]
        found = store.styles("g1", challenge)
        styles = [style_of(clip) for clip in among]
        assert {each.style: each.clips for each in found.styles} == {
            style: styles.count(style) for style in styles if style is not None
        }
        assert [each.clips for each in found.styles] == sorted((e.clips for e in found.styles), reverse=True)
        assert (found.clips, found.not_judged) == (len(among), styles.count(None))
        recent = store.styles("g1", challenge, window="1h")
        since_ms = (NOW_MS - HOUR_MS) // 60_000 * 60_000
        assert recent.clips == sum(clip.uploaded_at_ms >= since_ms for clip in among)
        assert recent.since_ms == since_ms
    assert {each.challenge_id for each in store.challenges("g1")} == {"ch", "ch2"}


def test_counts_are_made_again_from_the_rows(sqlite_database: Database) -> None:
    store = ScoreStore(sqlite_database, ManualClock(start_ms=NOW_MS))
    clips = changed_clips(store, count=60)
    before = store.styles("g1", "ch")
    with sqlite_database.writing() as connection:
        connection.execute(sa.delete(ranking_runs).where(ranking_runs.c.challenge_id == "ch/waltz"))
    assert any(str(found).startswith("ch/waltz under g1: 0 clips") for found in store.count_differences())
    store.rebuild_counts()
    assert store.count_differences() == []
    assert store.styles("g1", "ch") == before
    assert store.ranking("ch", FUSED, "g1", order="top", k=99, style="waltz").entries == expected(clips, "ch", "waltz")


def test_a_clip_says_its_style_and_how_probable_it_is(any_database: Database) -> None:
    store = ScoreStore(any_database)
    apply(store, [styled("a", "waltz"), styled("b", None), scored_clip("c")])
    found = [store.clip(clip_id, "g1") for clip_id in "abc"]
    assert [(clip.style, clip.style_probability) for clip in found] == [
        ("waltz", 0.75), ("unknown", 0.75), (None, None)
    ]  # fmt: skip
    assert store.content() != ""


def test_content_depends_on_the_style(sqlite_database: Database, store: ScoreStore) -> None:
    apply(store, [styled("a", "waltz")])
    before = store.content()
    apply(store, [styled("a", "waltz", uploaded_at_ms=NOW_MS)], start=0)
    assert store.content() == before
    apply(store, [styled("a", "tango", uploaded_at_ms=NOW_MS)], start=1)
    assert store.content() != before


def test_tips_of_a_style_are_those_of_its_clips_alone(any_database: Database) -> None:
    store, alone = ScoreStore(any_database), [styled(f"w{n}", "waltz", guidance=guidance(n)) for n in range(4)]
    others = [styled(f"t{n}", "tango", guidance=guidance(10 + n)) for n in range(3)]
    apply(store, alone)
    of_waltz = store.challenge_tips("ch", "g1")
    apply(store, [*others, styled("b", "bolero")], start=4)
    found = store.challenge_tips("ch", "g1", "waltz")
    assert (found.clips, found.style) == (4, "waltz")
    assert (found.overall, found.temporal) == (of_waltz.overall, of_waltz.temporal)
    assert store.challenge_tips("ch", "g1").clips == 7
    assert [(each.challenge_id, each.clips) for each in store.tips("g1").challenges] == [("ch", 7)]
    with pytest.raises(GuidanceMissing, match="challenge ch that shows the style bolero has guidance"):
        store.challenge_tips("ch", "g1", "bolero")
    apply_entries(store, deletion("w0"), deletion("t0", 1))
    assert store.challenge_tips("ch", "g1", "waltz").clips == 3
    assert differences_of(any_database) == []


@pytest.mark.parametrize("style", ["samba", "waltz'", "%", "ch"])
def test_a_style_that_no_clip_shows_is_refused_with_those_that_there_are(store: ScoreStore, style: str) -> None:
    apply(store, [styled("a", "waltz"), styled("b", None)])
    service = RankingService(store)
    with pytest.raises(NotFound, match="its styles are unknown, waltz") as refused:
        service.ranking("ch", style=style)
    assert refused.value.field == "style"
    with pytest.raises(NotFound, match="its styles are unknown, waltz"):
        service.challenge_distribution("ch", bins=3, style=style)
    with pytest.raises(NotFound, match=r"clip a does not show the style .*; it shows waltz") as refused:
        service.neighbours("a", style=style)
    assert refused.value.field == "style"
    with pytest.raises(NotFound, match="challenge other has no clips"):
        service.styles("other")


def test_a_style_that_cannot_be_is_refused(store: ScoreStore) -> None:
    apply(store, [styled("a", "waltz")])
    for style in ("", "x" * 65, "a\0b"):
        with pytest.raises(QueryError, match="1 to 64 characters"):
            RankingService(store).ranking("ch", style=style)
        with pytest.raises(QueryError, match="1 to 64 characters"):
            RankingService(store).neighbours("a", style=style)
        with pytest.raises(QueryError, match="1 to 64 characters"):
            RankingService(store).challenge_distribution("ch", bins=3, style=style)


def test_a_style_that_no_database_holds_stops_nothing(any_database: Database) -> None:
    store = ScoreStore(any_database)
    apply(store, [styled("a", "x\0"), styled("b", "ä'\"")])
    assert [store.clip(clip_id, "g1").style for clip_id in "ab"] == [None, "ä'\""]
    assert store.ranking("ch", FUSED, "g1", order="top", k=5, style="ä'\"").clips == 1


def test_a_challenge_costs_a_constant_number_of_rows_however_many_clips_a_style_has(store: ScoreStore) -> None:
    draw = random.Random(1)
    for start in range(0, 2000, 250):
        batch = [styled(f"c{start + n}", "waltz", fused_score=draw.random()) for n in range(250)]
        apply(store, batch, start=start)
    with store._database.reading() as connection:
        runs = connection.scalars(
            sa.select(sa.func.count()).where(ranking_runs.c.challenge_id == "ch/waltz", ranking_runs.c.minutes == 0)
        ).one()
    assert runs < 20
