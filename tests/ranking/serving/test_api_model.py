"""Questions about the model over HTTP."""

import math
from typing import Any

import msgspec
import pytest

from dancerank.settings import shipped_bundle
from ranking.database.connection import Database
from ranking.monitoring.measurements import Measurements
from ranking.monitoring.reading import ModelReader
from ranking.scores.store import ScoreStore
from ranking.serving.service import RankingService
from schemas.bundle import SYNTHETIC_WARNING, BundleManifest, read_manifest
from schemas.clock import ManualClock
from tests.ranking.databases import UNREACHABLE
from tests.ranking.examples import apply, scored_clip
from tests.ranking.monitoring.test_measurements import measured
from tests.ranking.serving.test_api import Client, client_of, get

MANIFEST = read_manifest(shipped_bundle())


def client(store: ScoreStore, database: Database, manifest: BundleManifest | None = MANIFEST) -> Client:
    reader = ModelReader(database, ManualClock(start_ms=50), manifest, "no readable manifest")
    return client_of(RankingService(store, model=reader))


def scored(store: ScoreStore, *generations: str) -> None:
    for number, generation in enumerate(generations):
        apply(store, [scored_clip("c1", generation=generation)], start=10 * number)


def card(answer: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = answer["card"]
    return found


def test_the_card_says_what_the_bundle_is_and_that_it_was_trained_on_synthetic_clips(
    store: ScoreStore, sqlite_database: Database
) -> None:
    scored(store, MANIFEST.generation)
    found = card(get(client(store, sqlite_database), "/v1/model"))
    assert (found["generation"], found["is_active"]) == (MANIFEST.generation, True)
    assert (found["trained_on_synthetic_clips"], found["warning"]) == (True, SYNTHETIC_WARNING)
    assert found["training_data"] == MANIFEST.training_data
    assert found["metrics"] == MANIFEST.metrics
    assert [stream["modality"] for stream in found["streams"]] == list(MANIFEST.modalities)
    assert all(stream["parameters"] > 1000 for stream in found["streams"])
    assert not any(name.startswith("parameters") for name in found["architecture"])
    assert found["has_gradient_graphs"] is True
    assert MANIFEST.classifier is not None
    assert found["style_classifier"]["styles"] == list(MANIFEST.classifier.styles)
    assert found["style_classifier"]["training_data"] == MANIFEST.classifier.training_data


def test_the_card_says_what_a_bundle_lacks_and_no_number_that_is_not_one(
    store: ScoreStore, sqlite_database: Database
) -> None:
    scored(store, MANIFEST.generation)
    assert MANIFEST.classifier is not None
    judged = msgspec.structs.replace(MANIFEST.classifier, metrics={"accuracy of test": 0.9, "AUROC": math.nan})
    found = card(get(client(store, sqlite_database, msgspec.structs.replace(MANIFEST, styles=judged)), "/v1/model"))
    assert found["style_classifier"]["metrics"] == {"accuracy of test": 0.9}
    plain = msgspec.structs.replace(MANIFEST, styles=msgspec.UNSET, guidance=msgspec.UNSET)
    found = card(get(client(store, sqlite_database, plain), "/v1/model"))
    assert (found["has_gradient_graphs"], found["style_classifier"]) == (False, None)


@pytest.mark.parametrize("training_data", ["", "dances, track all, fold 0: 900 clips"])
def test_a_bundle_trained_on_others_has_no_warning(
    store: ScoreStore, sqlite_database: Database, training_data: str
) -> None:
    scored(store, "g1")
    manifest = msgspec.structs.replace(MANIFEST, training_data=training_data)
    found = card(get(client(store, sqlite_database, manifest), "/v1/model"))
    assert (found["trained_on_synthetic_clips"], found["warning"], found["is_active"]) == (False, None, False)
    assert found["training_data"] == (training_data or None)


def test_measurements_are_of_the_active_generation_or_of_the_one_asked_for(
    store: ScoreStore, sqlite_database: Database
) -> None:
    scored(store, "g1", "g2")
    kept = Measurements(sqlite_database)
    for at_ms in (1000, 2000, 3000):
        kept.add("g1", measured(at_ms))
    asked = client(store, sqlite_database)
    answer = get(asked, "/v1/model?points=2")
    assert answer["generation"] == "g1"
    assert [each["measured_at_ms"] for each in answer["history"]] == [2000, 3000]
    latest = answer["latest"]
    assert [(each["challenge_id"], each["correlation"]) for each in latest["agreements"]] == [(None, 0.5), ("ch", 0.5)]
    assert latest["calibrations"][0]["deciles"] == [
        {"low": 0.0, "high": 0.1, "clips": 2, "predicted": 0.25, "observed": 0.5},
        {"low": 0.1, "high": 0.2, "clips": 0, "predicted": None, "observed": None},
    ]
    assert latest["drift"]["score_psi"] == {"fused": 0.02}
    assert [each["agreements"][0]["challenge_id"] for each in answer["history"]] == [None, None]
    assert get(asked, "/v1/model?points=0")["history"] == []
    other = get(asked, "/v1/model?generation=g2")
    assert (other["generation"], other["latest"], other["history"]) == ("g2", None, [])


def test_without_clips_or_a_bundle_the_answer_says_what_is_missing(
    store: ScoreStore, sqlite_database: Database
) -> None:
    answer = get(client(store, sqlite_database, None), "/v1/model")
    assert (answer["generation"], answer["card"], answer["latest"]) == (None, None, None)
    assert answer["card_problem"] == "no readable manifest"


@pytest.mark.parametrize(
    ("query", "status", "parameter"),
    [
        ("generation=g9", 404, "generation"),
        ("points=2017", 422, "points"),
        ("points=-1", 422, "points"),
        ("k=1", 422, "k"),
    ],
)
def test_misuse_is_answered_with_the_parameter_to_blame(
    store: ScoreStore, sqlite_database: Database, query: str, status: int, parameter: str
) -> None:
    scored(store, "g1")
    answer = client(store, sqlite_database).get(f"/v1/model?{query}")
    assert (answer.status_code, answer.json()["error"]["parameter"]) == (status, parameter)


def test_a_database_that_is_down_is_a_503_and_a_service_without_the_model_says_so(store: ScoreStore) -> None:
    scored(store, "g1")
    down = client(store, Database(UNREACHABLE)).get("/v1/model")
    assert (down.status_code, down.json()["error"]["code"]) == (503, "store_unavailable")
    without = client_of(RankingService(store)).get("/v1/model")
    assert (without.status_code, without.json()["error"]["code"]) == (500, "not_served_here")
