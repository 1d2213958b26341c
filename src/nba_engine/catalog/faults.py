"""The faults of one catalog as they are found, each said once and in the order of the file."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from typing import Any

from nba_engine.catalog.loading import KeyPath, Source
from nba_engine.errors import CatalogError, Fault

SHOWN_CHARACTERS_MAX = 60
NAMES_LISTED_MAX = 16


def nearest(name: object, known: Iterable[str]) -> str | None:
    """The known name that `name` most likely meant, or None."""
    near = get_close_matches(str(name), list(known), 1)
    return near[0] if near else None


def suggestion(name: object, known: Iterable[str]) -> str:
    """`; did you mean 'x'?` where some known name is near, else the known names, else that there are none."""
    names = list(known)
    near = nearest(name, names)
    if near is not None:
        return f"; did you mean {near!r}?"
    listed = ", ".join(names[:NAMES_LISTED_MAX]) + (" ..." if len(names) > NAMES_LISTED_MAX else "")
    return f"; known are {listed}" if names else "; none is declared"


def shown(value: Any) -> str:
    """A value as a fault names it: short, and in the words of the file."""
    if isinstance(value, bool):
        return str(value).lower()
    if value is None:
        return "nothing"
    if isinstance(value, Mapping):
        return "a mapping"
    if isinstance(value, list | tuple):
        return "a list"
    text = repr(value) if isinstance(value, str | int | float) else f"{type(value).__name__} {value}"
    return text if len(text) <= SHOWN_CHARACTERS_MAX else text[: SHOWN_CHARACTERS_MAX - 3] + "..."


class Faults:
    """Collects what is wrong with the catalog read from `source`.

    So that one mistake is told once, a place that was found faulty and mended to look further (`mended`) stays silent from then on,
    with everything below it; a misspelt key is followed under the name it was meant to have, and told under the name it has.
    """

    def __init__(self, source: Source) -> None:
        self.source = source
        self.found: list[Fault] = list(source.faults)
        self.mended: set[KeyPath] = set()
        self.written_as: dict[KeyPath, KeyPath] = {}

    def is_mended(self, path: KeyPath) -> bool:
        return any(path[:n] in self.mended for n in range(1, len(path) + 1)) if self.mended else False

    def add(self, path: KeyPath, message: str, *, excerpt: str = "", at: KeyPath | None = None, at_key: bool = False) -> None:
        """A fault of `path`, told at the place `at` where that is another one."""
        if not self.is_mended(path):
            self.found.append(self.source.fault(self._written(path if at is None else at), message, excerpt, at_key))

    def unknown(self, path: KeyPath, kind: str, name: str, known: Iterable[str], declared_in: str) -> None:
        """`name` is none of the `known` ones; silent where the section that declares them is faulty itself."""
        if (declared_in,) not in self.mended:
            self.add(path, f"came the {kind} {shown(name)}, needed one that {declared_in} declares{suggestion(name, known)}")

    def raise_if_any(self) -> None:
        if self.found:
            in_order = sorted(self.found, key=lambda fault: (fault.line or 0, fault.column or 0))
            raise CatalogError(list(dict.fromkeys(in_order)), self.source.name)

    def _written(self, path: KeyPath) -> KeyPath:
        for n in range(len(path), 0, -1):
            if path[:n] in self.written_as:
                return self._written(path[: n - 1]) + self.written_as[path[:n]][-1:] + path[n:]
        return path
