"""Which backend holds the vectors: the one that the setting ``ranking.index`` names."""

from collections.abc import Callable
from functools import partial
from importlib import import_module
from importlib.metadata import EntryPoints, entry_points
from typing import Final

from ranking.vectors.backends.port import IndexBackend, RemoteBackend, SnapshotBackend
from schemas.errors import ConfigurationError

ENTRY_POINTS: Final = "dancerank.indexes"
_FIELD: Final = "ranking.index"


def check_index_name(name: str) -> None:
    """Raises ``ConfigurationError`` naming what is allowed; nothing is imported."""
    if name not in _SHIPPED and ":" not in name and not _installed(name):
        installed = sorted(entry_points(group=ENTRY_POINTS).names)
        allowed = ", ".join([*_SHIPPED, *installed, "package.module:factory"])
        raise ConfigurationError(f"{name!r} is not an index; expected one of {allowed}", field=_FIELD)


def open_backend(name: str, *, threads: int = 1) -> IndexBackend:
    """The backend ``name``: ``faiss``, with ``threads`` threads for each search, ``numpy``, an entry point of the group
    ``dancerank.indexes``, or ``package.module:factory``, a callable without arguments.

    Raises ``ConfigurationError`` naming ``ranking.index``.
    """
    check_index_name(name)
    try:
        factory = _SHIPPED[name](threads) if name in _SHIPPED else _named(name)
    except (ImportError, AttributeError, ValueError) as error:
        raise ConfigurationError(f"{_FIELD} is {name!r}, which cannot be imported: {error}", field=_FIELD) from error
    if not callable(factory):
        raise ConfigurationError(f"{_FIELD} is {name!r}, which cannot be called to make a backend", field=_FIELD)
    backend = factory()
    if not isinstance(backend, SnapshotBackend | RemoteBackend):
        raise ConfigurationError(
            f"{_FIELD} is {name!r}, which makes a {type(backend).__name__}; expected a SnapshotBackend or a "
            "RemoteBackend of ranking.vectors.backends.port",
            field=_FIELD,
        )
    return backend


def _named(name: str) -> object:
    point = next(iter(_installed(name)), None)
    if point is None:
        module, _, attribute = name.partition(":")
        return getattr(import_module(module), attribute)
    return point.load()


def _installed(name: str) -> EntryPoints:
    return entry_points(group=ENTRY_POINTS, name=name)


def _faiss(threads: int) -> Callable[[], IndexBackend]:
    from ranking.vectors.backends.faiss_flat import FaissBackend  # only who chooses it needs FAISS

    return partial(FaissBackend, threads=threads)


def _numpy(_: int) -> Callable[[], IndexBackend]:
    from ranking.vectors.backends.numpy_exact import NumpyBackend

    return NumpyBackend


_SHIPPED: Final[dict[str, Callable[[int], Callable[[], IndexBackend]]]] = {"faiss": _faiss, "numpy": _numpy}
