"""Where a clip's features can be read again is kept with its scores, and goes with them."""

import pytest

from ranking.database.connection import Database
from ranking.scores.store import ScoreStore
from ranking.serving.service import RankingService
from schemas.errors import NotFound, QueryError
from schemas.events import FeatureFile, VideoFile
from schemas.questions.feedback import FeaturesKept
from tests.ranking.examples import NOW_MS, apply, apply_entries, deletion, scored_clip

FILE, VIDEO = FeatureFile("s3://clips/ä 'b'.safetensors", "a" * 64), VideoFile("file:///videos/a.mp4")
DURATION_S = 10.0
OF_FILE, OF_VIDEO = (FeaturesKept(source, NOW_MS, DURATION_S) for source in (FILE, VIDEO))


def test_the_source_of_a_clip_is_that_of_its_latest_record(any_database: Database) -> None:
    store = ScoreStore(any_database)
    service = RankingService(store)
    apply(store, [scored_clip("a", features=FILE), scored_clip("b", features=VIDEO), scored_clip("c")])
    assert [service.source(clip_id) for clip_id in "abc"] == [OF_FILE, OF_VIDEO, None]
    again = [scored_clip("a", features=VIDEO, uploaded_at_ms=NOW_MS + 1), scored_clip("b", uploaded_at_ms=NOW_MS + 1)]
    apply(store, again, start=3)
    assert [service.source(clip_id) for clip_id in "ab"] == [FeaturesKept(VIDEO, NOW_MS + 1, DURATION_S), None]


def test_a_deleted_clip_and_an_unknown_one_have_no_source(any_database: Database) -> None:
    store = ScoreStore(any_database)
    apply(store, [scored_clip("a", features=FILE)])
    apply_entries(store, deletion("a"))
    for clip_id in ("a", "b"):
        with pytest.raises(NotFound, match=f"clip {clip_id} is not known"):
            RankingService(store).source(clip_id)
    with pytest.raises(QueryError):
        RankingService(store).source("a/b")


def test_a_generation_that_kept_no_source_uses_that_of_another(any_database: Database) -> None:
    store = ScoreStore(any_database)
    apply(store, [scored_clip("a", generation="before")])
    apply(store, [scored_clip("a", generation="new", features=FILE)], start=1)
    apply(store, [scored_clip("a", generation="newer", features=VIDEO)], start=2)
    assert store.active_generation() == "before"
    assert RankingService(store).source("a") in (OF_FILE, OF_VIDEO)
    assert [store.source("a", generation) for generation in ("new", "newer")] == [OF_FILE, OF_VIDEO]


def test_features_of_an_earlier_upload_are_those_of_another_clip(any_database: Database) -> None:
    store = ScoreStore(any_database)
    before = scored_clip("a", generation="before", features=FILE)
    apply(store, [before, scored_clip("a", generation="new", uploaded_at_ms=NOW_MS + 1)])
    assert [store.source("a", generation) for generation in ("before", "new")] == [
        FeaturesKept(FILE, NOW_MS, None),
        None,
    ]
    assert store.source("a", None) is store.source("a", "gone") is None, "uploaded last"


def test_a_uri_that_no_database_holds_stops_nothing(any_database: Database) -> None:
    store = ScoreStore(any_database)
    apply(store, [scored_clip("a", features=FeatureFile("file:///\0")), scored_clip("b", features=FILE)])
    assert [store.source(clip_id, "g1") for clip_id in "ab"] == [None, OF_FILE]
