"""The columns of an encoded row: the catalog's facts, structs flattened, and the built-in ones, grouped by kind.

Columns of one kind stand together, so that a row is written by one `struct` call (see encoding.py).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from nba_engine.schema import BUILT_IN_FACTS, Fact, Type

KINDS = ("int", "double", "bool", "string", "timestamp", "duration", "other", "list")
"""The order of the groups. `other` (uint, bytes, dyn, map) has a state but no number: rules read such facts as they came."""

VALUE, NULL, MISSING = 0, 1, 2
"""States of one encoded fact."""


@dataclass(frozen=True, slots=True)
class Column:
    """One column: its name (`address.city` for a field of a struct), its CEL type, and the fact it comes from."""

    name: str
    type: Type
    fact: Fact

    @property
    def kind(self) -> str:
        return self.type.kind if self.type.kind in KINDS else "other"

    @property
    def has_vocabulary(self) -> bool:
        """Whether its texts are coded: strings and lists of strings."""
        return self.type.kind == "string" or (self.type.kind == "list" and self.type.parameters[0].kind == "string")


def columns_of(facts: Iterable[Fact]) -> tuple[Column, ...]:
    """The columns of `facts` and of the built-in facts, in the order of KINDS and, inside a kind, of declaration."""
    found = [column for fact in (*facts, *BUILT_IN_FACTS) for column in _flatten(fact.name, fact.type, fact)]
    return tuple(sorted(found, key=lambda column: KINDS.index(column.kind)))


def index_of(columns: Sequence[Column]) -> dict[str, int]:
    """Column name -> position."""
    return {column.name: i for i, column in enumerate(columns)}


def _flatten(name: str, type_: Type, fact: Fact) -> Iterable[Column]:
    if type_.kind != "struct":
        yield Column(name, type_, fact)
        return
    for field, field_type in type_.fields:
        yield from _flatten(f"{name}.{field}", field_type, fact)
