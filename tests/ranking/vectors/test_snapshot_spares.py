"""After a damaged snapshot was passed over, the intact one stays beside the next."""

from pathlib import Path

import pytest

from ranking.vectors.backends.numpy_exact import NumpyBackend
from ranking.vectors.view import IndexView
from schemas.clock import ManualClock
from schemas.observation import Observer
from tests.ranking.examples import apply, scored_clip


def view() -> IndexView:
    return IndexView(NumpyBackend(), Observer(), ManualClock())


def save(one: IndexView, folder: Path, *, number: int) -> Path:
    apply(one, [scored_clip(f"c{number}")], start=number)
    saved = one.save(folder)
    assert saved is not None
    return saved


def damage(snapshot: Path) -> None:
    file = next(snapshot.glob("*.state"))
    file.write_bytes(file.read_bytes()[:-1] + b"!")


@pytest.mark.tried(
    kind="decoding errors",
    given="the newest snapshot is damaged, the older one is read, the next is damaged too",
    outcome="the older one is read again",
)
def test_the_snapshot_that_was_read_stays_and_the_damaged_one_goes(tmp_path: Path) -> None:
    before = view()
    intact, damaged = save(before, tmp_path, number=1), save(before, tmp_path, number=2)
    damage(damaged)
    restored = view()
    assert restored.restore(tmp_path)
    assert restored.clips() == 1
    newest = save(restored, tmp_path, number=2)
    assert sorted(path.name for path in tmp_path.glob("snapshot-*")) == [intact.name, newest.name]
    damage(newest)
    again = view()
    assert again.restore(tmp_path)
    assert again.clips() == 1


def test_of_undamaged_snapshots_the_two_newest_stay(tmp_path: Path) -> None:
    one = view()
    saved = [save(one, tmp_path, number=number) for number in range(4)]
    assert sorted(tmp_path.glob("snapshot-*")) == saved[-2:]
