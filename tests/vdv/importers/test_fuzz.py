"""Importers read whatever a file holds: a data set or a ``DataSetError``, never another exception.

``DANCERANK_FUZZ_EXAMPLES`` sets the number of AlphaPose results (2,000 by default); each archive has a fifth.
"""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.vdv.importers.test_archives import ARRAYS, READERS
from vdv.errors import DataSetError
from vdv.folder import Clip
from vdv.importers.alphapose import read_clips

EXAMPLES = int(os.environ.get("DANCERANK_FUZZ_EXAMPLES", "2000"))
fuzzed = settings(
    deadline=None,
    max_examples=EXAMPLES,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
)

LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
ANYTHING = st.recursive(
    LEAVES, lambda of: st.lists(of, max_size=3) | st.dictionaries(st.text(max_size=5), of, max_size=3)
)
NUMBERS = st.sampled_from([0.0, -1.0, 0.9, 300.0, 1e30, 1e39, 5e-324])
KEYPOINTS = st.builds(
    lambda values, joints: (values * 54)[: 3 * joints], st.lists(NUMBERS, min_size=1), st.sampled_from([16, 17, 18, 3])
)
NAMES = (
    st.from_regex(r"[a-z_]{0,2}[0-9]{0,3}[._]?[0-9]{0,20}(\.jpg)?", fullmatch=True)
    | st.integers()
    | st.text(max_size=6)
)
DETECTIONS = st.fixed_dictionaries(
    {"image_id": NAMES, "keypoints": KEYPOINTS},
    optional={"score": NUMBERS | st.none(), "idx": st.integers(0, 2) | ANYTHING, "category_id": ANYTHING},
)
IMAGES = st.dictionaries(
    st.text(max_size=4) | st.from_regex(r"[0-9]{1,2}\.jpg", fullmatch=True),
    st.fixed_dictionaries(
        {}, optional={"bodies": st.lists(st.fixed_dictionaries({"joints": KEYPOINTS}), max_size=3), "people": ANYTHING}
    ),
)
RESULTS = (st.lists(DETECTIONS, max_size=12) | IMAGES | ANYTHING).map(lambda value: json.dumps(value).encode())
CELLS = st.sampled_from(["", "25", "0", "nan", "1e300", "30000/1001", "c1", "a b", "../x", "r.json", "\0", "1,5", "-1"])


@pytest.mark.tried(
    kind="importers that trust types",
    given="random AlphaPose results and tables",
    outcome="a data set, or findings with file and row",
)
@fuzzed
@given(RESULTS | st.binary(max_size=60), st.lists(CELLS, min_size=4, max_size=4), st.sampled_from([25.0, 1e-9, 1e12]))
def test_alphapose_results(tmp_path: Path, content: bytes, cells: list[str], fps: float) -> None:
    (tmp_path / "r.json").write_bytes(content)
    rows = ["clip_id,dancer_id,challenge_id,poses,fps,duration_s", "c0,ada,dance,r.json,,"]
    rows.append(f"{cells[0]},ada,dance,r.json,{cells[1]},{cells[2]}")
    rows.append(f"c2,ada,dance,{cells[3]},,")
    (tmp_path / "clips.csv").write_text("\n".join(rows))
    read(lambda: list(read_clips(tmp_path, fps=fps)))


DTYPES = st.sampled_from(["f8", "f4", "f2", "i8", "u1", "u8", "c16", "?", "U4", "S4", "M8[s]", "V3"])


@pytest.mark.tried(
    kind="importers that trust types",
    given="archives with random arrays and bytes changed",
    outcome="a data set, or findings with file and row",
)
@pytest.mark.parametrize("name", READERS)
@settings(fuzzed, max_examples=max(1, EXAMPLES // 5))
@given(data=st.data())
def test_archives(tmp_path: Path, name: str, data: st.DataObject) -> None:
    arrays = ARRAYS[name]()
    for key in data.draw(st.lists(st.sampled_from(sorted(arrays)), max_size=3, unique=True)):
        array = arrays[key]
        change = data.draw(st.sampled_from(["type", "cut", "value", "values", "shape", "drop"]))
        if change == "type":
            dtype = data.draw(DTYPES)
            arrays[key] = np.zeros(array.shape, dtype) if dtype in ("V3", "M8[s]") else array.astype("U9").astype("U4")
        elif change == "cut":
            arrays[key] = array[: data.draw(st.integers(0, len(array)))]
        elif change in ("value", "values") and array.dtype.kind in "iuf":
            value = data.draw(st.sampled_from([0, -1, 2**31, 2**63 - 1, 1e300, np.nan, np.inf, 0.5]))
            with np.errstate(all="ignore"):
                array = array.astype(np.float64) if isinstance(value, float) else array.astype(np.int64)
                array[(slice(None) if change == "values" else 0,)] = value
            arrays[key] = array
        elif change == "shape":
            arrays[key] = array[None]
        else:
            del arrays[key]
    np.savez(tmp_path / name, **arrays)
    content = bytearray((tmp_path / name).read_bytes())
    for _ in range(data.draw(st.integers(0, 3))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    (tmp_path / name).write_bytes(content)
    read(lambda: READERS[name](tmp_path))


def read(reader: Callable[[], list[Clip]]) -> None:
    try:
        clips: Any = reader()
    except DataSetError:
        return
    assert all(len(clip.features.frames) == 1 for clip in clips)
