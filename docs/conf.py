"""The documentation site: ``make docs``. Pages are Markdown; those of the Python API come from the docstrings."""

import logging
import re
import sys
from pathlib import Path
from typing import Final

from sphinx.application import Sphinx

REPOSITORY: Final = Path(__file__).parent.parent
sys.path.insert(0, str(REPOSITORY))

from dancerank import __version__  # noqa: E402

logging.getLogger("alembic").setLevel(logging.WARNING)  # importing it logs its plug-ins

project = "dancerank"
version = release = __version__
extensions = ["myst_parser", "sphinx.ext.autodoc"]
exclude_patterns = ["_build"]

html_theme = "furo"
html_title = "dancerank"
html_copy_source = False

myst_heading_anchors = 3
autodoc_member_order = "bysource"
autodoc_preserve_defaults = True

FROM_THE_ROOT: Final = {
    "README.md": "index",
    "CONTRIBUTING.md": "contributing",
    "CHANGELOG.md": "changelog",
    "SECURITY.md": "security-policy",
}
"""Files of the repository's root, where GitHub looks for them, and the page that shows each."""
_LINK: Final = re.compile(r"(?<=\]\()(?!https?:|#)[^)\s]+(?=\))")


def _include_files_of_the_root(_app: Sphinx, page: str, source: list[str]) -> None:
    """Put the file before the page's own text, and let links to such files lead to their pages."""
    text = source[0]
    for name, shown_by in FROM_THE_ROOT.items():
        if shown_by == page:
            text = _LINK.sub(_as_seen_from_docs, (REPOSITORY / name).read_text(encoding="utf-8")) + text
    for name, shown_by in FROM_THE_ROOT.items():
        text = re.sub(rf"\]\((\.\./)+{re.escape(name)}\)", f"](/{shown_by}.md)", text)
    source[0] = text


def _as_seen_from_docs(link: re.Match[str]) -> str:
    """A relative link of a file in the root, as a page of ``docs`` writes it."""
    return link[0].removeprefix("docs/") if link[0].startswith("docs/") else f"../{link[0]}"


def setup(app: Sphinx) -> None:
    app.connect("source-read", _include_files_of_the_root)
