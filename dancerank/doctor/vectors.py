"""Where vectors are held by a server: whether it answers, its release, and the vectors of which generations it has."""

from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from dancerank.doctor.findings import Finding, error, failures_found, ok, warning
from dancerank.processes import Processes
from dancerank.settings_values import without_password
from ranking.vectors.manifest import unpack
from schemas.errors import ConfigurationError
from schemas.local_files import exists

_LITE: Final = ".db"


def examine_vectors(processes: Processes) -> Iterator[Finding]:
    """Nothing for an index in the process that serves, which keeps its vectors in snapshots. Changes nothing."""
    examined = {"pgvector": _pgvector, "milvus": _milvus}.get(processes.settings.ranking.index)
    if examined is None:
        return
    where = f"index {processes.settings.ranking.index}"
    yield from failures_found(where, examined(processes, where))


def _pgvector(processes: Processes, where: str) -> Iterator[Finding]:
    from ranking.vectors.backends.pgvector.description import found_in, stored_state

    url = without_password(processes.settings.ranking.database_url)
    with closing(processes.open_database()) as database:
        if database.dialect != "postgresql":
            yield error(
                where,
                f"keeps vectors in PostgreSQL, and ranking.database_url names {database.dialect}",
                "name a PostgreSQL there, or choose another ranking.index",
            )
            return
        found = found_in(database)
        if found.problem is not None:
            yield error(where, f"cannot be used at {url}: {found.problem}", ConfigurationError.remedy)
        elif found.version is None:
            yield warning(
                where,
                f"needs the extension vector ({found.available} is installed), which database {found.database} has not",
                "start dancerank serve, which creates it if its user may, or have a superuser run CREATE EXTENSION "
                "vector",
            )
        else:
            yield ok(where, f"is pgvector {found.version} at {url}")
            yield from _held(where, stored_state(database))


def _milvus(processes: Processes, where: str) -> Iterator[Finding]:
    from ranking.vectors.backends.milvus import MilvusBackend

    ranking = processes.settings.ranking
    uri = ranking.milvus_uri
    if uri.endswith(_LITE) and not exists(Path(uri)):
        yield ok(where, f"is the file {uri}, which is not there yet; dancerank serve creates it")
        return
    with closing(MilvusBackend(uri=uri, token=ranking.milvus_token.get_secret_value())) as backend:
        yield ok(where, f"is Milvus {backend.version} at {without_password(uri)}")
        yield from _held(where, backend.load_state())


def _held(where: str, state: bytes | None) -> Iterator[Finding]:
    """``state``: what an index view stored last."""
    if state is None:
        yield ok(where, "holds no state yet; dancerank serve reads the log and stores one")
        return
    manifest, _ = unpack(state, f"the state of {where}")
    at = datetime.fromtimestamp(manifest.created_at_ms / 1000, UTC)
    for space in manifest.spaces:
        vectors = Counter[str]()
        for each in space.indexes:
            vectors[each.modality] += each.vectors
        listed = ", ".join(f"{count:,} {modality}" for modality, count in vectors.items()) or "none"
        clips = f"{space.clips:,} clip{'' if space.clips == 1 else 's'}"
        yield ok(where, f"holds of generation {space.generation} {clips}; vectors: {listed} ({at:%Y-%m-%d %H:%M} UTC)")
    if not manifest.spaces:
        yield ok(where, f"holds no clips ({at:%Y-%m-%d %H:%M} UTC)")
