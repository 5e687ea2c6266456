"""What importers read: results of AlphaPose with their table, and the archives."""

import json
from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import Any, Final

import numpy as np
from hypothesis import strategies as st

from tests.fuzz.folder_inputs import scratch
from tests.fuzz.mutations import as_json, bent
from tests.fuzz.outcomes import Target, seeded
from tests.vdv.importers.test_alphapose import person
from tests.vdv.importers.test_archives import ARRAYS, READERS
from vdv.importers.alphapose import read_clips

_LEAVES: Final = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
_ANYTHING: Final = st.recursive(
    _LEAVES, lambda of: st.lists(of, max_size=3) | st.dictionaries(st.text(max_size=5), of, max_size=3)
)
_NUMBERS: Final = st.sampled_from([0.0, -1.0, 0.9, 300.0, 1e30, 1e39, 5e-324])
_KEYPOINTS: Final = st.builds(
    lambda values, joints: (values * 54)[: 3 * joints], st.lists(_NUMBERS, min_size=1), st.sampled_from([16, 17, 18, 3])
)
_NAMES: Final = (
    st.from_regex(r"[a-z_]{0,2}[0-9]{0,3}[._]?[0-9]{0,20}(\.jpg)?", fullmatch=True)
    | st.integers()
    | st.text(max_size=6)
)
_DETECTIONS: Final = st.fixed_dictionaries(
    {"image_id": _NAMES, "keypoints": _KEYPOINTS},
    optional={"score": _NUMBERS | st.none(), "idx": st.integers(0, 2) | _ANYTHING, "category_id": _ANYTHING},
)
_IMAGES: Final = st.dictionaries(
    st.text(max_size=4) | st.from_regex(r"[0-9]{1,2}\.jpg", fullmatch=True),
    st.fixed_dictionaries(
        {},
        optional={"bodies": st.lists(st.fixed_dictionaries({"joints": _KEYPOINTS}), max_size=3), "people": _ANYTHING},
    ),
)
_RESULTS: Final = (st.lists(_DETECTIONS, max_size=12) | _IMAGES | _ANYTHING).map(
    lambda value: json.dumps(value).encode()
)
_CELLS: Final = st.sampled_from(
    ["", "25", "0", "nan", "1e300", "30000/1001", "c1", "a b", "../x", "r.json", "\0", "1,5", "-1"]
)
_SOUND_CELLS: Final = ["c1", "25", "", "r.json"]
_SOUND_RESULTS: Final = tuple([person(f"{i:03d}.jpg", 3.0 * i, idx=idx) for i in range(50)] for idx in (1, None))


def bent_results(rng: Random) -> bytes:
    """Results that were sound: two seconds of one person, with some values replaced."""
    return as_json(bent(rng, rng.choice(_SOUND_RESULTS)))


ALPHAPOSE: Final = st.tuples(
    seeded(bent_results) | _RESULTS | st.binary(max_size=60),
    st.just(_SOUND_CELLS) | st.lists(_CELLS, min_size=4, max_size=4),
    st.sampled_from([25.0, 25.0, 30.0, 1e-9, 1e12]),
)


def import_alphapose(given: tuple[bytes, Sequence[str], float]) -> None:
    content, cells, fps = given
    folder = _folder("alphapose")
    (folder / "r.json").write_bytes(content)
    rows = ["clip_id,dancer_id,challenge_id,poses,fps,duration_s", "c0,ada,dance,r.json,,"]
    rows.append(f"{cells[0]},ada,dance,{cells[3]},{cells[1]},{cells[2]}")
    (folder / "clips.csv").write_text("\n".join(rows))
    for clip in read_clips(folder, fps=fps):
        assert len(clip.features.frames) == 1


_DTYPES: Final = st.sampled_from(["f8", "f4", "f2", "i8", "u1", "u8", "c16", "?", "U4", "S4", "M8[s]", "V3"])
_CHANGES: Final = st.sampled_from(["type", "cut", "value", "values", "shape", "drop"])
_VALUES: Final = st.sampled_from([0, -1, 2**31, 2**63 - 1, 1e300, np.nan, np.inf, 0.5])


@st.composite
def archives(draw: st.DrawFn) -> tuple[str, bytes]:
    """Name and bytes of an archive whose arrays have other types, shapes or values, with some bytes changed."""
    name = draw(st.sampled_from(sorted(READERS)))
    arrays: dict[str, Any] = ARRAYS[name]()
    for key in draw(st.lists(st.sampled_from(sorted(arrays)), max_size=3, unique=True)):
        array, change = arrays[key], draw(_CHANGES)
        if change == "type":
            dtype = draw(_DTYPES)
            arrays[key] = np.zeros(array.shape, dtype) if dtype in ("V3", "M8[s]") else array.astype("U9").astype("U4")
        elif change == "cut":
            arrays[key] = array[: draw(st.integers(0, len(array)))]
        elif change in ("value", "values") and array.dtype.kind in "iuf":
            value = draw(_VALUES)
            with np.errstate(all="ignore"):
                array = array.astype(np.float64) if isinstance(value, float) else array.astype(np.int64)
                array[(slice(None) if change == "values" else 0,)] = value
            arrays[key] = array
        elif change == "shape":
            arrays[key] = array[None]
        else:
            del arrays[key]
    path = _folder("made-archives") / name
    np.savez(path, **arrays)
    content = bytearray(path.read_bytes())
    for at, byte in draw(st.lists(st.tuples(st.integers(0, len(content) - 1), st.integers(0, 255)), max_size=3)):
        content[at] = byte
    return name, bytes(content)


def import_an_archive(given: tuple[str, bytes]) -> None:
    name, content = given
    folder = _folder("archives")
    (folder / name).write_bytes(content)
    for clip in READERS[name](folder):
        assert len(clip.features.frames) == 1


def _folder(name: str) -> Path:
    folder = scratch() / name
    folder.mkdir(exist_ok=True)
    return folder


TARGETS: Final = (
    Target("AlphaPose results", ALPHAPOSE, import_alphapose, 0.2),
    Target("archives of data sets", archives(), import_an_archive, 0.2),
)
