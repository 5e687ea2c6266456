"""One installation of dancerank: its packages import each other and not a stranger of the same name, and what is
missing names the extra that brings it.

The packages have plain names (``schemas``, ``transport``), which other people's modules have as well. Python takes the
first one on its path, and the error that follows names neither. Every package of ours calls ``require_own_packages``
when it is imported. This module belongs to none of them because each of them can be the one that is hidden.
"""

import importlib
import importlib.util
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from io import TextIOWrapper
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

PACKAGES: Final = (
    "schemas",
    "vdv",
    "networks",
    "exporters",
    "transport",
    "streamer",
    "ranking",
    "extraction",
    "dancerank",
)
FOLDER: Final = Path(__file__).resolve().parent
"""The folder that holds all packages of this installation."""
EXTRAS: Final = MappingProxyType(
    {
        **dict.fromkeys(("onnxruntime", "faiss"), "cpu"),
        **dict.fromkeys(("lightning", "onnx", "onnxscript", "sklearn", "torch", "torchmetrics"), "cpu,train"),
        **dict.fromkeys(("matplotlib", "PIL"), "pictures"),
        "confluent_kafka": "embedded",
        "psycopg": "postgresql",
        "pymilvus": "milvus",
        **dict.fromkeys(("av", "cv2", "tflite"), "video"),
        "openvino": "openvino",
    }
)
"""Which extra brings a module that the bare distribution does not."""


class PackageHidden(ImportError):
    """A module that is not ours hides a package of ours; the message names both, and the remedy."""


@cache
def require_own_packages() -> None:
    """Raises ``PackageHidden`` if the name of one of our packages leads Python elsewhere, or nowhere."""
    for package in PACKAGES:
        found = _location(package)
        if found is None:
            raise PackageHidden(
                f"the package {package} of dancerank is missing from {FOLDER}; install dancerank again", name=package
            )
        if found not in (FOLDER / package, FOLDER / package / "__init__.py"):
            raise PackageHidden(
                f"{found} hides the package {package} of dancerank, which is in {FOLDER}; rename it, remove its folder "
                "from PYTHONPATH, or run from another folder",
                name=package,
                path=str(found),
            )


def missing_extra(error: ModuleNotFoundError) -> str | None:
    """The sentence for a module that only an extra brings; None if ``error`` is about any other module."""
    module = (error.name or "").partition(".")[0]
    extra = EXTRAS.get(module)
    if extra is None:
        return None
    alternative = ", or 'dancerank[gpu]' for CUDA" if extra == "cpu" else ""
    return f"this needs {module}; install the extra: pip install 'dancerank[{extra}]'{alternative}"


def lazy_exports(
    package: str, homes: Mapping[str, Sequence[str]]
) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """``__getattr__`` and ``__dir__`` of a package whose public names are imported when they are first used.

    ``homes``: the names by the module that defines each. A missing extra is named by the ``ModuleNotFoundError``.
    """
    modules = {name: module for module, names in homes.items() for name in names}

    def get(name: str) -> Any:
        if name not in modules:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        try:
            value = getattr(importlib.import_module(modules[name]), name)
        except ModuleNotFoundError as error:
            if (sentence := missing_extra(error)) is None:
                raise
            raise ModuleNotFoundError(sentence, name=error.name) from error
        setattr(sys.modules[package], name, value)
        return value

    return get, lambda: sorted({*vars(sys.modules[package]), *modules})


def run_command() -> None:
    """The command ``dancerank``. A hidden package and a missing extra are one sentence on stderr and exit status 1."""
    try:
        require_own_packages()
        from dancerank.cli import app
    except PackageHidden as error:
        sys.exit(f"error: {error}")
    except ModuleNotFoundError as error:
        sentence = missing_extra(error)
        if sentence is None:
            raise
        sys.exit(f"error: {sentence}")
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):  # names need not be UTF-8, and the terminal's encoding may hold less
            stream.reconfigure(errors="backslashreplace")
    app()


def _location(package: str) -> Path | None:
    """What ``import package`` takes: a file, or a folder without ``__init__.py``. Nothing is imported."""
    loaded = sys.modules.get(package)
    if loaded is not None:
        origin: str | None = getattr(loaded, "__file__", None)
        folders = list(getattr(loaded, "__path__", ()))
    else:
        spec = importlib.util.find_spec(package)
        if spec is None:
            return None
        origin, folders = spec.origin, list(spec.submodule_search_locations or ())
    return Path(origin or folders[0]).resolve()
