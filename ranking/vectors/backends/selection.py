"""Which backend holds the vectors: the one that the setting ``ranking.index`` names."""

from collections.abc import Callable
from importlib.metadata import EntryPoint, entry_points
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
    if shipped := _SHIPPED.get(name):
        return shipped(threads)
    named = next(iter(_installed(name)), None) or EntryPoint(name, name, ENTRY_POINTS)
    try:
        backend = named.load()()
    except (ImportError, AttributeError) as error:
        raise ConfigurationError(f"{_FIELD} is {name!r}, which cannot be imported: {error}", field=_FIELD) from error
    if not isinstance(backend, SnapshotBackend | RemoteBackend):
        raise ConfigurationError(
            f"{_FIELD} is {name!r}, which makes a {type(backend).__name__}; expected a SnapshotBackend or a "
            "RemoteBackend of ranking.vectors.backends.port",
            field=_FIELD,
        )
    return backend


def _installed(name: str) -> list[EntryPoint]:
    return list(entry_points(group=ENTRY_POINTS, name=name))


def _faiss(threads: int) -> IndexBackend:
    from ranking.vectors.backends.faiss_flat import FaissBackend  # only who chooses it needs FAISS

    return FaissBackend(threads=threads)


def _numpy(_: int) -> IndexBackend:
    from ranking.vectors.backends.numpy_exact import NumpyBackend

    return NumpyBackend()


_SHIPPED: Final[dict[str, Callable[[int], IndexBackend]]] = {"faiss": _faiss, "numpy": _numpy}
