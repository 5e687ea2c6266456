"""The networks that see pictures, for tests: ``deploy/test-extractors.sh`` fetches them into the cache folder."""

from functools import cache
from typing import NoReturn

import pytest

from extraction.models import Model, open_model
from schemas.errors import ExtractorModelMissing
from tests.servers import servers_are_required


def fetched_model(name: str) -> Model:
    """The network ``name`` on one CPU thread, opened once. Without it the test is skipped with the reason, under
    ``CI=true`` it fails.
    """
    try:
        return _opened(name)
    except ExtractorModelMissing as error:
        skip_or_fail(error.message)


def skip_or_fail(reason: str) -> NoReturn:
    if servers_are_required():
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)


@cache
def _opened(name: str) -> Model:
    return open_model(name, providers=("cpu",), threads=1)
