"""Rankings of the last hour, day and week, and neighbours in them, equal those of a plain list of clips."""

import random
from collections.abc import Callable, Sequence

import pytest
import sqlalchemy as sa

from ranking.database.connection import Database
from ranking.database.tables import ranking_parts, ranking_runs
from ranking.scores.ranks import place
from ranking.scores.runs.audit import differences
from ranking.scores.store import ScoreStore
from schemas.clock import ManualClock
from schemas.errors import NotFound, QueryError
from schemas.events import ClipScored
from schemas.modalities import FUSED_MODALITIES, Dimension, Modality
from schemas.questions.retrieval import Order, RankedClip, Window
from tests.ranking.examples import apply, apply_entries, deletion, result, scored_clip

FUSED, FACIAL = Dimension.FUSED, Dimension.FACIAL
MINUTE_MS, HOUR_MS, DAY_MS = 60_000, 3_600_000, 86_400_000
NOON_MS = 19_700 * DAY_MS + 12 * HOUR_MS
WINDOWS: dict[Window, Callable[[int], int]] = {
    "1h": lambda now_ms: (now_ms - HOUR_MS) // MINUTE_MS * MINUTE_MS,
    "24h": lambda now_ms: (now_ms - DAY_MS) // HOUR_MS * HOUR_MS,
    "7d": lambda now_ms: (now_ms - 7 * DAY_MS) // HOUR_MS * HOUR_MS,
    "all": lambda now_ms: 0,
}


def uploaded(number: int, at_ms: int, draw: random.Random) -> ClipScored:
    modalities = [m for m in FUSED_MODALITIES if draw.random() < 0.8] or [Modality.SCENIC]
    return scored_clip(
        f"clip-{number:05d}",
        uploaded_at_ms=at_ms,
        scored_at_ms=at_ms,
        modalities={m: result(score=draw.choice([0.5, draw.random()]), attention=draw.random()) for m in modalities},
        fused_score=draw.choice([0.25, 0.5, draw.gauss(0, 1), draw.gauss(0, 1)]),
    )


class Stream:
    """Clips that were uploaded while a clock went on, and what has to be answered about them at its present time."""

    def __init__(self, database: Database, seed: int = 1) -> None:
        self.clock = ManualClock(start_ms=NOON_MS)
        self.store = ScoreStore(database, self.clock)
        self.draw = random.Random(seed)
        self.clips: dict[str, ClipScored] = {}
        self._offset = 0

    @property
    def now_ms(self) -> int:
        return self.clock.now_ms()

    def upload(self, count: int, *, ago_ms: int, numbers: Sequence[int] | None = None) -> None:
        """Clips that were uploaded at any time up to ``ago_ms`` ago, in one batch."""
        found = [
            uploaded(number, self.now_ms - self.draw.randrange(ago_ms), self.draw)
            for number in numbers or range(self._offset, self._offset + count)
        ]
        apply(self.store, found, start=self._offset)
        self._offset += count
        for clip in found:
            held = self.clips.get(clip.clip_id)
            if held is None or clip.uploaded_at_ms >= held.uploaded_at_ms:
                self.clips[clip.clip_id] = clip

    def delete(self, clip_id: str) -> None:
        apply_entries(self.store, deletion(clip_id, self._offset))
        self.clips.pop(clip_id, None)

    def ranked(self, dimension: Dimension, window: Window) -> list[RankedClip]:
        """Best first."""
        since_ms = WINDOWS[window](self.now_ms)
        within = [c for c in self.clips.values() if c.uploaded_at_ms >= since_ms and dimension in c.scores()]
        values = [clip.scores()[dimension] for clip in within]
        ordered = sorted(within, key=lambda clip: (-clip.scores()[dimension], clip.clip_id))
        return [
            RankedClip(
                *place(sum(v > own for v in values), values.count(own), len(values)), c.clip_id, c.dancer_id, own
            )
            for c in ordered
            for own in [c.scores()[dimension]]
        ]

    def check(self, *, sample: int = 12, k: int = 7) -> None:
        with self.store._database.reading() as connection:
            assert list(differences(connection)) == []
        for window in WINDOWS:
            self._check_attention(window)
            for dimension in (FUSED, FACIAL):
                expected = self.ranked(dimension, window)
                for most in (1, k, 1000):
                    top = self.store.ranking("ch", dimension, "g1", order="top", k=most, window=window)
                    assert (top.clips, top.entries) == (len(expected), expected[:most])
                    assert top.since_ms == (None if window == "all" else WINDOWS[window](self.now_ms))
                bottom = self.store.ranking("ch", dimension, "g1", order="bottom", k=k, window=window)
                worst = sorted(expected, key=lambda clip: (clip.score, clip.clip_id))
                assert bottom.entries == worst[:k]
                for at in {0, len(expected) - 1, *self.draw.sample(range(len(expected)), min(sample, len(expected)))}:
                    if not expected:
                        break
                    clip = expected[at]
                    assert self.store.place(clip.clip_id, dimension, "g1", window=window) == clip
                    found = self.store.neighbours(clip.clip_id, dimension, "g1", k=k, window=window)
                    assert (found.clip, found.clips, found.window) == (clip, len(expected), window)
                    assert found.above == expected[max(0, at - k) : at][::-1]
                    assert found.below == expected[at + 1 : at + 1 + k]

    def check_whole(self) -> None:
        """The whole challenge: page after page, as histograms, and as it grew."""
        self._check_growth()
        for window in ("1h", "7d", "all"):
            for dimension in (FUSED, FACIAL):
                ranked = self.ranked(dimension, window)
                worst = sorted(ranked, key=lambda clip: (clip.score, clip.clip_id))
                self._check_pages(dimension, window, {"top": ranked, "bottom": worst})
                self._check_distribution(dimension, window, [clip.score for clip in ranked])

    def _check_pages(self, dimension: Dimension, window: Window, expected: dict[Order, list[RankedClip]]) -> None:
        """Pages that follow one another hold the ranking, from the top and from the bottom."""
        for order, whole in expected.items():
            found, after = list[RankedClip](), None
            while True:
                page = self.store.ranking(
                    "ch", dimension, "g1", order=order, k=1 + len(whole) // 3, window=window, after=after
                )
                assert page.clips == len(whole)
                found += page.entries
                if not page.entries:
                    break
                after = page.entries[-1].clip_id
            assert found == whole

    def _check_distribution(self, dimension: Dimension, window: Window, scores: list[float]) -> None:
        for bins in (1, 7):
            found = self.store.challenge_distribution("ch", dimension, "g1", bins=bins, window=window)
            assert (found.clips, found.window) == (len(scores), window)
            if not scores:
                assert found.edges == found.counts == []
                continue
            *edges, highest = found.edges
            assert (edges[0], highest) == (min(scores), max(scores))
            assert len(edges) == (1 if edges[0] == highest else bins)
            numbers = [max(n for n, edge in enumerate(edges) if edge <= score) for score in scores]
            assert found.counts == [numbers.count(n) for n in range(len(edges))]

    def _check_growth(self) -> None:
        for by, period_ms, periods in (("minute", MINUTE_MS, 120), ("hour", HOUR_MS, 168), ("day", DAY_MS, 8)):
            found = self.store.growth("ch", "g1", by)
            since_ms = self.now_ms // period_ms * period_ms - (periods - 1) * period_ms
            assert (found.since_ms, found.period_ms) == (since_ms, period_ms)
            numbers = [(clip.uploaded_at_ms - since_ms) // period_ms for clip in self.clips.values()]
            assert found.clips == [numbers.count(number) for number in range(periods)]
            assert found.before == sum(number < 0 for number in numbers)

    def _check_attention(self, window: Window) -> None:
        since_ms, found = WINDOWS[window](self.now_ms), self.store.attention("ch", "g1", window=window)
        within = [clip for clip in self.clips.values() if clip.uploaded_at_ms >= since_ms]
        assert found.clips == len(within)
        shares = {m: [c.modalities[m].attention for c in within if m in c.modalities] for m in FUSED_MODALITIES}
        assert found.present == {m: len(each) for m, each in shares.items() if each}
        means = {m: sum(each) / len(each) for m, each in shares.items() if each}
        assert found.mean_attention == pytest.approx(means, abs=1e-12)


def test_few_clips_are_ranked_by_window(any_database: Database) -> None:
    stream = Stream(any_database)
    for ago_ms in (HOUR_MS, 30 * HOUR_MS, 10 * DAY_MS):
        stream.upload(9, ago_ms=ago_ms)
    stream.check()
    stream.check_whole()


def test_many_clips_are_ranked_by_window_while_the_clock_goes_on(any_database: Database) -> None:
    stream = Stream(any_database, seed=2)
    stream.upload(300, ago_ms=12 * DAY_MS)
    for _ in range(3):
        stream.upload(150, ago_ms=2 * HOUR_MS)
    stream.check()
    for hours in (0.3, 5, 60):
        stream.clock.advance(hours * 3600)
        stream.upload(80, ago_ms=3 * HOUR_MS)
        for _ in range(5):
            stream.upload(3, ago_ms=MINUTE_MS)
        stream.check(sample=4)


def test_a_clip_that_is_deleted_or_uploaded_again_leaves_its_window(any_database: Database) -> None:
    stream = Stream(any_database, seed=3)
    stream.upload(400, ago_ms=3 * DAY_MS)
    for number in range(0, 400, 9):
        stream.delete(f"clip-{number:05d}")
    stream.check(sample=4)
    stream.upload(100, ago_ms=MINUTE_MS, numbers=[n for n in range(1, 400, 4) if n % 9])
    stream.check(sample=4)
    stream.check_whole()


def test_equal_scores_are_listed_by_id_on_both_sides(any_database: Database) -> None:
    stream = Stream(any_database)
    clips = [scored_clip(f"c{n:03d}", uploaded_at_ms=stream.now_ms, fused_score=0.5) for n in range(150)]
    apply(stream.store, clips)
    for window in WINDOWS:
        found = stream.store.neighbours("c075", FUSED, "g1", k=3, window=window)
        assert [clip.clip_id for clip in found.above] == ["c074", "c073", "c072"]
        assert [clip.clip_id for clip in found.below] == ["c076", "c077", "c078"]
        assert {clip.rank for clip in (*found.above, found.clip, *found.below)} == {1}


def test_periods_that_are_over_are_one_run_and_old_ones_are_dropped(any_database: Database) -> None:
    stream = Stream(any_database)
    for _ in range(40):
        stream.upload(70, ago_ms=MINUTE_MS)
        stream.clock.advance(30)
    stream.check(sample=2)
    table = ranking_runs.c
    with any_database.reading() as connection:
        over = connection.execute(
            sa.select(table.minutes, table.start, sa.func.count())
            .where(table.minutes == 1, table.start + 2 < stream.now_ms // MINUTE_MS)
            .group_by(table.minutes, table.start)
        ).all()
        assert over
        assert all(count <= 2 for *_, count in over)
    stream.clock.advance(10 * 86_400)
    stream.upload(70, ago_ms=MINUTE_MS)
    stream.check(sample=2)
    with any_database.reading() as connection:
        starts = connection.scalars(sa.select(table.start).where(table.minutes > 0)).all()
        assert min(starts) >= stream.now_ms // MINUTE_MS - 9 * 1440
        held = set(connection.scalars(sa.select(table.run)))
        assert set(connection.scalars(sa.select(ranking_parts.c.run))) <= held


def test_what_a_window_lacks_is_named(any_database: Database) -> None:
    stream = Stream(any_database)
    apply(stream.store, [scored_clip("old", uploaded_at_ms=stream.now_ms - 2 * HOUR_MS)])
    assert stream.store.ranking("ch", FUSED, "g1", order="top", k=3, window="1h").entries == []
    assert stream.store.attention("ch", "g1", window="1h").mean_attention == {}
    for ask in (stream.store.place, lambda *of, **more: stream.store.neighbours(*of, k=1, **more)):
        with pytest.raises(NotFound, match="uploaded before the window of 1h") as raised:
            ask("old", FUSED, "g1", window="1h")
        assert raised.value.field == "window"
        with pytest.raises(NotFound) as raised:
            ask("none", FUSED, "g1")
        assert raised.value.field == "clip_id"
    with pytest.raises(NotFound, match="challenge nowhere"):
        stream.store.attention("nowhere", "g1", window="1h")
    with pytest.raises(NotFound, match="challenge nowhere"):
        stream.store.ranking("nowhere", FUSED, "g1", order="top", k=1, window="24h")
    with pytest.raises(QueryError, match="k is 0"):
        stream.store.neighbours("old", FUSED, "g1", k=0)


def test_a_page_after_a_clip_that_is_not_there_says_to_begin_again(any_database: Database) -> None:
    stream = Stream(any_database)
    clips = [scored_clip("here"), scored_clip("elsewhere", challenge_id="other"), scored_clip("old", uploaded_at_ms=1)]
    apply(stream.store, clips)
    for after, window in (("none", "all"), ("elsewhere", "all"), ("old", "7d")):
        with pytest.raises(NotFound, match="begin with the first page") as raised:
            stream.store.ranking("ch", FUSED, "g1", order="top", k=3, window=window, after=after)
        assert raised.value.field == "after"


def test_one_clip_and_no_clip_of_a_challenge_have_a_distribution_and_a_growth(any_database: Database) -> None:
    stream = Stream(any_database)
    apply(stream.store, [scored_clip("one", uploaded_at_ms=stream.now_ms - 2 * HOUR_MS, fused_score=0.25)])
    one = stream.store.challenge_distribution("ch", FUSED, "g1", bins=30)
    assert (one.clips, one.edges, one.counts) == (1, [0.25, 0.25], [1])
    none = stream.store.challenge_distribution("ch", FUSED, "g1", bins=30, window="1h")
    assert (none.clips, none.edges, none.counts) == (0, [], [])
    assert stream.store.growth("ch", "g1", "hour").clips[-3:] == [1, 0, 0]
    for ask in (
        lambda: stream.store.challenge_distribution("none", FUSED, "g1", bins=30),
        lambda: stream.store.growth("none", "g1", "day"),
    ):
        with pytest.raises(NotFound) as raised:
            ask()
        assert raised.value.field == "challenge_id"
    with pytest.raises(QueryError, match="bins is 0; expected 1 to 100"):
        stream.store.challenge_distribution("ch", FUSED, "g1", bins=0)
