"""Training: it learns a planted signal, repeats itself, keeps the best epoch, and stops when a loss is not finite."""

import csv
import os
from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch
from rich.console import Console
from safetensors import safe_open

from networks.checkpoint import load_checkpoint, trained_on
from networks.correlation import spearman
from networks.datasets import LazySamples, Sample, fingerprint_of, presence_of, targets_of
from networks.errors import UnusableSamples
from networks.evaluation import predict, rank_correlations
from networks.training import TrainingSettings, fit
from networks.training.distribution import DISTRIBUTION_NOTE
from networks.training.errors import TrainingDiverged
from networks.training.optimisation import hide_modalities, learning_rate
from networks.training.order import EpochOrder
from networks.training.progress import ConsoleProgress
from networks.virality_model import ViralityModel
from schemas.errors import ConfigurationError
from schemas.modalities import Modality
from tests.networks import planted as planted_clips
from tests.networks.planted import CONFIG, SCENIC, WitnessedScenes, planted, scenes

SETTINGS = TrainingSettings(epochs=8, learning_rate=3e-3, modality_dropout=0.1, seed=3)
SHORT = TrainingSettings(epochs=3, learning_rate=3e-3)
QUIET = {"accelerator": "cpu"}


def test_training_learns_a_planted_signal_in_every_stream() -> None:
    held_out = planted(40, seed=1)
    result = fit(CONFIG, planted(96, seed=0), held_out, SETTINGS, progress=False, trainer_options=QUIET)
    torch.manual_seed(3)
    untrained = rank_correlations(ViralityModel(CONFIG), held_out)
    assert set(result.metrics) == {"spearman_fused", "spearman_skeletal", "spearman_scenic"}
    assert all(value > 0.5 for value in result.metrics.values()), result.metrics
    assert result.metrics["spearman_fused"] > untrained["spearman_fused"] + 0.2
    assert not result.model.training


def test_the_same_seed_trains_the_same_model_and_leaves_the_global_one_alone() -> None:
    settings = msgspec.structs.replace(SETTINGS, epochs=1)
    samples = planted(16, seed=0)
    torch.manual_seed(9)
    expected = torch.rand(1)
    results = []
    for _ in range(2):
        torch.manual_seed(9)
        results.append(fit(CONFIG, samples, samples, settings, progress=False, trainer_options=QUIET))
        assert torch.equal(torch.rand(1), expected)
    first, second = (result.model.state_dict() for result in results)
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_hidden_modalities_are_present_ones_and_never_all() -> None:
    torch.manual_seed(0)
    present = torch.rand(500, 4) < 0.6
    present[:, 0] |= ~present.any(dim=1)
    kept = hide_modalities(present, 0.5)
    assert not (kept & ~present).any()
    assert kept.any(dim=1).all()
    assert 0.4 < kept.sum() / present.sum() < 0.7
    assert torch.equal(hide_modalities(present, 0.0), present)


def test_a_clip_that_no_stream_can_read_is_refused() -> None:
    samples: list[Sample] = [({Modality.FACIAL: np.zeros((3, 2048), np.float32)}, 0.5)]
    with pytest.raises(UnusableSamples, match="skeletal, scenic"):
        fit(CONFIG, samples, [], SETTINGS)
    with pytest.raises(UnusableSamples, match="no clips"):
        fit(CONFIG, [], [], SETTINGS)


def test_the_objective_lowers_the_losses_and_the_weights_move_and_sum_to_three() -> None:
    result = fit(CONFIG, planted(64, seed=0), [], SETTINGS, progress=False, trainer_options=QUIET)
    first, last = result.history[0], result.history[-1]
    assert [row.epoch for row in result.history] == list(range(1, 9))
    assert set(last.terms) == set(last.weights) == {"error", "ranking", "stream_ranking"}
    assert all(last.terms[name] < first.terms[name] for name in last.terms)
    assert sum(last.weights.values()) == pytest.approx(3)
    assert min(last.weights.values()) > 0
    assert max(abs(weight - 1) for weight in last.weights.values()) > 0.05
    assert [row.learning_rate for row in result.history] == [3e-3] * 8


def test_the_rate_is_halved_as_set() -> None:
    settings = msgspec.structs.replace(SHORT, epochs=5, decay_epochs=2)
    result = fit(SCENIC, scenes(8, 0), [], settings, progress=False, trainer_options=QUIET)
    assert [row.learning_rate for row in result.history] == [3e-3, 3e-3, 1.5e-3, 1.5e-3, 7.5e-4]


def test_one_cycle_is_that_of_torch() -> None:
    settings, steps = TrainingSettings(epochs=20, learning_rate=1e-3, schedule="one-cycle"), 1000
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))])
    reference = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, 1e-3, steps, pct_start=0.15, div_factor=25, final_div_factor=1e9, cycle_momentum=False
    )
    for step in range(steps):
        # Its phases end one step before their share of all steps.
        assert learning_rate(settings, 20 * step / steps) == pytest.approx(reference.get_last_lr()[0], abs=1e-5)
        optimizer.step()
        reference.step()


def test_the_rate_of_one_cycle_moves_within_an_epoch_and_ends_near_zero() -> None:
    settings = msgspec.structs.replace(SHORT, epochs=4, schedule="one-cycle")
    result = fit(SCENIC, scenes(40, 0), [], settings, progress=False, trainer_options=QUIET)
    # Of 20 steps, the last of each epoch.
    expected = [learning_rate(settings, step / 5) for step in (4, 9, 14, 19)]
    assert [row.learning_rate for row in result.history] == pytest.approx(expected)
    assert expected[-1] < 0.02 * settings.learning_rate


@pytest.mark.parametrize(
    ("changes", "weights"),
    [
        ({"terms": ("error",)}, {"error": 1.0}),
        ({"terms": ("ranking",), "weighting": "fixed"}, {"ranking": 1.0, "stream_ranking": 1.0}),
        ({"weighting": "fixed", "weights": (2.0, 0.5, 3.0)}, {"error": 2.0, "ranking": 0.5, "stream_ranking": 3.0}),
    ],
)
def test_terms_can_be_left_out_and_weights_fixed(changes: dict[str, object], weights: dict[str, float]) -> None:
    settings = msgspec.convert({**msgspec.to_builtins(SHORT), **changes}, TrainingSettings)
    result = fit(CONFIG, planted(16, seed=0), [], settings, progress=False, trainer_options=QUIET)
    for row in result.history:
        assert row.weights == weights
        assert row.loss == pytest.approx(sum(weights[name] * row.terms[name] for name in weights))


def test_without_the_error_the_balance_is_of_two_terms() -> None:
    settings = msgspec.structs.replace(SHORT, terms=("ranking",))
    result = fit(CONFIG, planted(32, seed=0), [], settings, progress=False, trainer_options=QUIET)
    assert sum(result.history[-1].weights.values()) == pytest.approx(2)


def test_the_first_steps_are_those_of_a_plain_loop() -> None:
    """One epoch with fixed weights and without dropout, against torch alone."""
    config = msgspec.structs.replace(SCENIC, dropout=0.0)
    settings = TrainingSettings(epochs=1, batch_size=4, learning_rate=1e-2, weighting="fixed", seed=5)
    samples = scenes(8, 0)
    found = fit(config, samples, [], settings, progress=False, trainer_options=QUIET).model.state_dict()
    torch.manual_seed(5)
    model = ViralityModel(config)
    model.stream(Modality.SCENIC).start_score()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    order = list(EpochOrder(8, seed=5))
    for rows in (order[:4], order[4:]):
        frames = torch.stack([torch.from_numpy(samples[row][0][Modality.SCENIC]) for row in rows])
        truth = [samples[row][1] for row in rows]
        fused = model({Modality.SCENIC: (frames, torch.full((4,), 4))}, torch.ones(4, 1, dtype=torch.bool)).fused
        loss = (fused - torch.tensor(truth)).square().mean()
        for i in range(4):
            for j in range(i + 1, 4):
                sign = float(np.sign(truth[j] - truth[i]))
                loss = loss + 2 * ((fused[i] - fused[j]) * sign + 0.05).clamp(min=0)  # fused and the one stream
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    for name, tensor in model.state_dict().items():
        torch.testing.assert_close(found[name], tensor, rtol=1e-4, atol=1e-5)


def test_the_epoch_that_ranks_the_validation_clips_best_is_kept_and_patience_stops() -> None:
    validation = scenes(12, 1)
    settings = TrainingSettings(epochs=40, learning_rate=3e-2, decay_epochs=40, patience=2, seed=1)
    result = fit(SCENIC, scenes(16, 0), [], settings, validation=validation, progress=False, trainer_options=QUIET)
    measured = [row.validation for row in result.history]
    best = max(value for value in measured if value is not None)
    assert len(measured) < 40
    assert measured.index(best) == len(measured) - 3
    assert result.metrics == {"validation": best}
    assert spearman(predict(result.model, validation).fused, targets_of(validation)) == best


def test_a_run_folder_holds_history_curves_metrics_and_a_checkpoint_that_knows_its_clips(tmp_path: Path) -> None:
    ids = [f"clip-{number}" for number in range(16)]
    held_out = planted(10, seed=1)
    result = fit(
        CONFIG, planted(16, seed=0), held_out, SHORT, clip_ids=ids, run=tmp_path, training_data="sixteen clips",
        progress=False, trainer_options=QUIET,
    )  # fmt: skip
    with (tmp_path / "history.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["epoch"] for row in rows] == ["1", "2", "3"]
    assert float(rows[2]["weight_ranking"]) == pytest.approx(result.history[2].weights["ranking"], rel=1e-4)
    assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG")
    assert msgspec.json.decode((tmp_path / "metrics.json").read_bytes())["metrics"] == result.metrics
    model, notes = load_checkpoint(tmp_path / "model.safetensors")
    assert notes["training_data"] == "sixteen clips"
    assert set(notes) == {"training_data", DISTRIBUTION_NOTE, *result.metrics}
    assert trained_on(tmp_path / "model.safetensors", ["clip-3", "clip-99"]) == ["clip-3"]
    assert torch.equal(predict(model, held_out).fused, predict(result.model, held_out).fused)


def test_a_loss_that_is_not_finite_stops_with_the_batch_saved(tmp_path: Path) -> None:
    samples = scenes(20, 0)
    samples[13][0][Modality.SCENIC][1, 7] = np.inf
    ids = [f"clip-{number}" for number in range(20)]
    with pytest.raises(TrainingDiverged, match=r"epoch 1, step \d: .*clip-13.*bad-batch\.safetensors"):
        fit(SCENIC, samples, [], SHORT, clip_ids=ids, run=tmp_path, progress=False, trainer_options=QUIET)
    with safe_open(tmp_path / "bad-batch.safetensors", framework="np") as file:
        clips = file.metadata()["clips"].split()
        frames = file.get_tensor("scenic.frames")
        targets = file.get_tensor("targets")
    assert "clip-13" in clips
    for clip, row, target in zip(clips, frames, targets, strict=True):
        features, truth = samples[int(clip.removeprefix("clip-"))]
        np.testing.assert_array_equal(row, features[Modality.SCENIC])
        assert target == pytest.approx(truth)
    with pytest.raises(TrainingDiverged, match="give the run a folder"):
        fit(SCENIC, samples, [], SHORT, progress=False, trainer_options=QUIET)


def test_the_distribution_objective_trains_the_usdl_network() -> None:
    config = msgspec.structs.replace(SCENIC, appearance_network="usdl")
    settings = msgspec.structs.replace(SHORT, objective="distribution")
    result = fit(config, scenes(24, 0), [], settings, progress=False, trainer_options=QUIET)
    assert set(result.history[0].terms) == {"distribution"}
    assert result.history[-1].loss < result.history[0].loss


def test_samples_can_be_loaded_when_needed_and_train_the_same() -> None:
    held = planted(12, seed=0)
    loads: list[int] = []

    def load(row: int) -> dict[Modality, np.ndarray]:
        loads.append(row)
        return dict(held[row][0])

    targets = [target for _, target in held]
    lazy = LazySamples(load, targets, [frozenset(features) for features, _ in held], "fingerprint")
    assert targets_of(lazy).tolist() == targets
    assert (presence_of(lazy, CONFIG.modalities) == presence_of(held, CONFIG.modalities)).all()
    assert fingerprint_of(lazy) == "fingerprint"
    assert not loads
    settings = msgspec.structs.replace(SHORT, epochs=1)
    models = [
        fit(CONFIG, samples, [], settings, progress=False, trainer_options=QUIET).model.state_dict()
        for samples in (held, lazy)
    ]
    assert all(torch.equal(tensor, models[1][name]) for name, tensor in models[0].items())
    assert sorted(loads) == list(range(12))


def test_loader_processes_change_nothing_but_who_loads_and_have_no_memory_of_this_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(planted_clips, "MEMORY", "of the process that trains")
    models, pids, memories = [], [], []
    for workers in (0, 2):
        load = WitnessedScenes(12, 0, tmp_path / str(workers))
        clips = LazySamples(load, load.targets, [frozenset({Modality.SCENIC})] * 12, "fingerprint")
        settings = msgspec.structs.replace(SHORT, epochs=2, loader_workers=workers)
        result = fit(SCENIC, clips, [], settings, progress=False, trainer_options=QUIET)
        models.append(result.model.state_dict())
        pids.append({int(path.name) for path in load.witnesses.iterdir()})
        memories.append({path.read_text() for path in load.witnesses.iterdir()})
    assert all(torch.equal(tensor, models[1][name]) for name, tensor in models[0].items())
    assert pids[0] == {os.getpid()}
    assert len(pids[1] - pids[0]) == 2
    # A fork of a process with threads copies locks that nothing will release.
    assert memories == [{"of the process that trains"}, {""}]


def test_a_fingerprint_depends_on_every_number() -> None:
    samples = planted(6, seed=0)
    before = fingerprint_of(samples)
    assert fingerprint_of(planted(6, seed=0)) == before
    samples[2][0][Modality.SKELETAL][3, 4, 1] += 1e-3
    assert fingerprint_of(samples) != before
    assert fingerprint_of([*planted(5, seed=0), (planted(6, seed=0)[5][0], 0.5)]) != before


def test_mixed_precision_trains() -> None:
    settings = msgspec.structs.replace(SHORT, precision="bf16-mixed")
    result = fit(CONFIG, planted(16, seed=0), [], settings, progress=False, trainer_options=QUIET)
    assert result.history[-1].terms["error"] < result.history[0].terms["error"]
    assert all(tensor.dtype != torch.bfloat16 for tensor in result.model.state_dict().values())


def test_progress_is_a_line_per_epoch_where_there_is_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    console = Console(stderr=True, force_terminal=False)
    settings = msgspec.structs.replace(SHORT, epochs=2)
    fit(SCENIC, scenes(8, 0), [], settings, progress=ConsoleProgress(console), trainer_options=QUIET)
    lines = capsys.readouterr().err.splitlines()
    assert [line.split(":")[0] for line in lines] == ["epoch 1/2", "epoch 2/2"]


def test_progress_is_a_bar_on_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    console = Console(stderr=True, force_terminal=True, width=80)
    fit(SCENIC, scenes(8, 0), [], SHORT, progress=ConsoleProgress(console), trainer_options=QUIET)
    assert "epoch 3/3" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("epochs", 0),
        ("batch_size", 0),
        ("learning_rate", 0.0),
        ("learning_rate", float("nan")),
        ("modality_dropout", 1.0),
        ("patience", 0),
        ("devices", 0),
        ("terms", ()),
        ("weights", (1.0, 0.0, 1.0)),
        ("seed", -1),
    ],
)
def test_impossible_settings_name_themselves(name: str, value: object) -> None:
    with pytest.raises(ConfigurationError, match=name) as caught:
        TrainingSettings(**{name: value})  # type: ignore[arg-type]
    assert caught.value.field == name


def test_clip_ids_must_be_one_per_clip() -> None:
    with pytest.raises(ConfigurationError, match="1 clip ids for 4 clips"):
        fit(SCENIC, scenes(4, 0), [], SHORT, clip_ids=["a"], progress=False)


def test_every_stream_starts_at_the_middle_of_the_scores_whatever_the_clip() -> None:
    settings = TrainingSettings(epochs=1, batch_size=8, learning_rate=1e-12)
    model = fit(CONFIG, planted(8, seed=0), [], settings, progress=False, trainer_options=QUIET).model
    predicted = predict(model, planted(6, seed=1))
    scores = predicted.scores[predicted.attention > 0]
    torch.testing.assert_close(scores, torch.full_like(scores, 0.5), atol=1e-6, rtol=0.0)
