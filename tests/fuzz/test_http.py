"""The HTTP API against what its own description generates, valid and invalid, and against extreme numbers.

``DANCERANK_FUZZ_EXAMPLES`` sets the amount: each path of the description has a 60th of it, each other test a half.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dancerank_installation import FOLDER
from ranking.serving.api.refusals import REFUSALS
from schemas.errors import ForeignCursor, NotFound, QueryError
from schemas.modalities import FUSED_MODALITIES, Dimension
from tests.fuzz.http_port import CHALLENGES, CLIPS, DANCERS, GENERATIONS, ApiPort, api_port
from tests.fuzz.outcomes import EXAMPLES, fuzzed

CODES: Final = {each.code for each in REFUSALS} | {QueryError.code, NotFound.code, ForeignCursor.code}
_PATH_SHARE: Final = 60
_LIMIT_S: Final = 600 + EXAMPLES
numbers = st.floats() | st.integers() | st.sampled_from([0, -0.0, 1e308, 5e-324, 2**63, 10**400])


@pytest.mark.slow
@pytest.mark.timeout(_LIMIT_S)
@pytest.mark.tried(kind="HTTP edges", given="what schemathesis makes of the API's description", outcome="no finding")
@pytest.mark.parametrize("with_keys", [False, True], ids=["open", "with keys"])
def test_schemathesis_finds_nothing(with_keys: bool, tmp_path: Path) -> None:
    with api_port(tmp_path, with_keys=with_keys) as port:
        command = [sys.executable, "-m", "schemathesis.cli", "run", f"{port.url}/openapi.json"]
        command += ["--checks", "all", "--phases", "examples,coverage,fuzzing,stateful", "--no-color"]
        # Live events never end.
        command += [
            "--exclude-path",
            "/v1/events",
            "--max-examples",
            str(max(EXAMPLES // _PATH_SHARE, 1)),
            "--generation-database",
            "none",
        ]
        if port.key is not None:
            command += ["--header", f"Authorization: Bearer {port.key}"]
        hooks = {"SCHEMATHESIS_HOOKS": "tests.fuzz.unsayable_rules", "PYTHONPATH": str(FOLDER)}
        environment = os.environ | hooks
        found = subprocess.run(
            command, capture_output=True, text=True, cwd=tmp_path, env=environment, check=False, timeout=_LIMIT_S
        )
    assert found.returncode == 0, found.stdout + found.stderr


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiPort]:
    with api_port(tmp_path_factory.mktemp("api"), with_keys=False) as made:
        yield made


@pytest.fixture(scope="module")
def client(port: ApiPort) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=port.url, timeout=60) as made:
        yield made


def check(answer: httpx.Response) -> None:
    """An answer in strict JSON, or an error with a listed code; never a defect."""
    content = json.loads(answer.content, parse_constant=lambda name: pytest.fail(f"{name} in {answer.text}"))
    if answer.status_code != 200:
        assert answer.status_code in (400, 404, 422), answer.text
        assert content["error"].keys() == {"code", "message", "parameter"}
        assert content["error"]["code"] in CODES


def posted(client: httpx.Client, path: str, body: dict[str, Any]) -> httpx.Response:
    """Python's JSON: it may hold NaN and infinities."""
    return client.post(path, content=json.dumps(body), headers={"Content-Type": "application/json"})


@fuzzed(0.5)
@given(
    example=st.sampled_from([{"clip_id": name} for name in CLIPS] + [{"dancer_id": name} for name in DANCERS])
    | st.fixed_dictionaries(
        {"embeddings": st.dictionaries(st.sampled_from(FUSED_MODALITIES), st.lists(numbers, min_size=2, max_size=2))}
    ),
    options=st.fixed_dictionaries(
        {"generation": st.sampled_from(GENERATIONS)},
        optional={
            "weights": st.dictionaries(st.sampled_from(FUSED_MODALITIES), numbers),
            "k": st.integers(),
            "challenge_id": st.sampled_from(CHALLENGES),
            "percentile_from": numbers,
            "uploaded_before_ms": numbers,
            "unlike_weight": numbers,
            "half_life_s": numbers,
            "mmr_lambda": numbers,
            "mmr_pool": numbers,
            "cursor": st.text(),
            "unlike": st.lists(
                st.fixed_dictionaries({"clip_id": st.sampled_from(CLIPS)}, optional={"weight": numbers}), max_size=2
            ),
            "include_own": st.booleans(),
        },
    ),
)
@pytest.mark.tried(kind="HTTP edges", given="weights and embeddings of any numbers", outcome="an answer, or 422")
def test_a_search_with_any_numbers_is_answered_or_refused(
    client: httpx.Client, example: dict[str, Any], options: dict[str, Any]
) -> None:
    check(posted(client, "/v1/similar", example | options))


@fuzzed(0.5)
@given(
    quality=st.sampled_from(["percentiles", "scores"]),
    numbers=st.dictionaries(st.sampled_from(list(Dimension)), numbers),
    counts=st.dictionaries(st.sampled_from(["challenge_clips", "reactions", "views"]), st.integers()),
)
@pytest.mark.tried(kind="HTTP edges", given="a made-up clip of any numbers", outcome="an answer, or 422")
def test_a_made_up_clip_of_any_numbers_is_answered_or_refused(
    client: httpx.Client, quality: str, numbers: dict[str, Any], counts: dict[str, int]
) -> None:
    check(posted(client, "/v1/pools/try", {"challenge_id": CHALLENGES[0], quality: numbers} | counts))


@fuzzed(0.5)
@given(path=st.text(max_size=60), query=st.binary(max_size=60))
@pytest.mark.tried(kind="HTTP edges", given="paths and queries of any bytes", outcome="an answer, 404, 400 or 422")
def test_a_target_of_any_bytes_is_answered_or_refused(client: httpx.Client, path: str, query: bytes) -> None:
    quoted = "".join(f"%{byte:02x}" for byte in query)
    check(client.get(f"/v1/clips/{CLIPS[0]}/similar?generation={quoted}"))
    encoded = "".join(f"%{byte:02X}" for byte in path.encode("utf-8", "surrogatepass"))
    check(client.get(f"/v1/clips/{encoded or 'x'}"))
