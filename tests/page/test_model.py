"""The page of the model: what it was trained on, and whether it is right."""

from collections.abc import Callable, Iterator

import pytest
from fastapi import FastAPI

from ranking.database.connection import Database
from ranking.monitoring.reading import ModelReader
from ranking.scores.store import ScoreStore
from ranking.serving.api import create_app
from ranking.serving.live.broadcast import Broadcast
from ranking.serving.service import RankingService
from schemas.bundle import SYNTHETIC_WARNING
from schemas.clock import SystemClock
from schemas.modalities import DIMENSIONS
from tests.page.operated import measure
from tests.page.systems import CHALLENGES, MANIFEST, SmallSystem, serving
from tests.page.visits import LOOKS, Visit
from tests.ranking.databases import UNREACHABLE

Visits = Callable[..., Visit]
Serve = Callable[[FastAPI], str]


@pytest.fixture(scope="module")
def measured() -> Iterator[SmallSystem]:
    with SmallSystem() as system:
        measure(system.database)
        yield system


@pytest.fixture(scope="module")
def url(measured: SmallSystem) -> Iterator[str]:
    with serving(measured.app()) as address:
        yield address


@pytest.mark.parametrize(("theme", "size"), LOOKS, ids=lambda each: each if isinstance(each, str) else f"{each[0]}px")
def test_axe_finds_nothing_on_the_page_and_nothing_scrolls_sideways(
    visit: Visits, url: str, theme: str, size: tuple[int, int]
) -> None:
    seen = visit(url, "#/model", theme=theme, size=size)
    seen.heading("Drift")
    for summary in seen.page.locator("summary").all():
        summary.click()
    assert seen.violations() == []
    assert not seen.is_wider_than_the_window()


def test_a_model_trained_on_synthetic_clips_says_so_on_every_page(visit: Visits, url: str) -> None:
    seen = visit(url, "#/challenges")
    for address, heading in {"#/challenges": "Challenges", "#/nothing": "There is no such page"}.items():
        seen.open(address)
        seen.heading(heading)
        seen.shows(SYNTHETIC_WARNING)
    seen.page.get_by_role("link", name="About the model").click()
    seen.heading("Model card")
    assert seen.page.get_by_text(SYNTHETIC_WARNING).count() == 2
    seen.shows(MANIFEST.training_data)
    assert MANIFEST.classifier is not None
    seen.shows(", ".join(MANIFEST.classifier.styles))


def test_agreement_calibration_and_drift_are_those_that_were_measured(
    visit: Visits, measured: SmallSystem, url: str
) -> None:
    seen = visit(url, "#/model")
    seen.heading("Drift")
    latest = measured.service.model().latest
    assert latest is not None
    (mean,) = [each for each in latest.agreements if each.challenge_id is None and each.dimension == "fused"]
    seen.shows(f"The fused score agrees with ρ = {mean.correlation:.2g} over 120 clips")
    agreement = seen.page.get_by_role("region", name="Agreement with what happened")
    agreement.get_by_text("Numbers").click()
    for challenge_id in CHALLENGES:
        assert agreement.get_by_role("rowheader", name=challenge_id).count() == len(DIMENSIONS)
    seen.shows("distributed otherwise than the first ones by scenic")
    calibration = seen.page.get_by_role("region", name="Calibration", exact=True)
    calibration.get_by_role("combobox").select_option("facial")
    calibration.get_by_role("img", name="Predicted against observed virality by the facial score").wait_for()


def test_a_generation_that_was_not_measured_says_what_measures_it(
    visit: Visits, serve: Serve, small: SmallSystem
) -> None:
    seen = visit(serve(small.app()), "#/model")
    seen.shows("This generation has not been measured yet")
    seen.settled()
    assert seen.page.get_by_role("row").filter(has_text="g1").count() == 1


def test_without_clips_or_a_bundle_the_page_says_what_is_missing(visit: Visits, serve: Serve) -> None:
    with SmallSystem(clips=[]) as empty:
        model = ModelReader(empty.database, SystemClock(), problem="the bundle cannot be read")
        service = RankingService(empty.store, empty.index, model=model)
        seen = visit(serve(create_app(service, lambda: ("text/plain", b""), events=Broadcast())), "#/model")
        seen.shows("the bundle cannot be read")
        seen.shows("No clip has been scored yet")
        assert seen.violations() == []


def test_a_database_that_does_not_answer_is_said(visit: Visits, serve: Serve) -> None:
    database = Database(UNREACHABLE)
    service = RankingService(ScoreStore(database), model=ModelReader(database, SystemClock(), MANIFEST))
    seen = visit(serve(create_app(service, lambda: ("text/plain", b""))), "#/model")
    seen.page.get_by_role("button", name="Try again").first.wait_for()
    assert seen.violations() == []
    assert seen.take("503")
