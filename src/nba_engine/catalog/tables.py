"""Decision tables: rules of many actions as rows, a column per fact, read from the catalog, a CSV or a YAML file; and rules as rows again.

A row lets its action through where all its cells hold; several rows of an action are alternatives. The rows of an action become one rule text of
its stage, so everything else in this package sees rules only. Cells: see `condition`.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nba_engine import schema
from nba_engine.errors import CatalogError, ParseError, RuleError
from nba_engine.rules.syntax import Call, ListLiteral, Literal, Name, Node, unparse

if TYPE_CHECKING:
    from nba_engine.catalog.definition import Definition, Table
    from nba_engine.catalog.faults import Faults
    from nba_engine.catalog.loading import KeyPath, Source

ACTION = "action"
_OPERATOR = re.compile(r"(<=|>=|==|!=|<|>|in\b)\s*(.+)", re.DOTALL)
_NUMBER = r"-?\d+(?:\.\d+)?"
_RANGE = re.compile(rf"({_NUMBER})\s*\.\.\s*({_NUMBER})")
_QUOTED = re.compile(r"""(?<!\w)[rR]?('(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")""", re.DOTALL)
"""A text in quotes; the apostrophe of a bare `it's` opens none."""
_NUMBERS_MAY_BE = "18, 18 | 21, 18..65, >= 18, not 18, >= 18 and < 65"
_MAY_BE = {
    "int": _NUMBERS_MAY_BE, "uint": _NUMBERS_MAY_BE, "double": _NUMBERS_MAY_BE, "bool": "true, false",
    "string": "gold, gold | silver, not gold, >= 'm'", "list": "gold, gold | silver, not gold",
    "timestamp": "< timestamp('2026-03-01T00:00:00Z'), >= now", "duration": "duration('72h'), > duration('72h')",
}  # fmt: skip
_SIGNS = {"_<_": "<", "_<=_": "<=", "_>_": ">", "_>=_": ">=", "_==_": "==", "_!=_": "!=", "@in": "in"}


@dataclass(frozen=True, slots=True)
class RowRule:
    """One row: its place, its action, and for each cell that says something its place and condition."""

    path: KeyPath
    action: str
    cells: tuple[tuple[KeyPath, str], ...]

    @property
    def text(self) -> str:
        return _both([text for _, text in self.cells]) or "true"


def with_files_read(source: Source, faults: Faults) -> None:
    """Puts the rows of tables that name a `file` (.csv or .yaml, beside the catalog) into `source`; adds a fault where one cannot be read.

    Where rows stand beside the name, they were read from it before (`Catalog.to_dict`) and are not read again."""
    tables = source.value.get("tables") if isinstance(source.value, Mapping) else None
    if not isinstance(tables, list | tuple) or not any(isinstance(t, Mapping) and "file" in t for t in tables):
        return
    found = []
    for i, table in enumerate(tables):
        if isinstance(table, Mapping) and "file" in table:
            source.files["tables", i, "rows"] = str(table["file"])
            if "rows" not in table:
                table = {**table, "rows": _rows_of(table["file"], ("tables", i), source, faults)}
        found.append(table)
    source.value = {**source.value, "tables": found}


def files_of(definition: Definition) -> dict[KeyPath, str]:
    """Path of the rows of each table that was read from a file, and the file's name."""
    return {("tables", i, "rows"): table.file for i, table in enumerate(definition.tables) if table.file is not None}


def _rows_of(file: Any, path: KeyPath, source: Source, faults: Faults) -> Any:
    from nba_engine.catalog.loading import read

    if not isinstance(file, str) or not file.endswith((".csv", ".yaml", ".yml")):
        faults.add((*path, "file"), f"came {file!r}, needed the name of a .csv or .yaml file beside the catalog")
        return []
    try:
        place = Path(source.name).parent / file
        if not file.endswith(".csv"):
            found = read(place)
            faults.found += [replace(fault, place=file + fault.place) for fault in found.faults]
            return found.value
        with place.open(encoding="utf-8-sig", newline="") as lines:
            return _rows_of_csv(csv.reader(lines, skipinitialspace=True, strict=True), (*path, "rows"), faults)
    except (OSError, UnicodeDecodeError, csv.Error, CatalogError) as error:
        faults.add((*path, "file"), f"the file {file!r} cannot be read ({error}): check its name and what is in it")
        return []


def _rows_of_csv(lines: Iterable[list[str]], path: KeyPath, faults: Faults) -> list[dict[str, str]]:
    """A mapping per row under the names of the head; nothing where the head cannot be meant, so that no condition is lost."""
    head, *rows = [[cell.strip() for cell in line] for line in lines] or [[]]
    twice = next((name for name in head if head.count(name) > 1 and name), None)
    problem = None
    if len(head) == 1 and re.search(r"[;\t]", head[0]):
        problem = f"came {head[0]!r} as one column: separate the columns with commas, here and in every row"
    elif "" in head:
        problem = f"column {head.index('') + 1} has no name: name the fact that it is about, or remove the column and its comma"
    elif twice is not None:
        problem = f"the column {twice!r} stands there twice: keep one, several conditions go in one cell (>= 18 and < 65)"
    elif ACTION not in head:
        problem = f"came the columns {', '.join(head) or 'none'}, needed one called {ACTION!r} that names the action of each row"
    if problem is not None:
        faults.add(path, f"the head (row 1): {problem}")
        return []
    for j, row in enumerate(rows):
        if any(row[len(head) :]):
            faults.add((*path, j), f"came {len(row)} cells for the {len(head)} columns of the head: write numbers with a point (10.5), put a cell "
                                   "that holds a comma in quotes, or remove what is too much")
    return [dict(zip(head, row, strict=False)) for row in rows]


def row_rules(table: Table, path: KeyPath, types: Mapping[str, schema.Type]) -> Iterator[RowRule]:
    """Every row of a table that is not empty. A column that is no expression over the facts is passed on as it stands, a cell that is no
    condition as an empty text, so that they are refused with their place."""
    kinds = {header: _type_of(header, types) for header in dict.fromkeys(header for row in table.rows for header in row) if header != ACTION}

    def text_of(header: str, cell: str) -> str:
        try:
            return condition(header, kinds[header], cell)
        except ParseError:
            return ""

    for j, row in enumerate(table.rows):
        if not any(row.values()):
            continue
        cells = [((*path, "rows", j, header), text_of(header, cell))
                 for header, cell in row.items() if header != ACTION and cell not in ("", "-")]
        yield RowRule((*path, "rows", j), row.get(ACTION, ""), tuple(cells))


def cell_problem(definition: Definition, path: KeyPath, types: Mapping[str, schema.Type], problem: str) -> str:
    """The problem of the rule that the cell at `path` stands for, with what a cell of its column may be."""
    *_, j, header = path
    type_ = _type_of(str(header), types)
    if type_ is None or type_.kind not in _MAY_BE:
        return problem
    cell = definition.tables[int(path[1])].rows[int(j)][str(header)]
    return f"{problem or f'came {cell!r}'}; a cell of this column may be {_MAY_BE[type_.kind]}"


def _type_of(header: str, types: Mapping[str, schema.Type]) -> schema.Type | None:
    from nba_engine.rules import check, parse

    try:
        return check(parse(header), types, header).type
    except RuleError:
        return None


def condition(header: str, type_: schema.Type | None, cell: str) -> str:
    """The rule that a cell stands for.

    `>= 18`, `!= 'gold'`, `in ['a', 'b']`: the column, then the cell. `18..65`: both inclusive. `gold`: equal to it, or, for a list, holds it;
    `gold | silver`: one of them; `not gold`: the opposite. `true`, `false` for conditions. `>= 18 and < 65`: both. Quotes protect ` and ` and
    `|`. ParseError for a bare cell of a number column that is no number, and for a choice that is missing.
    """
    if type_ is None:
        return header
    parts = _split_outside_quotes(cell, " and ")
    if len(parts) > 1:
        return _both([condition(header, type_, part) for part in parts])
    cell, own = parts[0], header if re.fullmatch(r"[\w.]+", header) else f"({header})"
    if match := _OPERATOR.fullmatch(cell):
        return f"{own} {match[1]} {match[2]}"
    if match := _RANGE.fullmatch(cell):
        return f"{own} >= {match[1]} && {own} <= {match[2]}"
    if cell.startswith("not "):
        return f"!({condition(header, type_, cell[4:].strip())})"
    if type_ == schema.BOOL and cell.lower() in ("true", "false"):
        return own if cell.lower() == "true" else f"!{own}"
    inner = type_.parameters[0] if type_.kind == "list" else type_
    written = _split_outside_quotes(cell, "|")
    choices = [_spelt(choice, inner) for choice in written]
    if "" in written or (inner in schema.NUMBERS and not all(map(_is_literal, choices))):
        raise ParseError("no condition", cell)
    if type_.kind == "list":
        held = [f"{choice} in {own}" for choice in choices]
        return held[0] if len(held) == 1 else " || ".join(held)
    return f"{own} == {choices[0]}" if len(choices) == 1 else f"{own} in [{', '.join(choices)}]"


def _split_outside_quotes(cell: str, mark: str) -> list[str]:
    parts, start = [], 0
    for piece in _QUOTED.sub(lambda quoted: "'" * len(quoted[0]), cell).split(mark):
        parts.append(cell[start : start + len(piece)].strip())
        start += len(piece) + len(mark)
    return parts


def _is_literal(text: str) -> bool:
    from nba_engine.rules import parse

    try:
        return re.fullmatch(_NUMBER, text) is not None or isinstance(parse(text), Literal)
    except RuleError:
        return False


def _both(texts: list[str]) -> str:
    return " && ".join(f"({text})" if "||" in text or "?" in text else text for text in texts)


def _spelt(choice: str, type_: schema.Type) -> str:
    return unparse(Literal(choice, schema.STRING)) if type_ == schema.STRING and choice[:1] not in ("'", '"') else choice


def rows_of_actions(definition: Definition, types: Mapping[str, schema.Type]) -> dict[tuple[str, str], list[list[RowRule]]]:
    """(action, stage) -> for each table that speaks of it there, its rows."""
    found: dict[tuple[str, str], list[list[RowRule]]] = {}
    for i, table in enumerate(definition.tables):
        by_action: dict[str, list[RowRule]] = {}
        for row in row_rules(table, ("tables", i), types):
            by_action.setdefault(row.action, []).append(row)
        for action, rows in by_action.items():
            found.setdefault((action, table.stage), []).append(rows)
    return found


def expanded(definition: Definition, types: Mapping[str, schema.Type]) -> Definition:
    """The definition with the rules of its tables standing at their actions, behind the rules written there, and without the tables."""
    added: dict[str, dict[str, tuple[str, ...]]] = {}
    for (action, stage), tables in rows_of_actions(definition, types).items():
        added.setdefault(action, {})[stage] = tuple(
            rows[0].text if len(rows) == 1 else " || ".join(f"({row.text})" for row in rows) for rows in tables)
    actions = tuple(
        action.model_copy(update={stage: getattr(action, stage) + texts for stage, texts in added.get(action.id, {}).items()})
        for action in definition.actions
    )
    return definition.model_copy(update={"actions": actions, "tables": ()})


def as_rows(action: str, rule: Node) -> list[dict[str, str]]:
    """A rule as rows of a table, the way back: its alternatives, with a column per fact; what is no comparison gets a column of its own."""
    rows = []
    for alternative in _split(rule, "_||_"):
        row = {ACTION: action}
        for part in _split(alternative, "_&&_"):
            header, cell = _as_cell(part)
            row[header] = f"{row[header]} and {cell}" if header in row else cell
        rows.append(row)
    return rows


def _split(node: Node, function: str) -> list[Node]:
    if isinstance(node, Call) and node.function == function:
        return [part for side in node.arguments for part in _split(side, function)]
    return [node]


def _as_cell(part: Node) -> tuple[str, str]:
    if isinstance(part, Call) and part.function == "!_" and isinstance(part.arguments[0], Name):
        return _header(part.arguments[0]), "false"
    if isinstance(part, Call) and part.function in _SIGNS and isinstance(part.arguments[0], Name):
        name, other = part.arguments
        cell = f"{_SIGNS[part.function]} {unparse(other)}"
        if isinstance(other, Literal | ListLiteral):
            return _header(name), cell
    return _header(part), "true"


def _header(node: Node) -> str:
    """The column of an expression; in brackets where a fact is called as the column of the actions is."""
    text = unparse(node)
    return f"({text})" if text == ACTION else text
