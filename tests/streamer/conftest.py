"""Bundles for the streamer's tests."""

from pathlib import Path

import pytest

from schemas.bundle import Bundle
from tests.small_bundle import small_bundle


@pytest.fixture(scope="session")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """All four modalities, MPII joints without confidence."""
    return small_bundle(tmp_path_factory.mktemp("bundles") / "small")


@pytest.fixture
def feature_root(tmp_path: Path) -> Path:
    root = tmp_path / "features"
    root.mkdir()
    return root
