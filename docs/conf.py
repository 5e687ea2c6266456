"""The documentation site: ``make docs``. Every page is Markdown; the pages of the API come from the docstrings."""

from dancerank_installation import installed_version

project = "dancerank"
version = release = installed_version()
extensions = ["myst_parser", "sphinx.ext.autodoc"]
exclude_patterns = ["_build"]

html_theme = "furo"
html_title = "dancerank"
html_show_sphinx = False
html_copy_source = False

myst_heading_anchors = 3
nitpicky = False  # types of other people's packages are no pages of this site
autodoc_typehints = "signature"
autodoc_member_order = "bysource"
autodoc_preserve_defaults = True
