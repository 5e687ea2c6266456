"""How long the page of a challenge takes as the challenge grows: in a real browser, against a real SQL store.

    python -m benchmarks.page [--quick] [--clips 100000] [--challenges 2000] [--rounds 9]

A database of SQLite is filled through ``ScoreStore`` with one challenge of ``--clips`` clips, one of 100, and
``--challenges`` of one clip each; the page is served over HTTP on the loopback, and each address is opened in turn by a
new visitor of Chromium, whose cache is empty. *First view*: from the navigation until the first clips of all five
rankings are drawn. *Whole*: until every section is, charts included. *Next page*: from the press of the button. The
figures, medians with the bar of 1 s, go to ``out/page.json``. Rivals in the same run: the small challenge for the large
one, and a text file for all, which is what the browser takes on this machine for nothing.
"""

import argparse
import statistics
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Final, NamedTuple

import msgspec
from playwright.sync_api import Browser, Page, sync_playwright
from rich.console import Console
from rich.table import Table

from benchmarks.figures import Measured, write_figures
from benchmarks.rankings import AT, DAYS_MS, FILLED_AT_ONCE, made
from dancerank.listening import answer_on_thread, bound
from ranking.database.connection import Database
from ranking.pools.service.reading import PoolReader
from ranking.scores.store import ScoreStore
from ranking.serving.api import create_app
from ranking.serving.live.broadcast import Broadcast
from ranking.serving.service import RankingService
from schemas.clock import SystemClock
from schemas.events import ClipScored
from schemas.ports import Record, ScoredRecord
from tests.servers.chromium import chromium

CLIPS: Final = 100_000
CHALLENGES: Final = 2000
QUICK: Final = 10_000
SMALL: Final = 100
ROUNDS: Final = 9
BAR_MS: Final = 1000.0
_WAIT_MS: Final = 60_000
# Runs before the page's own scripts and notes when what a visitor waits for is there first.
_STOPWATCH: Final = """
window.seen = {};
const note = (name, isThere) => { if (isThere && !(name in window.seen)) window.seen[name] = performance.now(); };
const look = () => {
  const rankings = document.querySelectorAll(".ranking");
  note("first", rankings.length === 5 || document.querySelector("tbody tr") || document.contentType === "text/plain");
  const isLoading = document.querySelector(".loading, .plot:empty, [aria-busy=true]");
  const hasCharts = document.querySelectorAll(".plot").length >= 2;
  const isDrawn = rankings.length === 5 ? hasCharts : "first" in window.seen;
  note("whole", !isLoading && isDrawn);
};
new MutationObserver(look).observe(document, { childList: true, subtree: true, attributes: true });
"""
# From the press to the drawing; the button is that of the first ranking.
_NEXT: Final = """
() => new Promise((done) => {
  const card = document.querySelector(".ranking").closest("section");
  const first = card.querySelector(".ranking li .who").textContent;
  const started = performance.now();
  const observer = new MutationObserver(() => {
    if (card.querySelector(".ranking li .who")?.textContent !== first) {
      observer.disconnect();
      done(performance.now() - started);
    }
  });
  observer.observe(card, { childList: true, subtree: true, characterData: true });
  card.querySelector('[aria-label="Next"]').click();
})
"""


class Opened(NamedTuple):
    """Milliseconds of one visit; ``next_page_ms`` is ``None`` where there are no rankings."""

    first_ms: float
    whole_ms: float
    next_page_ms: float | None


def main() -> None:
    arguments = parse_arguments()
    console = Console()
    large = f"challenge of {arguments.clips:,} clips"
    small, many = f"challenge of {SMALL} clips", f"{arguments.challenges:,} challenges"
    # What the browser and the machine take for nothing: a text of a dozen lines, from the same server.
    text = "text file"
    addresses = {
        text: "page/vendor/licences/d3.txt",
        large: "#/challenges/large",
        small: "#/challenges/small",
        many: "#/challenges",
    }
    visits: dict[str, list[Opened]] = {name: [] for name in addresses}
    with filled(console, arguments.clips, arguments.challenges) as url, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=["--no-sandbox", "--disable-gpu"])
        for _ in range(arguments.rounds + 1):
            for name, address in addresses.items():
                visits[name].append(opened(browser, f"{url}/{address}"))
        browser.close()
    figures = list(measured({name: rounds[1:] for name, rounds in visits.items()}, large, small, text))
    table = Table("", "median", "bar", title=f"In Chromium, {arguments.rounds} visits each")
    for each in figures:
        bar = "" if each.bar is None else f"{each.bar:,.0f} {'met' if each.met else 'missed'}"
        table.add_row(each.name, f"{each.value:,.2f} {each.unit}", bar)
    console.print(table)
    console.print(write_figures("page", figures, rounds={name: [*map(list, each)] for name, each in visits.items()}))


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help=f"{QUICK:,} clips and 3 visits, within a minute")
    parser.add_argument("--clips", type=int, help="in the large challenge")
    parser.add_argument("--challenges", type=int, default=CHALLENGES, help="of one clip each")
    parser.add_argument("--rounds", type=int, help="visits to each address; one more, the first, does not count")
    arguments = parser.parse_args()
    arguments.clips = arguments.clips or (QUICK if arguments.quick else CLIPS)
    arguments.rounds = arguments.rounds or (3 if arguments.quick else ROUNDS)
    return arguments


@contextmanager
def filled(console: Console, clips: int, challenges: int) -> Iterator[str]:
    """The address of a server whose database has them all."""
    with (
        tempfile.TemporaryDirectory(prefix="dancerank-bench-") as folder,
        closing(Database(f"sqlite:///{Path(folder) / 'page.db'}")) as database,
    ):
        database.migrate()
        store, total = ScoreStore(database), clips + SMALL + challenges
        for start, end in pairwise([*range(0, total, FILLED_AT_ONCE), total]):
            console.print(f"{start:,} of {total:,} clips ...")
            store.apply(list(records(start, end, clips, total)), {AT: end})
        service = RankingService(store, pools=PoolReader(database, SystemClock()))
        app = create_app(service, lambda: ("text/plain", b""), events=Broadcast())
        with bound("127.0.0.1", 0) as taken:
            stop = answer_on_thread(app, taken)
            yield f"http://127.0.0.1:{taken.getsockname()[1]}"
            stop()


def records(start: int, end: int, large: int, total: int) -> Iterator[ScoredRecord]:
    first_ms = SystemClock().now_ms() - DAYS_MS
    for number, clip in enumerate(made(start, end - start, first_ms, total), start):
        named: ClipScored = msgspec.structs.replace(clip, challenge_id=challenge_of(number, large))
        yield ScoredRecord(Record(*AT, number, clip.uploaded_at_ms, None, b""), named)


def challenge_of(number: int, large: int) -> str:
    if number < large:
        return "large"
    return "small" if number < large + SMALL else f"challenge-{number - large - SMALL}"


def opened(browser: Browser, address: str) -> Opened:
    """A visit with an empty cache. ``wait_for_function`` would evaluate strings, which the page's policy forbids."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    page = context.new_page()
    page.add_init_script(_STOPWATCH)
    page.goto(address)
    seen = whole(page)
    has_rankings = page.locator(".ranking").count() > 0
    next_page_ms = float(page.evaluate(_NEXT)) if has_rankings else None
    context.close()
    return Opened(seen["first"], seen["whole"], next_page_ms)


def whole(page: Page) -> dict[str, float]:
    waited_ms = 0
    while waited_ms < _WAIT_MS:
        seen: dict[str, float] = page.evaluate("window.seen")
        if "whole" in seen:
            return seen
        page.wait_for_timeout(20)
        waited_ms += 20
    raise RuntimeError(f"the page was not drawn within {_WAIT_MS / 1000:.0f} s: {page.inner_text('body')[:500]}")


def measured(visits: dict[str, list[Opened]], large: str, small: str, text: str) -> Iterator[Measured]:
    medians: dict[tuple[str, str], float] = {}
    for name, rounds in visits.items():
        for what, values in {
            "first view": [each.first_ms for each in rounds],
            "whole": [each.whole_ms for each in rounds],
            "next page": [each.next_page_ms for each in rounds if each.next_page_ms is not None],
        }.items():
            if values:
                medians[name, what] = statistics.median(values)
                bar = None if name == text else BAR_MS
                yield Measured(f"{name}, {what}", medians[name, what], "ms", bar, lower_is_better=True)
    for name in visits:
        if name != text:
            yield Measured(f"{name} over {text}, whole", medians[name, "whole"] / medians[text, "whole"], "ratio")
    for what in ("first view", "whole", "next page"):
        yield Measured(f"large over small challenge, {what}", medians[large, what] / medians[small, what], "ratio")


if __name__ == "__main__":
    main()
