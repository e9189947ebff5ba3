"""Names to things: neurons, surrogates, models, encodings.

What spikeva brings is known by name without importing it (`builtin` says which module registers which names), so that a
config is checked without torch. What a user registers is added to the same table.
"""

from collections.abc import Callable, Collection, Iterable, Mapping
from difflib import get_close_matches
from fnmatch import fnmatchcase
from importlib import import_module
from typing import Generic, TypeVar

from spikeva._source import source_digest

T = TypeVar("T")


def did_you_mean(name: object, allowed: Iterable[str]) -> str:
    """`'; did you mean 'x'?'` for the closest of `allowed`, or an empty string."""
    close = get_close_matches(str(name), allowed, n=1, cutoff=0.5)
    return f"; did you mean {close[0]!r}?" if close else ""


def unknown(kind: str, name: object, allowed: Collection[str]) -> str:
    """The message for a `name` that is none of the `allowed`, with the closest match."""
    return f"unknown {kind} {name!r}{did_you_mean(name, allowed)} (there are: {', '.join(allowed)})"


class Registry(Generic[T]):
    """Named things of one `kind`; `builtin` maps a name to the module whose import registers it."""

    def __init__(self, kind: str, builtin: Mapping[str, str]) -> None:
        self.kind = kind
        self._builtin = dict(builtin)
        self._entries: dict[str, T] = {}
        self._codes: dict[str, str | None] = {}

    def register(self, name: str) -> Callable[[T], T]:
        """Decorator that registers under `name`. Raises ValueError where the name is taken by another thing.

        What is defined anew (a cell of a notebook that runs again, a module that is reloaded) takes its own place.
        """

        def add(entry: T) -> T:
            module = getattr(entry, "__module__", None)
            taken = name in self._entries and _place(self._entries[name]) != _place(entry)
            if taken or self._builtin.get(name, module) != module:
                raise ValueError(f"{self.kind} {name!r} is registered already; choose another name")
            self._entries[name] = entry
            if name not in self._builtin:
                self._codes[name] = source_digest(entry)
            return entry

        return add

    def get(self, name: str) -> T:
        """The entry called `name`. Raises ValueError that lists what exists and the closest match."""
        if name not in self._entries and name in self._builtin:
            import_module(self._builtin[name])
        if name not in self._entries:
            raise ValueError(self.unknown(name))
        return self._entries[name]

    def unknown(self, name: str) -> str:
        """The message for a name that is not there."""
        return unknown(self.kind, name, self.names())

    def names(self, pattern: str = "*") -> list[str]:
        """Sorted names that match a shell wildcard."""
        return sorted(n for n in {*self._builtin, *self._entries} if fnmatchcase(n, pattern))

    def module_of(self, name: str) -> str | None:
        """The module that brings the built-in `name`, None for a registered one. Raises ValueError for an unknown name."""
        if name not in self:
            raise ValueError(self.unknown(name))
        return self._builtin.get(name)

    def code_of(self, name: str) -> str | None:
        """The `source_digest` of a registered thing when it was registered."""
        return self._codes[name]

    def __contains__(self, name: str) -> bool:
        return name in self._entries or name in self._builtin


def _place(entry: object) -> tuple[object, object]:
    """Where an entry is defined."""
    return getattr(entry, "__module__", None), getattr(entry, "__qualname__", entry)
