"""Every page can be read and operated by everybody: in both themes, on a phone and on a desktop."""

from collections.abc import Callable

import pytest

from tests.page.visits import LOOKS, Visit

PAGES = {
    "#/challenges": "Challenges",
    "#/challenges/challenge-1": "challenge-1",
    "#/nothing/here": "There is no such page",
}
"""Addresses in the small system, and the heading of each."""


@pytest.mark.parametrize(("theme", "size"), LOOKS, ids=lambda each: each if isinstance(each, str) else f"{each[0]}px")
def test_axe_finds_nothing_on_any_page_and_nothing_scrolls_sideways(
    visit: Callable[..., Visit], small_url: str, theme: str, size: tuple[int, int]
) -> None:
    seen = visit(small_url, theme=theme, size=size)
    for address, heading in PAGES.items():
        seen.open(address)
        seen.heading(heading)
        assert seen.violations() == [], address
        assert not seen.is_wider_than_the_window(), address
