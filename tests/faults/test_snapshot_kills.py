"""A process that is killed while it writes snapshots: what it had saved is there, and nothing of the rest is left."""

import signal
import time
from contextlib import suppress
from pathlib import Path
from random import Random

import msgspec
import pytest

from ranking.vectors.manifest import MANIFEST
from tests.faults import snapshot_writer
from tests.servers import servers_are_required
from tests.warm_starts import warm

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

KILLS = 60 if servers_are_required() else 15
LONGEST_S = 0.3


def shared_names(root: Path) -> set[str]:
    """The segments and logs that snapshots name."""
    manifests = [msgspec.json.decode((folder / MANIFEST).read_bytes()) for folder in root.glob("snapshot-*")]
    return {name for manifest in manifests for name in (*manifest["segments"], *manifest["logs"])}


@pytest.mark.tried(
    kind="leftovers",
    given="a process killed again and again while it writes snapshots and merges segments",
    outcome="the last that was written is read; the next leaves nothing of the others",
)
def test_a_kill_at_any_moment_of_a_snapshot_loses_nothing_and_leaves_nothing(tmp_path: Path) -> None:
    random, saved, expected = Random(5), 0, snapshot_writer.NeverSaved()
    for _ in range(KILLS):
        offsets, written = warm().Pipe(duplex=False)
        writer = warm().Process(target=snapshot_writer.write, args=(tmp_path, written))
        writer.start()
        written.close()
        last = offsets.recv()  # it has started and written one
        time.sleep(random.uniform(0.0, LONGEST_S))
        writer.kill()
        with suppress(EOFError):
            while True:
                last = offsets.recv()
        writer.join()
        assert writer.exitcode == -signal.SIGKILL, "it failed"
        assert last > saved, "it went on from where it was"
        restored = snapshot_writer.opened()
        assert restored.restore(tmp_path)
        saved = snapshot_writer.offset_of(restored)
        assert saved >= last
        assert restored.incomplete() == []
        assert restored.content() == expected.content(saved)
    snapshot_writer.apply(restored, saved, saved + 20)
    restored.save(tmp_path)
    assert {path.name for path in (tmp_path / "segments").iterdir()} == shared_names(tmp_path)
    assert [path for path in tmp_path.rglob("*") if ".partial" in path.name] == []
