"""The command line: what a person sees, and what is said when something is wrong."""

import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from dancerank.cli import app
from dancerank.settings import shipped_bundle
from dancerank.uploads import send_clips
from schemas.errors import RecordRefused
from schemas.events import ClipUploaded, InlineFeatures
from schemas.ports import OutgoingRecord

COMMANDS = [
    *("demo", "stream", "rank", "serve", "settings", "produce"),
    *(
        "similar",
        "rankings",
        "distribution",
        "inspect",
        "export",
        "add-guidance",
        "guide",
        "tips",
        "strips",
        "demo-bundle",
        "content-hash",
        "check-counts",
        "doctor",
    ),
]


@pytest.fixture(autouse=True)
def wide_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")


def run(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, list(arguments))
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.output


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself_and_each_of_its_options(command: str) -> None:
    code, output = run(command, "--help")
    assert code == 0
    options = re.findall(r"^│[ *]+(?:\S+ +)?(--[a-z-]+)(.*)│$", output, flags=re.MULTILINE)
    assert options
    for option, text in options:
        assert len(re.findall(r"[a-z]{2,}", text)) >= 3, f"{option} is not explained"


@pytest.mark.parametrize("seed", ["-1", "2147483648", "1" + "0" * 30])
@pytest.mark.parametrize(
    "command",
    [
        "demo --seed",
        "data synthesize data --seed",
        "styles train data styles --seed",
        "routines train data --data features --out network --seed",
        "pools simulate --seeds",
    ],
)
def test_a_seed_that_some_library_does_not_take_is_refused_with_its_option(command: str, seed: str) -> None:
    code, output = run(*command.split(), seed)
    assert code
    assert command.split()[-1] in output


def test_help_names_the_extra_that_training_needs() -> None:
    assert "(needs [train])" in run("demo", "--help")[1]


def test_help_of_serve_says_who_fills_the_rankings() -> None:
    assert re.search(r"Rankings come from the database, which the rank\W+process\W+fills", run("serve", "--help")[1])


@pytest.mark.parametrize("at", ["send", "flush"])
def test_features_that_fit_no_record_name_the_clip_and_the_remedy(at: str) -> None:
    upload = ClipUploaded(
        clip_id="clip-7",
        dancer_id="d",
        challenge_id="c",
        uploaded_at_ms=0,
        duration_s=9.0,
        features=InlineFeatures(b"0" * 100),
    )

    class Full:
        def send(self, record: OutgoingRecord) -> None:
            if at == "send":
                raise RecordRefused("too large")

        def flush(self, timeout_s: float) -> None:
            raise RecordRefused("not written: topic uploads key b'clip-7'")

        def close(self) -> None: ...

    with pytest.raises(RecordRefused, match=r"clip-7.*leave out --inline.*shorter clip"):
        send_clips(Full(), "uploads", [upload], 1.0)


def test_inspect_shows_the_shipped_bundle() -> None:
    code, output = run("inspect")
    assert "trained on synthetic clips: its scores say nothing about real dances" in " ".join(
        output.replace("│", " ").split()
    )
    assert code == 0
    for expected in ("generation", "mpii-16", "skeletal.onnx", "fusion.onnx", "frames (N, T, 2048) float32"):
        assert expected in output


def test_inspect_names_the_file_that_was_changed(tmp_path: Path) -> None:
    for path in shipped_bundle().iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    graph = tmp_path / "facial.onnx"
    content = bytearray(graph.read_bytes())
    content[len(content) // 2] ^= 1
    graph.write_bytes(content)
    code, output = run("inspect", str(tmp_path))
    assert code == 1
    assert "facial.onnx" in output
    assert "checksum" in output


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["inspect", "/nowhere"], "bundle.json"),
        (["produce", "/nowhere"], "clips.csv"),
        (["similar"], "give exactly one of --clip, --dancer, --embeddings and --like; got none"),
        (["similar", "--clip", "a", "--dancer", "b"], "got --clip, --dancer"),
        (["similar", "--clip", "a", "--weights", "elbow:1"], "elbow"),
        (["similar", "--clip", "a", "-k", "0"], "-k is 0"),
        (["settings", "--config", "/nowhere.toml"], "/nowhere.toml"),
    ],
)
def test_a_mistake_is_answered_with_a_sentence_that_names_it(arguments: list[str], named: str) -> None:
    code, output = run(*arguments)
    assert code == 1
    assert output.startswith("error (")
    assert named in output
    assert "Traceback" not in output


def test_a_wrong_setting_stops_every_command_and_names_itself(tmp_path: Path) -> None:
    config = tmp_path / "dancerank.toml"
    config.write_text("[server]\nprot = 1\n")
    for command in ("stream", "rank", "serve", "settings"):
        code, output = run(command, "--config", str(config))
        assert code == 1
        assert "server.prot" in output


def test_an_unreachable_broker_is_named(tmp_path: Path) -> None:
    config = tmp_path / "dancerank.toml"
    config.write_text('[kafka]\nbootstrap_servers = ["127.0.0.1:1"]\ntimeout_s = 1.0\n')
    code, output = run("stream", "--config", str(config))
    assert code == 1
    assert "127.0.0.1:1" in output
