"""The page in a real browser: one for the tests of this folder, a fresh profile for each test.

A test fails if the browser's console has an error, a script fails, or the page's policy is violated; what a test
provokes it takes out with ``Visit.take``.
"""

from collections.abc import Callable, Iterator

import pytest
from fastapi import FastAPI
from playwright.sync_api import Browser, sync_playwright

from tests.page.systems import SmallSystem, serving
from tests.page.visits import Visit
from tests.servers import ServerUnavailable, unavailable
from tests.servers.chromium import chromium


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.parent.name == "page" and "visit" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.browser)


# For this folder and not the session: while Playwright runs, nothing else on this thread may use asyncio.
@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    try:
        binary = chromium()
    except ServerUnavailable as error:
        unavailable(error)
    with sync_playwright() as playwright:
        # Chromium refuses to sandbox what root starts, as in a container.
        launched = playwright.chromium.launch(
            executable_path=binary, args=["--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"]
        )
        yield launched
        launched.close()


@pytest.fixture(scope="package")
def small() -> Iterator[SmallSystem]:
    """A system with some clips in three challenges. Tests only read it."""
    with SmallSystem() as system:
        yield system


@pytest.fixture(scope="package")
def small_url(small: SmallSystem) -> Iterator[str]:
    """Where it is served, without keys."""
    with serving(small.app()) as url:
        yield url


@pytest.fixture
def serve() -> Iterator[Callable[[FastAPI], str]]:
    """Serves an application of the test's own over HTTP: ``serve(app)`` gives its address."""
    stops: list[Callable[[], object]] = []

    def start(app: FastAPI) -> str:
        served = serving(app)
        url = served.__enter__()
        stops.append(lambda: served.__exit__(None, None, None))
        return url

    yield start
    for stop in stops:
        stop()


@pytest.fixture
def visit(browser: Browser, serve: object) -> Iterator[Callable[..., Visit]]:
    """Opens a page as a new visitor: ``visit(url, "#/challenges", theme="dark", size=PHONE)``.

    It needs ``serve`` so that visitors leave before servers stop, which would wait for them.
    """
    visits: list[Visit] = []

    def open_page(url: str, address: str = "", **options: object) -> Visit:
        opened = Visit(browser, url, **options)  # type: ignore[arg-type]
        visits.append(opened)
        opened.open(address)
        return opened

    yield open_page
    problems = [problem for each in visits for problem in each.problems]
    for each in visits:
        each.close()
    assert problems == []
