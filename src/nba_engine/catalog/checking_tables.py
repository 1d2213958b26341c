"""What in decision tables is probably not meant: rows that never hold, rows that another row covers, and gaps of tables that are to be complete."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import groupby
from typing import TYPE_CHECKING

from nba_engine import schema
from nba_engine.catalog.contradictions import implies, never_false, never_true
from nba_engine.catalog.tables import RowRule, row_rules
from nba_engine.rules import parse
from nba_engine.rules.changing import is_changeable, smallest_change
from nba_engine.rules.deciding import shown

if TYPE_CHECKING:
    from nba_engine.catalog.catalog import Catalog

Found = Iterator[tuple[str, str]]
"""Place and message of each finding."""


def table_findings(catalog: Catalog) -> Found:
    """Cost: O(rows of one action squared), and the search of `smallest_change` for each table that is to be complete."""
    for i, table in enumerate(catalog.written.tables):
        rows = list(row_rules(table, ("tables", i), catalog.types))
        for _, of_action in groupby(sorted(rows, key=lambda row: row.action), key=lambda row: row.action):
            yield from _unneeded(list(of_action), catalog)
        if table.complete:
            yield from _gaps(table.name, rows, catalog.place(("tables", i)), catalog)


def _unneeded(rows: list[RowRule], catalog: Catalog) -> Found:
    types = catalog.types
    for row in rows:
        place = catalog.place(row.path)
        if never_true(types, parse(row.text)):
            yield place, f"this row never holds: {row.text} contradicts itself"
            continue
        if never_false(types, parse(row.text)):
            yield place, "this row lets everybody through whose facts are known: fill a cell, or remove the rows of this action"
        cover = next((other for other in rows if other is not row and _covers(other, row, types)
                      and not (row.path < other.path and _covers(row, other, types))), None)
        if cover is not None:
            yield place, f"whom this row lets through {catalog.place(cover.path)} lets through already: remove it, or change one of them"


def _covers(wide: RowRule, narrow: RowRule, types: Mapping[str, schema.Type]) -> bool:
    return implies(types, [parse(narrow.text)], parse(wide.text))


def _gaps(name: str, rows: list[RowRule], place: str, catalog: Catalog) -> Found:
    """A customer for whom no row holds; found where up to three facts say so."""
    facts = {fact.name: fact.type for fact in catalog.facts if is_changeable(fact.type)}
    witness = smallest_change([parse(f"!({row.text})") for row in rows], {}, facts)
    if witness is not None:
        told = " and ".join(f"{fact} = {shown(value)}" for fact, value in witness.items())
        yield place, f"{name!r} is to be complete, yet no row holds for {told or 'anybody'}: add a row"
