"""Files that people write: settings, pool policies, training recipes, API keys, tables of clips."""

import json
import os
import tomllib
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from random import Random
from typing import Any, Final
from unittest.mock import patch

from dancerank.fitting.recipe import read_recipe
from dancerank.policies import read_policy, shipped_policy
from dancerank.settings import ENV_PREFIX, Settings, load_settings
from ranking.serving.api import create_key, read_keys
from tests.fuzz.folder_inputs import scratch
from tests.fuzz.mutations import TEXTS, absurd, as_json, as_toml, bent, damaged
from tests.fuzz.outcomes import Target
from tests.vdv.data_sets import labelled
from vdv.annotations import write_table
from vdv.folder import open_data_set

SETTINGS: Final[Mapping[str, Any]] = {
    group: dict(values) if isinstance(values, dict) else values
    for group, values in Settings().model_dump(mode="json").items()
    if values is not None
}
RECIPE: Final[Mapping[str, Any]] = {
    "network": {"graph_width": 0.5, "modalities": ["skeletal", "scenic"], "dropout": 0.1, "joint_channels": 2},
    "training": {"epochs": 3, "batch_size": 8, "learning_rate": 1e-3, "schedule": "one-cycle", "precision": "32-true"},
}


@cache
def policy() -> tuple[str, Mapping[str, Any]]:
    text = shipped_policy().read_text(encoding="utf-8")
    return text, tomllib.loads(text)


def _toml(rng: Random, tree: Mapping[str, Any], text: str) -> bytes:
    """A document with another structure, or with damaged bytes."""
    if rng.random() < 0.3:
        return damaged(rng, text.encode())
    found = bent(rng, tree)
    made = as_toml(found if isinstance(found, Mapping) else {"a": found})
    return made.encode(errors="surrogatepass")


def settings_file(rng: Random) -> tuple[bytes, Mapping[str, str]]:
    """A settings file and environment variables."""
    chosen = {group: SETTINGS[group] for group in rng.sample(sorted(SETTINGS), rng.randint(1, 3))}
    variables = {}
    for _ in range(rng.choice((0, 0, 1, 2))):
        group = rng.choice(sorted(SETTINGS))
        keys = sorted(SETTINGS[group]) if isinstance(SETTINGS[group], dict) else ["x"]
        value = rng.choice((absurd(rng), as_json(absurd(rng)).decode()))
        name = f"{ENV_PREFIX}{rng.choice((group, group, 'nothing'))}__{rng.choice(keys)}".upper()
        variables[name] = _for_the_environment(str(value))
    return _toml(rng, chosen, "[kafka]\npartitions = 8\n[streamer]\nfeature_roots = ['file:///a']\n"), variables


def _for_the_environment(text: str) -> str:
    return (
        text.replace("\0", "").encode(errors="surrogateescape" if "\ud800" not in text else "replace").decode()[:5000]
    )


def _file(content: bytes, name: str) -> Path:
    path = scratch() / name
    path.write_bytes(content)
    return path


def read_settings(given: tuple[bytes, Mapping[str, str]]) -> None:
    """What is accepted can be shown, and read again with the same meaning."""
    content, variables = given
    with patch.dict(os.environ, variables):
        found = load_settings(_file(content, "settings.toml"))
    assert repr(found)
    found.model_dump(mode="json")


def policy_file(rng: Random) -> bytes:
    text, tree = policy()
    return _toml(rng, tree, text)


def recipe_file(rng: Random) -> bytes:
    return _toml(rng, RECIPE, as_toml(RECIPE))


def read_a_recipe(content: bytes) -> None:
    read_recipe(_file(content, "recipe.toml"), network={}, training={}).settings()


@cache
def keys() -> bytes:
    path = scratch() / "made-keys"
    path.unlink(missing_ok=True)
    for name in ("app", "dashboard"):
        create_key(path, name, created=datetime(2026, 1, 1, tzinfo=UTC), requests_per_minute=60, burst=5)
    return path.read_bytes()


def key_file(rng: Random) -> bytes:
    if rng.random() < 0.5:
        return damaged(rng, keys())
    lines = keys().splitlines()
    at = rng.randrange(len(lines))
    lines[at] = as_json(bent(rng, json.loads(lines[at])))
    return b"\n".join(lines)


@cache
def table() -> bytes:
    folder = scratch() / "made-table"
    folder.mkdir(exist_ok=True)
    write_table(folder, labelled(4, features="features/a.safetensors", split="train", fold=1, views=3, score=None))
    return (folder / "clips.csv").read_bytes()


def clip_table(rng: Random) -> bytes:
    """A table of clips with labels: bytes damaged, or cells replaced."""
    if rng.random() < 0.4:
        return damaged(rng, table())
    rows = [line.split(b",") for line in table().splitlines()]
    for _ in range(rng.choice((1, 2, 5))):
        row = rng.choice(rows)
        row[rng.randrange(len(row))] = str(rng.choice((absurd(rng), *TEXTS[:4], 3)))[:100_000].encode(errors="replace")
    return rng.choice((b"\n", b"\r\n", b"\r")).join(b",".join(row) for row in rows)


def read_a_table(content: bytes) -> None:
    folder = scratch() / "table"
    folder.mkdir(exist_ok=True)
    (folder / "clips.csv").write_bytes(content)
    data = open_data_set(folder)
    assert all(annotation.clip_id for annotation in data.annotations)


TARGETS: Final = (
    Target("settings", settings_file, read_settings, 0.8),
    Target("pool policies", policy_file, lambda content: read_policy(_file(content, "policy.toml")), 0.5),
    Target("training recipes", recipe_file, read_a_recipe, 0.8),
    Target("API keys", key_file, lambda content: read_keys(_file(content, "keys")), 4.0),
    Target("tables of clips", clip_table, read_a_table, 3.0),
)
