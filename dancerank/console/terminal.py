"""The terminal, for all commands: what a text from outside holds is shown and never acted on."""

from collections.abc import Iterable
from typing import Any

import rich.console
import typer
from rich.console import ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.text import Text

from schemas.escaping import escaped

_KEPT = "\n\t"


class Console(rich.console.Console):
    """Escapes control, bidirectional and other invisible characters in every text, cells of tables included. Line ends
    stay: a value from outside that must not break a line is passed through ``escaped`` where it is put in.
    """

    def render_str(self, text: str, **options: Any) -> Text:
        return super().render_str(escaped(text, keep=_KEPT), **options)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        if isinstance(renderable, Text) and (shown := escaped(renderable.plain, keep=_KEPT)) != renderable.plain:
            renderable = Text(
                shown,
                style=renderable.style,
                justify=renderable.justify,
                overflow=renderable.overflow,
                no_wrap=renderable.no_wrap,
                end=renderable.end,
            )
        return super().render(renderable, options)


def confirm(question: str) -> None:
    """Ask on the terminal; ends the command unless the answer is yes. What the question quotes is escaped."""
    typer.confirm(escaped(question), abort=True)
