"""The examples run, as they are, and say what they promise."""

import importlib
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import uvicorn

from dancerank_installation import FOLDER
from exporters.prometheus import PrometheusObserver
from ranking import create_app
from schemas import ClipUploaded, decode, decode_features
from tests.servers import free_port
from transport import EmbeddedBroker, KafkaSource

EXAMPLES = FOLDER / "examples"


@pytest.fixture
def example(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Imports an example as Python would if it were run."""
    monkeypatch.syspath_prepend(EXAMPLES)
    before = set(sys.modules)

    def load(name: str) -> ModuleType:
        return importlib.import_module(name)

    yield load
    for name in {path.stem for path in EXAMPLES.glob("*.py")} & (set(sys.modules) - before):
        del sys.modules[name]


@pytest.mark.parametrize(
    ("name", "output"),
    [
        ("score_one_clip", "fused      score"),
        ("guide_one_clip", "to raise it:"),
        ("own_observer", "inference skeletal"),
        ("whole_system", "RankedClip(rank=1"),
    ],
)
def test_an_example_runs_as_a_program(tmp_path: Path, name: str, output: str) -> None:
    command = [sys.executable, str(EXAMPLES / f"{name}.py")]
    environment = {"PYTHONPATH": str(FOLDER)}
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert output in done.stdout
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        pytest.param(["produce_upload.py", "127.0.0.1:1", "."], "cannot connect", marks=pytest.mark.tried(
            kind="first steps that fail silently", given="an example without a broker", outcome="one sentence")),
        pytest.param(["produce_upload.py", "127.0.0.1:1", "nowhere"], "nowhere", id="no folder"),
        pytest.param(["ask_over_http.py", "http://127.0.0.1:1", "clip-7"], "http://127.0.0.1:1 does not answer",
                     id="no server"),
        pytest.param(["ask_over_http.py", "127.0.0.1:1", "clip-7"], "127.0.0.1:1 does not answer", id="not a URL"),
    ],
)  # fmt: skip
def test_an_example_without_what_it_needs_says_so_in_a_sentence(
    tmp_path: Path, arguments: list[str], named: str
) -> None:
    program, *rest = arguments
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / program), *rest],
        cwd=tmp_path, env={"PYTHONPATH": str(FOLDER)}, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert named in done.stderr
    assert len(done.stderr.splitlines()) == 1, done.stderr


def test_the_produced_upload_names_a_feature_file_that_can_be_read(example: Any, tmp_path: Path) -> None:
    with EmbeddedBroker() as connection:
        sent = example("produce_upload").main(connection, tmp_path)
        source = KafkaSource(connection, ["clips.uploaded"], group=None)
        records: list[Any] = []
        while not records:
            records += source.poll(max_records=1, timeout_s=1.0)
        source.close()
    assert decode(records[0].value, ClipUploaded) == sent
    assert sent.features.uri == (tmp_path / "clip-1.safetensors").as_uri()
    assert decode_features((tmp_path / "clip-1.safetensors").read_bytes()).modalities


def test_the_questions_over_http_are_answered_by_the_whole_system(
    example: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    observer, port = PrometheusObserver(), free_port()
    with example("whole_system").running(6, observer) as system:
        app = create_app(system.service, observer.render)
        server = uvicorn.Server(uvicorn.Config(app, port=port, log_level="error"))
        thread = threading.Thread(target=server.run)
        thread.start()
        while not server.started:
            assert thread.is_alive()
            time.sleep(0.01)
        try:
            example("ask_over_http").main(f"http://127.0.0.1:{port}", "clip-3")
        finally:
            server.should_exit = True
            thread.join()
    *hits, ranking = capsys.readouterr().out.splitlines()
    assert {hit.split()[2].rstrip(":") for hit in hits} == {"dancer-1", "dancer-2"}
    assert ranking.startswith("renegade ['clip-")
