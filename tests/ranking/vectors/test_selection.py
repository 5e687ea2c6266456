"""Which backend the setting ``ranking.index`` names."""

import sys
from importlib.metadata import EntryPoint, EntryPoints
from pathlib import Path

import pytest

from ranking.vectors.backends.faiss_live import FaissBackend
from ranking.vectors.backends.numpy_exact import NumpyBackend
from ranking.vectors.backends.selection import INDEXES, open_backend
from schemas import implementations
from schemas.errors import ConfigurationError
from tests.ranking.vectors.own_backends import LossyBackend, RemoteService

OWN = "tests.ranking.vectors.own_backends"


def test_the_shipped_backends_have_names() -> None:
    assert isinstance(open_backend("faiss", threads=2), FaissBackend)
    assert isinstance(open_backend("numpy"), NumpyBackend)


def test_a_backend_of_ones_own_is_named_by_its_import_path() -> None:
    assert isinstance(open_backend(f"{OWN}:LossyBackend"), LossyBackend)
    assert isinstance(open_backend(f"{OWN}:RemoteService"), RemoteService)


def test_a_backend_of_an_installed_package_is_named_by_its_entry_point(monkeypatch: pytest.MonkeyPatch) -> None:
    installed = EntryPoints([EntryPoint("lossy", f"{OWN}:LossyBackend", "dancerank.indexes")])
    monkeypatch.setattr(implementations, "entry_points", installed.select)
    assert isinstance(open_backend("lossy"), LossyBackend)
    with pytest.raises(
        ConfigurationError, match=r"one of faiss, milvus, numpy, pgvector, lossy, package\.module:factory"
    ):
        INDEXES.check("los")


@pytest.mark.parametrize(
    "name", ["", "annoy", "FAISS", "faiss.flat", ":Backend", f"{OWN}:", "a b:c", ".rel:f", "a:b\n"]
)
def test_an_unknown_name_is_refused_with_what_is_allowed(name: str) -> None:
    with pytest.raises(
        ConfigurationError, match=r"one of faiss, milvus, numpy, pgvector, package\.module:factory"
    ) as refused:
        open_backend(name)
    assert refused.value.field == "ranking.index"
    assert repr(name) in refused.value.message


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("nowhere.at_all:Backend", "No module named 'nowhere'"),
        (f"{OWN}:Missing", "Missing"),
        (f"{OWN}:SKELETAL", "cannot be imported"),
        ("pathlib:Path", "makes a .*Path; expected a SnapshotBackend or a RemoteBackend"),
        ("math:pi", "cannot be called"),
        ("json:loads", "does not take the arguments of an index"),
    ],
)
def test_a_name_that_leads_to_no_backend_says_why(name: str, says: str) -> None:
    with pytest.raises(ConfigurationError, match=says) as refused:
        open_backend(name)
    assert refused.value.field == "ranking.index"
    assert repr(name) in refused.value.message


@pytest.mark.parametrize("raised", ["RuntimeError('boom')", "SystemExit('boom')", "OSError('boom')"])
def test_a_module_that_raises_when_it_is_imported_is_named(
    raised: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "their_broken_module.py").write_text(f"raise {raised}\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ConfigurationError, match=r"their_broken_module:f', which cannot be imported: boom"):
        open_backend("their_broken_module:f")


def test_numpy_is_opened_without_faiss(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "faiss", None)
    homes = ("ranking.vectors.backends.faiss_live", "ranking.vectors.backends.live")
    for module in [name for name in sys.modules if name.startswith(homes)]:
        monkeypatch.delitem(sys.modules, module)
    assert isinstance(open_backend("numpy"), NumpyBackend)
    with pytest.raises(ConfigurationError, match=r"'faiss', which cannot be imported: .*faiss"):
        open_backend("faiss")
