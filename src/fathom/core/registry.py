"""Registry: names to entries, filled once at import; the one way in which a room varies."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

from fathom.core.errors import PlanError, nearest

T = TypeVar("T")


class Registry(Generic[T]):
    """Entries by name. `what` says in errors what the entries are ('network', 'optimizer')."""

    def __init__(self, what: str) -> None:
        self.what = what
        self._entries: dict[str, T] = {}

    def register(self, name: str) -> Callable[[T], T]:
        """Decorator that adds an entry; a name can be given only once."""

        def add(entry: T) -> T:
            if name in self._entries:
                raise ValueError(f"{self.what} {name!r} is registered twice")
            self._entries[name] = entry
            return entry

        return add

    def __getitem__(self, name: str) -> T:
        if name not in self._entries:
            known = ", ".join(self._entries)
            raise PlanError(
                f"There is no {self.what} {name!r}; known: {known}.{nearest(name, self._entries)}"
            )
        return self._entries[name]

    def __contains__(self, name: object) -> bool:
        return name in self._entries

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def items(self) -> Iterator[tuple[str, T]]:
        """Names and entries, in the order of registration."""
        return iter(self._entries.items())
