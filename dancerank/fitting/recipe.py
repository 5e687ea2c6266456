"""What to train and how, from a TOML file and the options of the command; read without torch."""

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, NamedTuple, TypeVar

import msgspec

from networks.model_config import ViralityModelConfig
from networks.training_settings import TrainingSettings
from schemas.errors import ConfigurationError
from schemas.escaping import shortened
from schemas.local_files import read_text
from schemas.toml_documents import parse_toml
from schemas.virality_target import TargetSettings

_MAX_QUOTED: Final = 80

Section = TypeVar("Section", ViralityModelConfig, TrainingSettings, TargetSettings)

_SECTIONS: Final = {"network": ViralityModelConfig, "training": TrainingSettings, "virality": TargetSettings}


class Recipe(NamedTuple):
    """The keys that were given of ``[network]`` (``ViralityModelConfig``), ``[training]`` (``TrainingSettings``) and
    ``[virality]`` (``TargetSettings``)."""

    network: Mapping[str, Any]
    training: Mapping[str, Any]
    virality: Mapping[str, Any] = MappingProxyType({})

    def target(self) -> TargetSettings:
        """The target to learn. Raises ``ConfigurationError`` naming a wrong key or value."""
        return _section("virality", TargetSettings, self.virality)

    def settings(self) -> TrainingSettings:
        """The training settings. Raises ``ConfigurationError`` naming a wrong key or value."""
        return _section("training", TrainingSettings, self.training)

    def config(self, defaults: Mapping[str, Any]) -> ViralityModelConfig:
        """The network; what was not given is taken from ``defaults``. Raises as ``settings``."""
        return _section("network", ViralityModelConfig, {**defaults, **self.network})


def read_recipe(
    path: Path | None,
    *,
    network: Mapping[str, Any],
    training: Mapping[str, Any],
    virality: Mapping[str, Any] = MappingProxyType({}),
) -> Recipe:
    """The recipe in the TOML file at ``path``; options in ``network``, ``training`` and ``virality`` win, unless they
    are ``None``.

    Raises ``ConfigurationError`` naming file, table and key, with those that are allowed.
    """
    tables = _read_tables(path)
    for name, table in tables.items():
        allowed = _SECTIONS[name].__struct_fields__
        for key in table:
            if key not in allowed:
                raise ConfigurationError(
                    f"{path}: [{name}] has no key {shortened(repr(key), _MAX_QUOTED)}; allowed: {', '.join(allowed)}",
                    field=shortened(f"{name}.{key}"),
                )
    if path is not None:
        try:
            _verified(Recipe(**{name: tables.get(name, {}) for name in _SECTIONS}))
        except ConfigurationError as error:
            raise ConfigurationError(f"{path}: {error.message}", field=error.field) from error
    given = {"network": network, "training": training, "virality": virality}
    merged = {
        name: {**tables.get(name, {}), **{key: value for key, value in options.items() if value is not None}}
        for name, options in given.items()
    }
    return _verified(Recipe(**merged))


def _read_tables(path: Path | None) -> dict[str, dict[str, Any]]:
    """The tables of a recipe, none without a file. Raises ``ConfigurationError`` naming the file, and a table that no
    recipe has.
    """
    if path is None:
        return {}
    try:
        tables = parse_toml(read_text(path))
    except OSError as error:
        raise ConfigurationError(f"{path}: cannot be read ({error.strerror})") from error
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationError(f"{path}: not valid TOML: {shortened(str(error))}") from error
    for name, table in tables.items():
        if name not in _SECTIONS or not isinstance(table, dict):
            raise ConfigurationError(
                f"{path}: {shortened(repr(name), _MAX_QUOTED)} is not a table of a recipe; "
                f"allowed: {', '.join(f'[{known}]' for known in _SECTIONS)}"
            )
    return tables


def _verified(recipe: Recipe) -> Recipe:
    devices, cores = recipe.settings().devices, os.cpu_count() or 1  # a machine has fewer GPUs than cores
    if isinstance(devices, int) and devices > cores:
        raise ConfigurationError(
            f"[training] devices is {devices}; this machine has at most {cores}", field="training.devices"
        )
    recipe.config({})
    recipe.target()
    return recipe


def _section(name: str, kind: type[Section], values: Mapping[str, Any]) -> Section:
    for key, value in values.items():  # one at a time, as the error of the whole would not always name the key
        field = next(field for field in msgspec.structs.fields(kind) if field.name == key)
        try:
            msgspec.convert(value, field.type)
        except msgspec.ValidationError as error:
            raise ConfigurationError(
                f"{name}.{key}: {shortened(repr(value), _MAX_QUOTED)} is refused ({shortened(str(error))})",
                field=f"{name}.{key}",
            ) from error
    try:
        return msgspec.convert(dict(values), kind)
    except msgspec.ValidationError as error:  # two keys that do not go together
        raise ConfigurationError(f"[{name}] {shortened(str(error))}", field=name) from error
    except ConfigurationError as error:  # a rule of the table's own, which names the key alone
        raise ConfigurationError(f"[{name}] {error.message}", field=f"{name}.{error.field}") from error
