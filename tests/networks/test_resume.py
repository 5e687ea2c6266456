"""A run that is interrupted at any moment has the same result as one that is not."""

import csv
import random
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
import torch

from networks.checkpoint import load_checkpoint
from networks.model_config import ViralityModelConfig
from networks.training import TrainingSettings, fit
from networks.training.errors import RunMismatch
from networks.training.order import EpochOrder
from networks.training_settings import Objective
from schemas.errors import CheckpointError, ConfigurationError
from tests.networks.planted import SCENIC, scenes

QUIET = {"accelerator": "cpu"}
SHORT = TrainingSettings(epochs=2, learning_rate=3e-3)


def interrupted(parent: Path, plans: dict[str, list[str]]) -> dict[str, list[str]]:
    """What became of each process of each run, in order; runs are folders of ``parent``."""
    plan = [part for name, kills in plans.items() for part in (f"folder:{parent / name}", *kills)]
    command = [sys.executable, "-m", "tests.networks.interrupted_run", *plan]
    run = subprocess.run(command, capture_output=True, text=True, check=False, cwd=Path(__file__).parents[2])
    assert run.returncode == 0, run.stderr
    output = iter(run.stdout.splitlines())
    return {name: [next(output) for _ in kills] for name, kills in plans.items()}


def history(folder: Path) -> list[dict[str, str]]:
    with (folder / "history.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        del row["samples_per_s"]
    return rows


@pytest.mark.slow
def test_a_run_killed_at_any_moment_ends_in_the_same_weights_bit_for_bit(tmp_path: Path) -> None:
    chance = random.Random(0)
    # Files are finished in the order config, best, state, history; then best, state, history again.
    plans = {
        "whole": ["never"],
        "broken": [*(f"after:{chance.uniform(0.2, 2.0):.2f}" for _ in range(4)), "never"],
        "while_saving": ["save:2", "replace:2", "replace:1", "save:1", "never"],
    }
    output = interrupted(tmp_path, plans)
    assert output["whole"] == ["exit 0"]
    assert output["broken"][-1] == "exit 0"
    assert output["while_saving"] == ["killed"] * 4 + ["exit 0"]
    whole = tmp_path / "whole"
    expected, notes = load_checkpoint(whole / "model.safetensors")
    for name in ("broken", "while_saving"):
        folder = tmp_path / name
        model, its_notes = load_checkpoint(folder / "model.safetensors")
        found = model.state_dict()
        assert all(torch.equal(found[name], tensor) for name, tensor in expected.state_dict().items())
        assert its_notes == notes
        assert (folder / "metrics.json").read_bytes() == (whole / "metrics.json").read_bytes()
        assert history(folder) == history(whole)
        assert sorted(path.name for path in folder.iterdir()) == sorted(path.name for path in whole.iterdir())


def run(folder: Path, **changes: object) -> dict[str, torch.Tensor]:
    settings = msgspec.structs.replace(SHORT, **changes)
    result = fit(SCENIC, scenes(16, 0), [], settings, run=folder, progress=False, trainer_options=QUIET)
    return dict(result.model.state_dict())


def test_a_finished_run_is_not_trained_again_unless_afresh(tmp_path: Path) -> None:
    first = run(tmp_path)
    state = (tmp_path / "last.ckpt").stat().st_mtime_ns
    second = run(tmp_path)
    assert (tmp_path / "last.ckpt").stat().st_mtime_ns == state
    assert all(torch.equal(first[name], second[name]) for name in first)
    (tmp_path / "mine.txt").touch()
    fit(SCENIC, scenes(16, 0), [], SHORT, run=tmp_path, fresh=True, progress=False, trainer_options=QUIET)
    assert (tmp_path / "last.ckpt").stat().st_mtime_ns != state
    assert (tmp_path / "mine.txt").exists()


def test_another_setting_or_other_data_are_refused_by_name(tmp_path: Path) -> None:
    run(tmp_path)
    with pytest.raises(RunMismatch, match=r"training\.learning_rate was 0\.003, is 0\.5; training\.seed was 0, is 9"):
        run(tmp_path, learning_rate=0.5, seed=9)
    other = ViralityModelConfig(modalities=SCENIC.modalities, temporal_width=1 / 32, fusion_width=1 / 8)
    options = {"run": tmp_path, "progress": False, "trainer_options": QUIET}
    with pytest.raises(RunMismatch, match=r"network\.temporal_width was 0\.015625, is 0\.03125"):
        fit(other, scenes(16, 0), [], SHORT, **options)  # type: ignore[arg-type]
    with pytest.raises(RunMismatch, match=r"data\.fingerprint"):
        fit(SCENIC, scenes(16, 1), [], SHORT, **options)  # type: ignore[arg-type]
    run(tmp_path, loader_workers=0)


def test_a_damaged_state_is_refused_by_name(tmp_path: Path) -> None:
    run(tmp_path)
    for content in (b"", b"nonsense", (tmp_path / "last.ckpt").read_bytes()[:-500]):
        (tmp_path / "last.ckpt").write_bytes(content)
        with pytest.raises(CheckpointError, match=r"last\.ckpt"):
            run(tmp_path)


def test_every_epoch_has_an_order_of_its_own_and_devices_share_it() -> None:
    order = EpochOrder(11, seed=1)
    orders = []
    for epoch in range(3):
        order.set_epoch(epoch)
        orders.append(list(order))
    assert all(sorted(rows) == list(range(11)) for rows in orders)
    assert len({tuple(rows) for rows in orders}) == 3
    assert list(EpochOrder(11, seed=1, first_epoch=2)) == orders[2]
    shares = [list(EpochOrder(11, seed=1, rank=rank, devices=3)) for rank in range(3)]
    assert {len(share) for share in shares} == {4}
    assert {row for share in shares for row in share} == set(range(11))


def test_patience_and_the_distribution_need_what_they_need() -> None:
    for objective, patience, problem in (("eq14", 2, "validation"), ("distribution", None, "usdl")):
        chosen: Objective = objective  # type: ignore[assignment]
        settings = TrainingSettings(objective=chosen, patience=patience)
        with pytest.raises(ConfigurationError, match=problem):
            fit(SCENIC, scenes(4, 0), [], settings, progress=False)
