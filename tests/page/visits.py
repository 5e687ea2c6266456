"""A visitor of the page: a tab, what its console says, and what axe finds in it."""

from importlib.resources import files
from typing import Any, Final, Literal

from playwright.sync_api import Browser, ConsoleMessage, Error, Locator, expect

PHONE: Final = (360, 740)
DESKTOP: Final = (1280, 900)
THEMES: Final = ("light", "dark")
SIZES: Final = (PHONE, DESKTOP)
LOOKS: Final = [(theme, size) for theme in THEMES for size in SIZES]
"""Both themes in two sizes."""
_AXE: Final = (files("axe_playwright_python") / "axe.min.js").read_text()
_RULES: Final = {
    "runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"],
    "resultTypes": ["violations"],
}
_TIMEOUT_MS: Final = 20_000


class Visit:
    """``page`` is Playwright's. ``problems``: errors of the console, of scripts and of the policy so far."""

    def __init__(
        self,
        browser: Browser,
        url: str,
        *,
        theme: Literal["light", "dark"] = "light",
        size: tuple[int, int] = DESKTOP,
        **context: Any,
    ) -> None:
        self.url = url
        self.problems: list[str] = []
        width, height = size
        self._context = browser.new_context(
            color_scheme=theme, viewport={"width": width, "height": height}, reduced_motion="reduce", **context
        )
        self.page = self._context.new_page()
        self.page.set_default_timeout(_TIMEOUT_MS)
        self.page.on("console", self._said)
        self.page.on("pageerror", lambda error: self.problems.append(f"script: {error}"))

    def open(self, address: str = "") -> None:
        """``address``: what follows the root of the page, as in ``#/challenges``."""
        self.page.goto(f"{self.url}/{address}")

    def shows(self, text: str) -> Locator:
        """Waits until ``text`` is visible on the page."""
        found = self.page.get_by_text(text).first
        found.wait_for(state="visible")
        return found

    def heading(self, name: str) -> Locator:
        """Waits until the page has this heading and nothing is loading."""
        found = self.page.get_by_role("heading", name=name, exact=True).first
        found.wait_for(state="visible")
        self.settled()
        return found

    def settled(self) -> None:
        """Waits until nothing on the page is loading and every chart is drawn."""
        # Not wait_for_function: it evaluates strings, which the page's policy does not allow.
        expect(self.page.locator(".loading, .plot:empty")).to_have_count(0, timeout=_TIMEOUT_MS)

    def violations(self) -> list[str]:
        """What axe finds: the rule, and each element that breaks it."""
        if not self.page.evaluate("typeof axe === 'object'"):
            self.page.evaluate(_AXE)
        found = self.page.evaluate("rules => axe.run(document, rules)", _RULES)
        return [
            f"{each['id']}: {node['target']}: {node['failureSummary']}"
            for each in found["violations"]
            for node in each["nodes"]
        ]

    def is_wider_than_the_window(self) -> bool:
        return bool(self.page.evaluate("document.documentElement.scrollWidth > document.documentElement.clientWidth"))

    def take(self, part: str) -> list[str]:
        """Takes the problems that contain ``part`` out, as what the test provoked."""
        taken = [each for each in self.problems if part in each]
        self.problems = [each for each in self.problems if part not in each]
        return taken

    def close(self) -> None:
        try:
            self._context.close()
        except Error as error:  # the test that failed has the reason
            self.problems.append(f"closing: {error}")

    def _said(self, message: ConsoleMessage) -> None:
        if message.type in {"error", "warning"}:
            self.problems.append(f"{message.type}: {message.text} ({message.location.get('url', '')})")
