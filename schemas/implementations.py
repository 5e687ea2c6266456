"""A setting that names an implementation: one that ships, one that another distribution installs, or any callable."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from inspect import signature
from typing import Any, Final

from dancerank_installation import missing_extra
from schemas.errors import ConfigurationError

_FACTORY: Final = re.compile(r"^[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*$(?!\n)")


@dataclass(frozen=True)
class Implementations:
    """What the setting ``field`` may name: a key of ``shipped``, an entry point of ``group``, or
    ``package.module:factory``.

    ``shipped`` maps names to ``package.module:factory``; nothing is imported before it is chosen. ``noun`` says in
    errors what is chosen (``an index``).
    """

    field: str
    noun: str
    group: str
    shipped: Mapping[str, str]

    def check(self, name: str) -> None:
        """Raises ``ConfigurationError`` naming what is allowed; nothing is imported."""
        if name not in self.shipped and not _FACTORY.match(name) and not self._installed(name):
            allowed = ", ".join(
                [*self.shipped, *sorted(entry_points(group=self.group).names), "package.module:factory"]
            )
            raise ConfigurationError(f"{name!r} is not {self.noun}; expected one of {allowed}", field=self.field)

    def load(self, name: str) -> Callable[..., Any]:
        """The factory ``name``. Raises ``ConfigurationError`` for a name that is unknown, cannot be imported or does
        not lead to a callable.
        """
        self.check(name)
        points = [] if name in self.shipped else self._installed(name)
        path = points[0].value if points else self.shipped.get(name, name)
        module, _, attribute = path.partition(":")
        try:
            factory = getattr(import_module(module), attribute)
        except (Exception, SystemExit) as error:  # a module of others may raise anything when it is imported
            why = missing_extra(error) if isinstance(error, ModuleNotFoundError) else None
            raise self.refused(name, f"which cannot be imported: {why or error}") from error
        if not callable(factory):
            raise self.refused(name, "which is not a factory; it cannot be called")
        made: Callable[..., Any] = factory
        return made

    def make(self, name: str, *arguments: Any, **options: Any) -> Any:
        """What the factory ``name`` makes of the arguments. Raises as ``load`` does, also for a factory that does not
        take them, and what the factory raises.
        """
        factory = self.load(name)
        try:
            signature(factory).bind(*arguments, **options)
        except TypeError as error:
            raise self.refused(name, f"which does not take the arguments of {self.noun}: {error}") from error
        except ValueError:
            pass  # a callable written in C may have no signature to look at
        return factory(*arguments, **options)

    def refused(self, name: str, why: str) -> ConfigurationError:
        """The error for the value ``name`` of the setting."""
        return ConfigurationError(f"{self.field} is {name!r}, {why}", field=self.field)

    def _installed(self, name: str) -> list[EntryPoint]:
        return list(entry_points(group=self.group, name=name))
