"""This machine: folders, ports, the bundle, and limits of the operating system."""

import resource
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from dancerank.console.places_to_write import check_folder_to_write
from dancerank.doctor.findings import Finding, error, ok, warning
from dancerank.listening.ports import bound
from dancerank.processes import Processes
from dancerank.settings import Settings
from schemas.errors import ConfigurationError, DancerankError
from streamer.roots import FeatureRoots
from streamer.stores import FeatureStore

_MIB: Final = 1024 * 1024
_LEAST_BYTES: Final = 1024 * _MIB
_LEAST_FILES: Final = 4096
_SNAPSHOTS: Final = 3
"""Two are kept while the next one is written."""


def examine_host(processes: Processes) -> Iterator[Finding]:
    """Whatever the processes need of this machine; nothing is changed."""
    settings = processes.settings
    yield from _readable("bundle", lambda: f"is of generation {processes.bundle.manifest.generation}")
    yield from _readable("policy of the traffic pools", lambda: f"is {processes.policy.version}")
    yield from _readable("API keys", lambda: _described_keys(processes))
    yield from _roots(settings)
    yield from _snapshots(settings.ranking.index_folder)
    yield from _ports(settings)
    yield from _open_files()


def _readable(where: str, read: Callable[[], str]) -> Iterator[Finding]:
    try:
        yield ok(where, read())
    except DancerankError as problem:
        yield error(where, f"cannot be used: {problem.message}", type(problem).remedy)


def _described_keys(processes: Processes) -> str:
    path = processes.settings.server.api_keys
    processes.api_access()
    return "are not asked for (server.api_keys)" if path is None else f"are read from {path}"


def _roots(settings: Settings) -> Iterator[Finding]:
    streamer = settings.streamer
    if not streamer.feature_roots:
        yield warning(
            "streamer.feature_roots",
            "is empty: uploads that name feature files will be refused, only inline features are accepted",
            "name the folders, or buckets, that hold feature files",
        )
        return
    try:
        store = FeatureStore(
            FeatureRoots(streamer.feature_roots), max_bytes=1, patience_s=0.0, options=streamer.store_options
        )
        problems = store.unreachable_roots()
    except ConfigurationError as problem:
        yield error("streamer.feature_roots", f"cannot be used: {problem.message}", type(problem).remedy)
        return
    for root in streamer.feature_roots:
        if reason := problems.get(root):
            yield error(
                f"feature root {root}",
                f"cannot be read: {reason}",
                "create or mount it, or correct streamer.feature_roots and streamer.store_options",
            )
        else:
            yield ok(f"feature root {root}", "can be read")


def _snapshots(folder: Path) -> Iterator[Finding]:
    where = f"snapshots in {folder}"
    try:
        check_folder_to_write(folder)
    except ConfigurationError:
        yield error(where, "cannot be written", "create the folder, or correct its permissions (ranking.index_folder)")
        return
    there = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())
    free_bytes = shutil.disk_usage(there).free
    held = [sum(file.stat().st_size for file in path.glob("*")) for path in folder.glob("snapshot-*") if path.is_dir()]
    segments_bytes = sum(file.stat().st_size for file in folder.glob("segments/*"))
    # Merged segments are written before those that they replace are deleted.
    needed_bytes = max(_LEAST_BYTES, _SNAPSHOTS * max(held, default=0) - sum(held) + segments_bytes)
    says = f"have {free_bytes / _MIB:,.0f} MiB of room, and may need {needed_bytes / _MIB:,.0f} MiB more"
    if free_bytes < max(held, default=0):
        yield error(where, says, "free space, or move ranking.index_folder to a larger disk")
    elif free_bytes < needed_bytes:
        yield warning(where, says, "free space, or move ranking.index_folder to a larger disk")
    else:
        yield ok(where, says)


def _ports(settings: Settings) -> Iterator[Finding]:
    server = settings.server
    for name, port in (
        ("port", server.port),
        ("stream_metrics_port", server.stream_metrics_port),
        ("rank_metrics_port", server.rank_metrics_port),
        ("pools_metrics_port", server.pools_metrics_port),
    ):
        if not port:
            continue
        try:
            with bound(server.host, port, name):
                yield ok(f"server.{name}", f"{port} is free at {server.host}")
        except ConfigurationError as problem:
            yield warning(
                f"server.{name}",
                f"cannot be listened on: {problem.message}",
                f"stop what listens there, or set another server.{name}, unless it is the process itself",
            )


def _open_files() -> Iterator[Finding]:
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if limit != resource.RLIM_INFINITY and limit < _LEAST_FILES:
        yield warning(
            "open files",
            f"are limited to {limit}: each HTTP client, broker, database connection and feature file takes one",
            f"raise it to {_LEAST_FILES} or more (ulimit -n, LimitNOFILE)",
        )
    else:
        yield ok("open files", "are not limited" if limit == resource.RLIM_INFINITY else f"are limited to {limit}")
