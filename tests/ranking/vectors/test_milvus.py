"""Milvus as an index: the contract that every index passes, and a view that is built, left and opened again."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from pymilvus import MilvusException
from pymilvus.exceptions import DataNotMatchException, ParamError

from ranking.vectors.backends import milvus
from ranking.vectors.backends.contract import INDEX_CHECKS
from ranking.vectors.backends.milvus import MilvusBackend
from ranking.vectors.backends.port import Filter, IndexBackend, IndexedClip
from schemas.errors import ConfigurationError, StoreRefused, StoreUnavailable
from schemas.modalities import Modality

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def backend(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MilvusBackend]:
    made = MilvusBackend(uri=str(tmp_path_factory.mktemp("milvus") / "index.db"))
    yield made
    made._client.close()


@pytest.mark.parametrize("check", INDEX_CHECKS, ids=lambda check: check.__name__)
def test_milvus_keeps_the_contract_of_indexes(backend: MilvusBackend, check: Callable[[IndexBackend], None]) -> None:
    check(backend)


@pytest.mark.parametrize("name", ['quo"te', "back\\slash", "] or true or [", "ünï", "日本", "a" * 128])
def test_no_id_is_part_of_the_syntax_of_a_filter(backend: MilvusBackend, name: str) -> None:
    index = backend.open("odd", Modality.FACIAL, 2)
    vectors = np.eye(2, dtype=np.float32)
    index.upsert([IndexedClip(name, name, name, 0), IndexedClip("other", "other", "other", 1)], vectors)
    by_challenge = Filter(clip_ids=lambda: [name], rows=lambda: np.array([0]), count=1, challenge_id=name)
    by_id = Filter(clip_ids=lambda: [name], rows=lambda: np.array([0]), count=1)
    assert index.search(vectors[1], 2, among=by_challenge).ids == [name]
    assert index.search(vectors[1], 2, among=by_id).ids == [name]
    index.remove([name])
    assert len(index) == 1
    backend.drop("odd", Modality.FACIAL)


def test_a_filter_that_admits_more_clips_than_a_request_names_still_finds_only_them(
    backend: MilvusBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(milvus, "MOST_LISTED", 2)
    index, angles = backend.open("many", Modality.FACIAL, 2), np.linspace(0, 1, 9)
    vectors = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
    index.upsert([IndexedClip(f"c{n}", "challenge", "dancer", n) for n in range(9)], vectors)
    odd = [f"c{n}" for n in (1, 3, 5, 7)]
    among = Filter(clip_ids=lambda: odd, rows=lambda: np.array([1, 3, 5, 7]), count=4)
    assert index.search(vectors[0], 3, among=among).ids == ["c1", "c3", "c5"]
    backend.drop("many", Modality.FACIAL)


def test_a_state_of_any_size_is_stored_whole(backend: MilvusBackend) -> None:
    for size in (0, 1, 32_000, 3_333_333):
        state = np.random.default_rng(size).bytes(size)
        backend.save_state(state)
        assert backend.load_state() == state


def test_the_server_says_its_version(backend: MilvusBackend) -> None:
    assert re.search(r"\d+\.\d+", backend.version)


def test_an_address_where_no_milvus_answers_is_refused_with_its_setting() -> None:
    with pytest.raises(ConfigurationError, match=r"no Milvus answers at http://127\.0\.0\.1:1 ") as caught:
        MilvusBackend(uri="http://127.0.0.1:1")
    assert caught.value.field == "ranking.milvus_uri"


def test_a_collection_that_is_gone_is_a_store_that_may_come_back(tmp_path: Path) -> None:
    backend = MilvusBackend(uri=str(tmp_path / "index.db"))
    index = backend.open("g1", Modality.SCENIC, 2)
    backend.drop("g1", Modality.SCENIC)
    with pytest.raises(StoreUnavailable, match="searching dancerank_"):
        index.search(np.array([1, 0], np.float32), 1)


@pytest.mark.parametrize(
    "error",
    [
        ParamError(message="vector width mismatch"),
        DataNotMatchException(message="a field is missing"),
        MilvusException(code=1100, message="invalid parameter", is_input_error=True),
    ],
    ids=lambda error: f"{type(error).__name__}-{error.code}",
)
def test_a_request_that_no_waiting_mends_is_refused(
    backend: MilvusBackend, monkeypatch: pytest.MonkeyPatch, error: MilvusException
) -> None:
    index = backend.open("refused", Modality.FACIAL, 2)

    def refuse(*arguments: object, **options: object) -> None:
        raise error

    for call in ("upsert", "search"):
        monkeypatch.setattr(backend._client, call, refuse)
    with pytest.raises(StoreRefused, match=r"writing to dancerank_.*Milvus refuses"):
        index.upsert([IndexedClip("c", "challenge", "dancer", 1)], np.array([[1, 0]], np.float32))
    with pytest.raises(StoreRefused, match="searching dancerank_"):
        index.search(np.array([1, 0], np.float32), 1)
