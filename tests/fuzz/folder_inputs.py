"""Folders of several files that vouch for one another: bundles and index snapshots."""

import atexit
import hashlib
import shutil
import tempfile
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from random import Random
from typing import Any, Final

import msgspec

from ranking.vectors.backends.faiss_live import FaissBackend
from ranking.vectors.backends.numpy_exact import NumpyBackend
from ranking.vectors.backends.port import SnapshotBackend
from ranking.vectors.manifest import MANIFEST
from ranking.vectors.snapshots import CURRENT
from ranking.vectors.view import IndexView
from schemas.bundle import MANIFEST_NAME, BundleManifest, generation_of, read_bundle, sha256_hex
from schemas.clock import ManualClock
from schemas.modalities import Modality
from schemas.observation import Observer
from streamer.runtimes.onnx_runtime import OnnxRuntime
from tests.fuzz.mutations import TEXTS, as_json, bent, damaged
from tests.fuzz.outcomes import Target
from tests.ranking.examples import apply, apply_entries, at, deletion, logged, result, scored_clip
from tests.small_bundle import write_small_bundle

Folder = Mapping[str, bytes]
"""Contents by relative path."""


@cache
def scratch() -> Path:
    """A folder of this process for files that are read once, in memory where that is possible."""
    memory = Path("/dev/shm")
    folder = tempfile.mkdtemp(prefix="dancerank-fuzz-", dir=memory if memory.is_dir() else None)
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return Path(folder)


def written(folder: Folder, name: str) -> Path:
    """The folder on disk, alone there."""
    root = scratch() / name
    shutil.rmtree(root, ignore_errors=True)
    for path, content in folder.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(content)
    root.mkdir(parents=True, exist_ok=True)
    return root


def _read(root: Path) -> dict[str, bytes]:
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}


def _damage_a_file(rng: Random, files: dict[str, bytes]) -> str:
    """Change, cut, empty, exchange or remove one file; returns its name."""
    name = rng.choice(sorted(files))
    match rng.randrange(6):
        case 0:
            del files[name]
        case 1:
            files[name] = b""
        case 2:
            files[name] = files[rng.choice(sorted(files))]
        case _:
            files[name] = damaged(rng, files[name], list(files.values()))
    return name


@cache
def bundle() -> Folder:
    with tempfile.TemporaryDirectory() as folder:
        return _read(write_small_bundle(Path(folder), modalities=(Modality.SKELETAL, Modality.SCENIC)))


def damaged_bundle(rng: Random) -> Folder:
    """A bundle with a changed manifest or graph. In half of them the checksums are right again."""
    files = dict(bundle())
    if rng.random() < 0.6:
        files[MANIFEST_NAME] = (
            damaged(rng, files[MANIFEST_NAME])
            if rng.random() < 0.3
            else as_json(bent(rng, msgspec.json.decode(files[MANIFEST_NAME])))
        )
    else:
        _damage_a_file(rng, files)
    if rng.random() < 0.5 and MANIFEST_NAME in files:
        files[MANIFEST_NAME] = vouched(files)
    return files


def vouched(files: Folder) -> bytes:
    """The manifest with the checksums of the graphs that are there, and the generation that follows from them."""
    try:
        manifest: Any = msgspec.json.decode(files[MANIFEST_NAME])
        for entry in (*manifest["streams"], manifest["fusion"]):
            if entry["file"] in files:
                entry["sha256"] = sha256_hex(files[entry["file"]])
        whole = msgspec.convert(manifest, BundleManifest)
        return msgspec.json.encode(msgspec.structs.replace(whole, generation=generation_of(whole)))
    except (msgspec.DecodeError, UnicodeDecodeError, KeyError, TypeError, RecursionError):
        return files[MANIFEST_NAME]


def read_a_bundle(files: Folder) -> None:
    read_bundle(written(files, "bundle"))


def damaged_graph(rng: Random) -> Folder:
    """A bundle whose manifest vouches for a damaged graph."""
    files = dict(bundle())
    name = rng.choice([name for name in files if name != MANIFEST_NAME])
    files[name] = damaged(rng, files[name], [files[other] for other in files if other.endswith(".onnx")])
    return files | {MANIFEST_NAME: vouched(files)}


def run_a_bundle(files: Folder) -> None:
    OnnxRuntime(read_bundle(written(files, "graphs")), threads=1).close()


BACKENDS: Final[Mapping[str, Callable[[], SnapshotBackend]]] = {"numpy": NumpyBackend, "faiss": FaissBackend}


_SEGMENTS: Final = "segments/"


@cache
def snapshots(backend: str) -> Folder:
    """Two snapshots, the newer of which holds two generations and a deletion."""
    view = IndexView(BACKENDS[backend](), Observer(), ManualClock())
    with tempfile.TemporaryDirectory() as folder:
        apply(view, [scored_clip("a"), scored_clip("b", modalities={Modality.SCENIC: result()})])
        view.save(Path(folder))
        apply_entries(view, deletion("b"))
        view.apply(logged([scored_clip("c", generation="g2")], start=5), {at(): 6})
        view.save(Path(folder))
        return _read(Path(folder))


def damaged_snapshot(rng: Random) -> tuple[str, Folder]:
    """Snapshots of either index with a changed file; in some, the manifest vouches for what was changed."""
    backend = rng.choice(sorted(BACKENDS))
    files = dict(snapshots(backend))
    newest = max(name.partition("/")[0] for name in files if name.startswith("snapshot-"))
    folder = f"{newest}/" if rng.random() < 0.9 else ""
    part = {name: content for name, content in files.items() if name.startswith((folder, _SEGMENTS))}
    if rng.random() < 0.4:
        name = f"{newest}/{MANIFEST}"
        part[name] = as_json(bent(rng, msgspec.json.decode(files[name])))
    else:
        name = _damage_a_file(rng, part)
    if folder and rng.random() < 0.3:  # no other to fall back to
        files = {name: content for name, content in files.items() if name == CURRENT}
    files = {name: content for name, content in files.items() if not name.startswith((folder, _SEGMENTS))} | part
    if rng.random() < 0.1:
        files[CURRENT] = str(rng.choice(TEXTS)).encode(errors="replace")
    # FAISS reads its own files without checks of its own, so that checksums are all that guards them.
    if rng.random() < 0.6 and not ((backend == "faiss" and name.startswith(_SEGMENTS)) or name.endswith(".state")):
        _vouch(files, newest, name)
    return backend, files


def _vouch(files: dict[str, bytes], newest: str, name: str) -> None:
    folder, _, file = name.rpartition("/")
    manifest_name = f"{newest if name.startswith(_SEGMENTS) else folder}/{MANIFEST}"
    try:
        manifest: Any = msgspec.json.decode(files[manifest_name])
        content = files[name]
        manifest["segments" if name.startswith(_SEGMENTS) else "files"][file] = {
            "size_bytes": len(content),
            "sha256": hashlib.sha256(content).hexdigest(),
        }
        files[manifest_name] = msgspec.json.encode(manifest)
    except (msgspec.DecodeError, UnicodeDecodeError, KeyError, TypeError, RecursionError):
        return


def restore_a_snapshot(given: tuple[str, Folder]) -> None:
    """What is restored can be saved, and answers."""
    backend, files = given
    root = written(files, "snapshots")
    view = IndexView(BACKENDS[backend](), Observer(), ManualClock())
    if view.restore(root):
        view.generations()
        view.content()


TARGETS: Final = (
    Target("bundles", damaged_bundle, read_a_bundle),
    Target("graphs of bundles", damaged_graph, run_a_bundle, 0.1),
    Target("index snapshots", damaged_snapshot, restore_a_snapshot, 0.3),
)
