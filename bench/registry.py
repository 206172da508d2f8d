"""Registries of what a person may add beside estimators: problems, data sets and measurements.

Each is one file with a decorated class or function, which registers when the file is imported: because it lies in our
package, because an installed package names it under the registry's entry-point group, or because a suite names it as
`module:Name`.
"""

import importlib
import pkgutil
from collections.abc import Callable, Sequence
from typing import Any, Generic, TypeVar

from estimators.errors import BadInput, unknown
from estimators.plugins import load_entry_points, module_of

T = TypeVar("T")


class Registry(Generic[T]):
    """What is known of one kind, by name.

    Args:
        what: one of them in a message, such as "data set".
        package: ours, every module of which is imported.
        order: modules of the package whose entries are listed first.
        group: the entry-point group of others.
        known_from: where a person finds the names.
        error: what is raised where there is none of a name.
    """

    def __init__(
        self,
        what: str,
        package: str,
        order: Sequence[str],
        group: str,
        known_from: str,
        error: type[BadInput] = BadInput,
    ) -> None:
        self.what, self.package, self.group, self.known_from, self.error = what, package, group, known_from, error
        self.order = [f"{package}.{module}" for module in order]
        self.entries: dict[str, T] = {}
        self._defined: dict[str, tuple[str, str]] = {}
        self._loaded = False

    def add(self, name: str, entry: T, defined: Callable[..., Any]) -> None:
        """Register an entry, which a class or function defines.

        Raises:
            BadInput: the name is taken by another.
        """
        place = (defined.__module__, defined.__qualname__)
        taken = self._defined.setdefault(name, place)
        if taken != place:
            raise BadInput(f"{self.what} {name!r} is already registered by {taken[0]}; choose another name")
        self.entries[name] = entry

    def load(self) -> None:
        """Import every module of our package, and then those that installed packages name."""
        if self._loaded:
            return
        self._loaded = True
        for module in pkgutil.iter_modules(importlib.import_module(self.package).__path__):
            importlib.import_module(f"{self.package}.{module.name}")
        load_entry_points(self.group)

    def all(self) -> dict[str, T]:
        """Every entry by name, in the order of listings."""
        self.load()
        places = {module: place for place, module in enumerate(self.order)}
        names = sorted(self.entries, key=lambda name: places.get(self._defined[name][0], len(places)))
        return {name: self.entries[name] for name in names}

    def get(self, name: str) -> T:
        """The entry called `name`, or that which is defined at `module:Name`, which is imported.

        Raises:
            BadInput: there is none; one line with the nearest names.
        """
        return self.entries[self.name_of(name)]

    def name_of(self, name: str) -> str:
        """The registered name of what a person wrote as its name or as `module:Name`.

        Raises:
            BadInput: see `get`.
        """
        self.load()
        if ":" not in name:
            if name not in self.entries:
                raise self.error(unknown(self.what, name, list(self.all()), f"{self.known_from}, or module:Name"))
            return name
        try:
            module, wanted = module_of(name)
        except BadInput as error:
            raise self.error(str(error)) from error.__cause__
        names = {place[1]: known for known, place in self._defined.items() if place[0] == module.__name__}
        if wanted not in names:
            raise self.error(unknown(f"{self.what} in {module.__name__!r}:", wanted, list(names), "those registered"))
        return names[wanted]
