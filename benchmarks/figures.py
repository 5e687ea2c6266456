"""The figures of a benchmark, written where later runs and people find them: ``out/NAME.json``."""

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

OUT: Final = Path("out")


class Measured(NamedTuple):
    """One figure. ``bar`` is what it should reach, in ``unit``; ``None`` where nothing was asked for."""

    name: str
    value: float
    unit: str
    bar: float | None = None
    lower_is_better: bool = False

    @property
    def met(self) -> bool | None:
        """Whether the bar is reached; ``None`` without a bar."""
        if self.bar is None:
            return None
        return self.value <= self.bar if self.lower_is_better else self.value >= self.bar


def options_of(arguments: argparse.Namespace) -> dict[str, int | list[Any] | str]:
    """The options of a run, as details of its figures."""
    return {name: value if isinstance(value, int | list) else str(value) for name, value in vars(arguments).items()}


def write_figures(name: str, figures: Sequence[Measured], **details: Any) -> Path:
    """Write ``out/NAME.json``: ``figures``, a list of ``{name, value, unit, bar, met}``, and the ``details``."""
    content: Mapping[str, Any] = {
        "figures": [
            {"name": each.name, "value": each.value, "unit": each.unit, "bar": each.bar, "met": each.met}
            for each in figures
        ],
        **details,
    }
    path = OUT / f"{name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=2) + "\n")
    return path
