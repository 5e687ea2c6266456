"""What only an extra brings is named together with the extra when it is missing."""

import subprocess
import sys

import pytest

from dancerank_installation import missing_extra
from extraction.selection import open_extractors
from extraction.settings import ExtractionSettings
from ranking.database.connection import Database
from schemas.errors import ExtraMissing
from transport.embedded import EmbeddedBroker


@pytest.mark.parametrize(
    ("module", "extra"),
    [
        ("torch.nn", "dancerank[cpu,train]"),
        ("onnxruntime", "dancerank[cpu]"),
        ("faiss", "dancerank[gpu]"),
        ("psycopg", "dancerank[postgresql]"),
        ("confluent_kafka", "dancerank[embedded]"),
        ("av", "dancerank[video]"),
        ("PIL.Image", "dancerank[pictures]"),
        ("matplotlib", "dancerank[pictures]"),
    ],
)
def test_a_missing_module_names_the_extra_that_brings_it(module: str, extra: str) -> None:
    assert extra in (missing_extra(ModuleNotFoundError(name=module)) or "")


def test_a_missing_module_of_no_extra_is_a_defect() -> None:
    assert missing_extra(ModuleNotFoundError(name="schemas.evnts")) is None


@pytest.mark.parametrize("module", ["onnxruntime", "faiss"])
def test_without_a_runtime_the_command_names_the_extra(module: str) -> None:
    code = f"import sys; sys.modules[{module!r}] = None; from dancerank_installation import run_command; run_command()"
    command = [sys.executable, "-c", code, "demo", "--clips", "16"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
    assert (done.returncode, "Traceback" in done.stderr) == (1, False), done.stderr
    assert f"this needs {module}; install the extra: pip install 'dancerank[cpu]'" in done.stderr.splitlines()[-1]


def test_the_embedded_broker_names_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "confluent_kafka", None)
    with pytest.raises(ExtraMissing, match=r"dancerank\[embedded\]"), EmbeddedBroker():
        pass


def test_a_postgresql_url_names_the_extra_of_the_driver(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(ExtraMissing, match=r"dancerank\[postgresql\]"):
        Database("postgresql://user@host/name")


def test_features_from_videos_name_the_extra_of_the_decoder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(ExtraMissing, match=r"dancerank\[video\]"):
        open_extractors(ExtractionSettings())
