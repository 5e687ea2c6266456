"""A command that takes long says so from the first second, and what is wrong with its arguments before."""

import io
import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console
from safetensors.numpy import save
from typer.testing import CliRunner

import dancerank.console.progress
import networks.training.progress as training_progress
from dancerank.cli import app
from dancerank.console.progress import counted, steps, working
from dancerank.processes import Processes
from dancerank.settings import load_settings
from networks.training.history import EpochRow
from networks.training.progress import ConsoleProgress
from tests.vdv.data_sets import labelled, written
from tests.waiting import wait_until
from tests.warm_starts import WarmCommand


@pytest.fixture
def quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lines come at once and every 10 ms."""
    monkeypatch.setattr(dancerank.console.progress, "FIRST_LINE_S", 0.0)
    monkeypatch.setattr(dancerank.console.progress, "LINES_EVERY_S", 0.01)


def test_the_first_line_comes_after_a_second_and_others_every_ten() -> None:
    assert (dancerank.console.progress.FIRST_LINE_S, dancerank.console.progress.LINES_EVERY_S) == (1.0, 10.0)


def test_a_step_that_takes_long_is_shown_before_it_ends(quickly: None, capsys: pytest.CaptureFixture[str]) -> None:
    shown: list[str] = []

    def is_shown(text: str) -> bool:
        shown.append(capsys.readouterr().err)
        return text in "".join(shown)

    with steps() as on_progress:
        on_progress("Reading", 0, 0)
        wait_until(lambda: is_shown("Reading: 0 s\n"))
        on_progress("Writing", 3, 1000)
        wait_until(lambda: is_shown("Writing: 3 of 1,000, 0 s\n"))
    with working("hashing"):
        wait_until(lambda: is_shown("hashing: 0 s\n"))
    for done, _ in enumerate(counted("abc", "letters", 3)):
        wait_until(lambda done=done: is_shown(f"letters: {done} of 3, 0 s\n"))  # type: ignore[misc]


def test_nothing_is_shown_after_the_activity_that_is_waited_for(
    quickly: None, capsys: pytest.CaptureFixture[str]
) -> None:
    with steps(until="reading") as on_progress:
        on_progress("reading", 2, 2)
        capsys.readouterr()
        time.sleep(0.05)
        on_progress("training", 0, 9)
        time.sleep(0.05)
    assert capsys.readouterr().err.count("training") == 0


def test_what_ends_within_a_second_says_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with working("hashing"):
        pass
    assert capsys.readouterr().err == ""


def without_torch(folder: Path, *arguments: str) -> str:
    """What a command says on standard error in an installation whose torch cannot be imported; it exits with 1."""
    errors = folder / "errors.log"
    command = WarmCommand(arguments, errors, os.environ, output=folder / "output.log", without=("torch",))
    assert command.wait(120) == 1, errors.read_text()
    return " ".join(errors.read_text().split())


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set, which nobody changes."""
    folder = tmp_path_factory.mktemp("data")
    written(folder, labelled(10))
    return folder


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    """A file that says that it is a checkpoint."""
    path = tmp_path / "model.safetensors"
    path.write_bytes(save({}, {"format": "dancerank-framework/1"}))
    return path


RECIPES = {
    "negative": "[training]\nepochs = -1",
    "text": '[network]\ngraph_width = "x"',
    "unknown": "[training]\nepoch = 1",
    "devices": "[training]\ndevices = 100000",
}

MISTAKES = (
    pytest.param("evaluate {tmp}/absent {data}", "absent: no readable checkpoint", marks=pytest.mark.tried(
        kind="waiting in the dark", given="evaluate of a missing model", outcome="refused before torch is loaded")),
    pytest.param("evaluate {data}/clips.csv {data}", "no readable checkpoint", id="evaluate of another file"),
    pytest.param("evaluate {checkpoint} {tmp}/absent", "clips.csv: cannot be read", marks=pytest.mark.tried(
        kind="waiting in the dark", given="evaluate of a missing data set", outcome="refused before torch is loaded")),
    pytest.param("evaluate {checkpoint} {data} --part test", "has no split", id="evaluate of a part that is not"),
    pytest.param("evaluate {checkpoint} {data} --track x", "'x'", id="evaluate of a track that is not"),
    pytest.param("evaluate {checkpoint} {data} --out {tmp}/absent/p.csv", "--out", id="evaluate into no folder"),
    pytest.param("train {tmp}/absent {tmp}/run", "clips.csv: cannot be read", id="train on no data"),
    pytest.param("train {data} {data}/clips.csv/run", "is not a folder; choose another", marks=pytest.mark.tried(
        kind="waiting in the dark", given="train into a folder that cannot be made",
        outcome="refused before torch is loaded")),
    pytest.param("train {data} {tmp}/run --track x", "'x'", id="train on a track that is not"),
    pytest.param("train {data} {tmp}/run --settings {tmp}/absent.toml", "absent.toml: cannot be read (No such file",
                 id="train with no settings"),
    pytest.param("train {data} {tmp}/run --settings {tmp}/negative.toml", "[training] epochs must be at least 1",
                 marks=pytest.mark.tried(kind="waiting in the dark", given="train with a recipe of minus one epochs",
                                         outcome="refused before torch is loaded")),
    pytest.param("train {data} {tmp}/run --settings {tmp}/text.toml", "network.graph_width: 'x' is refused",
                 id="train with a text as width"),
    pytest.param("train {data} {tmp}/run --settings {tmp}/unknown.toml", "[training] has no key 'epoch'",
                 marks=pytest.mark.tried(kind="waiting in the dark", given="train with an unknown key in the recipe",
                                         outcome="refused before torch is loaded")),
    pytest.param("train {data} {tmp}/run --width 0", "[network] graph_width must be above zero", id="no channels"),
    pytest.param("train {data} {tmp}/run --patience 0", "[training] patience must be at least 1", id="no patience"),
    pytest.param("train {data} {tmp}/run --seed 9223372036854775808", "[training] seed must be below 2^63", id="seed"),
    pytest.param("train {data} {tmp}/run --modalities smell", "network.modalities", id="train on a smell"),
    pytest.param("train {data} {tmp}/run --settings {tmp}/devices.toml", "[training] devices is 100000",
                 id="train on more devices than there are"),
    pytest.param("export {tmp}/absent {tmp}/bundle", "no readable checkpoint", marks=pytest.mark.tried(
        kind="waiting in the dark", given="export of a missing checkpoint", outcome="refused before torch is loaded")),
    pytest.param("export {checkpoint} {data}", "exists already", id="export over something"),
    pytest.param("export {checkpoint} {checkpoint}/bundle", "is not a folder; choose another", id="export into a file"),
)  # fmt: skip


@pytest.mark.parametrize(("arguments", "named"), MISTAKES)
def test_arguments_are_checked_before_torch_is_imported(
    tmp_path: Path, data: Path, checkpoint: Path, arguments: str, named: str
) -> None:
    for name, recipe in RECIPES.items():
        (tmp_path / f"{name}.toml").write_text(recipe)
    said = without_torch(tmp_path, *arguments.format(tmp=tmp_path, data=data, checkpoint=checkpoint).split())
    assert named in said
    assert "install the extra" not in said


def shown_by(*arguments: str) -> str:
    done = CliRunner().invoke(app, list(arguments))
    assert done.exit_code == 0, done.output
    return done.stderr


@pytest.mark.tried(
    kind="waiting in the dark",
    given="pools simulate, where standard error is a file",
    outcome="lines from the first second",
)
def test_a_simulation_says_what_it_does(quickly: None, monkeypatch: pytest.MonkeyPatch) -> None:
    said = shown_by("pools", "simulate", "--clips", "200", "--days", "1", "--seeds", "1")
    assert "Filming and scoring the clips of seed 1: " in said
    assert "Replaying: 0 of 1, " in said
    assert " of 200" in said


@pytest.mark.parametrize(
    ("command", "says"),
    [
        (lambda folder, data: ("data", "check", str(data)), "Checking: "),
        (lambda folder, data: ("data", "synthesize", str(folder / "made"), "--clips", "24"), "Filming: "),
        (lambda folder, data: ("content-hash",), "hashing the rankings: "),
    ],
    ids=["data check", "data synthesize", "content-hash"],
)
def test_other_commands_say_what_they_do(
    quickly: None,
    tmp_path: Path,
    data: Path,
    monkeypatch: pytest.MonkeyPatch,
    command: Callable[[Path, Path], tuple[str, ...]],
    says: str,
) -> None:
    monkeypatch.setenv("DANCERANK_RANKING__DATABASE_URL", f"sqlite:///{tmp_path}/view.db")
    monkeypatch.setenv("DANCERANK_RANKING__INDEX_FOLDER", str(tmp_path / "index"))
    with Processes(load_settings()).database():
        pass
    assert says in shown_by(*command(tmp_path, data))


@pytest.mark.tried(
    kind="waiting in the dark",
    given="a command that asks Kafka, while no broker answers",
    outcome="a line after a second with the address",
)
@pytest.mark.parametrize(
    ("command", "says"),
    [
        ("offsets show", "asking Kafka at 127.0.0.1:1 and sqlite"),
        ("offsets reset --group pools --to latest", "asking Kafka at 127.0.0.1:1 and sqlite"),
        ("offsets accept-loss", "asking Kafka at 127.0.0.1:1: "),
        ("dead-letters list", "asking Kafka at 127.0.0.1:1: "),
        ("doctor", "examining Kafka, the database and this machine: "),
        ("stream", "connecting to Kafka at 127.0.0.1:1"),
    ],
)
def test_a_command_says_that_it_waits_for_kafka(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str, says: str
) -> None:
    monkeypatch.setenv("DANCERANK_KAFKA__BOOTSTRAP_SERVERS", '["127.0.0.1:1"]')
    monkeypatch.setenv("DANCERANK_KAFKA__TIMEOUT_S", "2")
    monkeypatch.setenv("DANCERANK_RANKING__DATABASE_URL", f"sqlite:///{tmp_path}/view.db")
    monkeypatch.setenv("DANCERANK_RANKING__INDEX_FOLDER", str(tmp_path / "index"))
    errors = tmp_path / "errors.log"
    code = WarmCommand(command.split(), errors, os.environ, output=tmp_path / "output.log").wait(120)
    assert code == 1, errors.read_text()
    assert says in errors.read_text()


@pytest.mark.tried(
    kind="waiting in the dark",
    given="train in its first epoch, where standard error is a file",
    outcome="a line after a second, then every ten",
)
def test_training_says_how_far_its_epoch_is(monkeypatch: pytest.MonkeyPatch) -> None:
    assert (training_progress.FIRST_LINE_S, training_progress.LINES_EVERY_S) == (1.0, 10.0)
    monkeypatch.setattr(training_progress, "FIRST_LINE_S", 0.0)
    monkeypatch.setattr(training_progress, "LINES_EVERY_S", 0.01)
    said = io.StringIO()
    progress = ConsoleProgress(Console(file=said, width=200))
    progress.begin(3, 40, 1)
    wait_until(lambda: "epoch 2/3: 0 of 40 batches, 0 s\n" in said.getvalue())
    for _ in range(25):
        progress.step()
    wait_until(lambda: "epoch 2/3: 25 of 40 batches" in said.getvalue())
    row = EpochRow(epoch=2, loss=0.5, terms={}, weights={}, learning_rate=1e-3, validation=None, samples_per_s=12.0)
    progress.epoch(row)
    progress.step()
    wait_until(lambda: "epoch 3/3: 1 of 40 batches" in said.getvalue())
    progress.end()
    assert "epoch 2/3: loss 0.5, 12 clips/s\n" in said.getvalue()
