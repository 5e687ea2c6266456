"""Pictures of the page for the README and for people who look at every page.

    python -m benchmarks.screenshots URL ADDRESS... [--themes light dark] [--sizes 1280x900 360x740]
    python -m benchmarks.screenshots --readme URL

``URL`` is that of a running server, as ``dancerank demo --serve`` prints it; an ``ADDRESS`` is what follows it, such as
``#/challenges``. Each is taken in each theme and size, as far down as the page goes. ``--readme`` takes two pictures
for the README into docs/pictures, of a window, with so few colours that they stay below 150 KB.
"""

import argparse
import re
from pathlib import Path
from typing import Final

from PIL import Image
from playwright.sync_api import Browser, sync_playwright

from tests.page.visits import Visit
from tests.servers.chromium import chromium

PICTURES: Final = Path("docs/pictures")
MOST_BYTES: Final = 150_000
_SETTLED_MS: Final = 700


def main() -> None:
    arguments = parse_arguments()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=["--no-sandbox", "--disable-gpu"])
        if arguments.readme:
            take_for_readme(browser, arguments.url)
        else:
            for theme in arguments.themes:
                for size in arguments.sizes:
                    take(browser, arguments, theme, size)
        browser.close()


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("url", help="of the server, without a slash at the end")
    parser.add_argument("addresses", nargs="*", default=["#/challenges"])
    parser.add_argument("--folder", type=Path, default=Path("out/screenshots"))
    parser.add_argument("--themes", nargs="+", choices=["light", "dark"], default=["light", "dark"])
    parser.add_argument("--sizes", nargs="+", type=size_of, default=[(1280, 900), (360, 740)])
    parser.add_argument("--readme", action="store_true", help="take the pictures of the README")
    return parser.parse_args()


def size_of(text: str) -> tuple[int, int]:
    width, height = map(int, text.split("x"))
    return width, height


def take(browser: Browser, arguments: argparse.Namespace, theme: str, size: tuple[int, int]) -> None:
    arguments.folder.mkdir(parents=True, exist_ok=True)
    visit = Visit(browser, arguments.url, theme=theme, size=size)  # type: ignore[arg-type]
    for address in arguments.addresses:
        shown(visit, address)
        name = re.sub(r"\W+", "-", address).strip("-") or "start"
        visit.page.screenshot(path=arguments.folder / f"{name}-{theme}-{size[0]}.png", full_page=True)
    print(*visit.problems, sep="\n")
    visit.close()


def shown(visit: Visit, address: str) -> None:
    visit.open(address)
    visit.page.get_by_role("heading", level=1).wait_for()
    visit.page.wait_for_timeout(_SETTLED_MS)
    visit.settled()


def take_for_readme(browser: Browser, url: str) -> None:
    """A challenge, and what would raise the score of its first clip by movement."""
    PICTURES.mkdir(parents=True, exist_ok=True)
    visit = Visit(browser, url, theme="light", size=(1360, 900))
    shown(visit, "#/challenges")
    challenge = visit.page.locator("tbody th a").first.inner_text()
    shown(visit, f"#/challenges/{challenge}")
    write(visit, PICTURES / "page-challenge.png")
    clip = visit.page.get_by_role("list", name="Ranking by skeletal").get_by_role("link").first.inner_text()
    visit.close()
    visit = Visit(browser, url, theme="dark", size=(1360, 900))
    shown(visit, f"#/clips/{clip}")
    movement = visit.page.get_by_role("region", name="Movement")
    movement.get_by_role("button").filter(has_text=" s").first.click()
    movement.evaluate("each => scrollTo(0, each.offsetTop - 12)")
    visit.page.wait_for_timeout(_SETTLED_MS)
    write(visit, PICTURES / "page-clip.png")
    visit.close()


def write(visit: Visit, path: Path) -> None:
    """What the window shows, in as many colours as fit."""
    visit.page.screenshot(path=path)
    picture = Image.open(path).convert("RGB")
    for colours in (256, 128, 64, 32):
        picture.quantize(colours, dither=Image.Dither.NONE).save(path, optimize=True)
        if path.stat().st_size <= MOST_BYTES:
            break
    print(f"{path}: {path.stat().st_size / 1000:.0f} KB")


if __name__ == "__main__":
    main()
