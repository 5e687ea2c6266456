"""The Markdown that the generated pages of ``docs/`` are made of."""

from collections.abc import Iterable, Sequence


def page(title: str, introduction: str, module: str, sections: Iterable[str]) -> str:
    """A whole page; ``module`` is the one that prints it, and ``docs/<title>.md`` where it is kept."""
    command = f"python -m {module} > docs/{title.lower()}.md"
    return f"# {title}\n\n{introduction}\n\nThis page is generated: `{command}`.\n{''.join(sections)}"


def section(title: str, text: str, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A heading, a paragraph and a table."""
    return f"\n## {title}\n\n{text}\n\n{_row(columns)}{'|---' * len(columns)}|\n{''.join(map(_row, rows))}"


def _row(cells: Iterable[str]) -> str:
    escaped = (" ".join(cell.split()).replace("|", "\\|") for cell in cells)
    return f"| {' | '.join(escaped)} |\n"
