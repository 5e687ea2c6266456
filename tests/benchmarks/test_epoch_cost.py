"""The cost of training PSGCN beside the public ST-GCN."""

import json
from pathlib import Path

import pytest
import torch

from benchmarks import epoch_cost
from networks.baselines.stgcn import STGCN
from networks.sequences import time_mask
from schemas.joints import layout_named


@pytest.mark.parametrize("training", [True, False])
def test_the_public_structure_computes_what_the_baseline_does(training: bool) -> None:
    layout = layout_named("mpii-16")
    torch.manual_seed(0)
    baseline = STGCN(layout, width=1 / 16, dropout=0.0).train(training)
    public = epoch_cost.PublicSTGCN(layout, width=1 / 16, dropout=0.0).train(training)
    with torch.no_grad():
        for ours, theirs in zip(public.parameters(), baseline.parameters(), strict=True):
            ours.copy_(theirs.normal_(0.0, 0.3))
        frames, lengths = torch.randn(3, 13, 16, 2), torch.full((3,), 13)
        normalised = baseline.normalise(frames, time_mask(lengths, 13)[:, :, None, None])
        torch.testing.assert_close(public(normalised), baseline(frames, lengths).score, rtol=1e-4, atol=1e-5)


def test_every_step_trains() -> None:
    torch.manual_seed(0)
    steps = epoch_cost.training_steps(1 / 16, 8, 2, torch.device("cpu"), dmgnn=False)
    assert list(steps) == [epoch_cost.PUBLIC, epoch_cost.OURS, "ST-GCN, masked"]
    weight = torch.nn.Parameter(torch.zeros(2))
    network = torch.nn.ParameterList([weight])
    step = epoch_cost.training_step(network, lambda: weight * 1.0, torch.ones(2))
    step()
    assert (weight > 0).all()


def test_networks_take_turns_for_the_time_given() -> None:
    turns: list[str] = []
    seconds = epoch_cost.step_seconds(
        {name: lambda name=name: turns.append(name) for name in "ab"}, 0.01, torch.device("cpu")
    )
    assert turns[:4] == ["a", "b", "a", "b"]
    assert turns.count("a") == turns.count("b")
    assert all(0 < each < 0.01 for each in seconds.values())


def test_the_ratio_is_printed_and_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out" / "cost.json"
    monkeypatch.setattr(epoch_cost, "OUT", out)
    command = ["epoch_cost", "--width", "0.0625", "--steps", "8", "--batch", "2", "--seconds", "0.1", "--rounds", "2"]
    monkeypatch.setattr("sys.argv", command)
    threads = torch.get_num_threads()
    try:
        epoch_cost.main()
    finally:
        torch.set_num_threads(threads)
    report = json.loads(out.read_text())
    assert "PSGCN over ST-GCN, public:" in capsys.readouterr().out
    assert report["ratio_to_public"][epoch_cost.PUBLIC] == [1.0, 1.0]
    fast, public = (report["samples_per_s"][name] for name in (epoch_cost.OURS, epoch_cost.PUBLIC))
    ratios = [ours / theirs for ours, theirs in zip(fast, public, strict=True)]
    assert report["ratio_to_public"][epoch_cost.OURS] == pytest.approx(ratios)
