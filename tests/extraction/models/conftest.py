from collections.abc import Callable
from pathlib import Path

import pytest

from extraction.models.catalogue import CATALOGUE
from extraction.models.fetching import source_path
from extraction.models.folder import default_folder
from tests.extractors import skip_or_fail


@pytest.fixture
def sources() -> Callable[[str], list[Path]]:
    """The files of packages that a network was made of."""

    def find(name: str) -> list[Path]:
        paths = [source_path(default_folder(), source) for source in CATALOGUE[name].sources]
        for path in paths:
            if not path.is_file():
                skip_or_fail(f"{name}: {path} is missing; run deploy/test-extractors.sh")
        return paths

    return find
