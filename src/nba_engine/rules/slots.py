"""Expressions over facts as one de-duplicated program over numbered slots.

Slot `i < n_columns` is the encoded fact of column `i`; behind them stand constants, results of the host, and results of instructions, each
computed once however many rules use it. What the kernel cannot compute (texts other than equality, macros, maps, time zones ...) becomes a
host slot: the plain evaluator answers it once per decision and distinct text.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any

import numpy as np
import numpy.typing as npt

from nba_engine.rules import plain
from nba_engine.rules.program import OPERATIONS
from nba_engine.rules.syntax import Call, Has, ListLiteral, Literal, Name, Node, dotted_name, walk
from nba_engine.rules.values import UNKNOWN, Duration, ErrorValue, Timestamp, UInt
from nba_engine.schema import BOOL, INT, STRING, Type

NUMERIC_KINDS = ("int", "double", "timestamp", "duration")
_ARITHMETIC = {
    ("_+_", "int"): "add_int", ("_-_", "int"): "subtract_int", ("_*_", "int"): "multiply_int", ("_/_", "int"): "divide_int",
    ("_%_", "int"): "modulo_int", ("_+_", "double"): "add_double", ("_-_", "double"): "subtract_double",
    ("_*_", "double"): "multiply_double", ("_/_", "double"): "divide_double",
    ("_+_", "timestamp"): "add_time", ("_-_", "timestamp"): "subtract_time",
    ("_+_", "duration"): "add_duration", ("_-_", "duration"): "subtract_duration", ("_-_", "moments"): "subtract_duration",
}
_COMPARISONS = {"_<_": "<", "_<=_": "<=", "_==_": "==", "_>=_": ">=", "_>_": ">"}


@dataclass(frozen=True, slots=True)
class Host:
    """An expression that the plain evaluator answers, and the facts that it reads (their first names)."""

    slot: int
    node: Node
    type: Type
    names: tuple[str, ...]


class Slots:
    """Gives slots to expressions. `columns`: name -> (position, type); `code_of(column, text)` gives a text its code."""

    def __init__(self, columns: Mapping[str, tuple[int, Type]], n_columns: int, code_of: Callable[[str, str], int]) -> None:
        self._columns = columns
        self._code_of = code_of
        self.n_columns = n_columns
        self.types: list[Type | None] = [None] * n_columns
        for position, type_ in columns.values():
            self.types[position] = type_
        lists = sorted(position for position, type_ in columns.values() if type_.kind == "list")
        self._list_at = {position: number for number, position in enumerate(lists)}
        self.constants: dict[int, int] = {}
        self.hosts: list[Host] = []
        self.instructions: list[tuple[int, int, int, int, int]] = []
        self._known: dict[Any, int] = {}

    @property
    def n_slots(self) -> int:
        return len(self.types)

    def program(self) -> npt.NDArray[np.int64]:
        """int64[n_instructions, 5]: operation, result slot, up to three operands."""
        return np.array(self.instructions, np.int64).reshape(-1, 5)

    def initial_values(self) -> npt.NDArray[np.int64]:
        """int64[n_slots] with the constants in place."""
        values = np.zeros(self.n_slots, np.int64)
        for slot, value in self.constants.items():
            values[slot] = value
        return values

    def position(self, name: str) -> int | None:
        """The column of this name, or None."""
        found = self._columns.get(name)
        return None if found is None else found[0]

    def column_of(self, node: Node) -> int | None:
        """The column that `node` names, or None."""
        name = dotted_name(node)
        return None if name is None else self.position(name)

    def code_of(self, node: Node, text: str) -> int:
        """The code that `text` has in the column that `node` names."""
        return self._code_of(dotted_name(node) or "", text)

    def slot(self, node: Node, types: Mapping[int, Type]) -> int:
        """The slot that holds the value of `node`; `types` are the static types by id of the node."""
        column = self.column_of(node)
        if column is not None:
            return column
        known = self._known.get(node)
        if known is None:
            known = self._known[node] = self._computed(node, types)
        return known

    def member(self, column: int, name: str, text: str) -> int:
        """The slot that says whether the list of strings in `column` holds `text`."""
        return self._instruction("member", BOOL, column, self._code_of(name, text), self._list_at[column])

    def null_test(self, column: int, *, given: bool) -> int:
        """The slot of `has(fact)` (`given`) or of `fact == null`."""
        return self._instruction("has" if given else "is_null", BOOL, column)

    def holds_exactly(self, node: Node, types: Mapping[int, Type]) -> bool:
        """Whether a slot can hold whatever `node` comes to: slots count microseconds, a time that is computed may have parts of one."""
        if types[id(node)].kind not in ("timestamp", "duration") or self.column_of(node) is not None:
            return True
        constant = constant_of(node)
        if constant is not None:
            return number_of(constant) is not None
        inner = isinstance(node, Call) and node.function in ("_+_", "_-_", "_?_:_")
        return inner and all(self.holds_exactly(a, types) for a in node.arguments)

    def _computed(self, node: Node, types: Mapping[int, Type]) -> int:
        constant = constant_of(node)
        if constant is not None and number_of(constant) is not None:
            return self._constant(constant, types[id(node)])
        if isinstance(node, Has) and (column := self.column_of(node.operand)) is not None:
            return self.null_test(column, given=True)
        if not isinstance(node, Call):
            return self._host(node, types)
        arguments, kind = node.arguments, types[id(node)].kind
        operand_kinds = [types[id(a)].kind for a in arguments]
        if node.function in ("_&&_", "_||_"):
            pair = (self.slot(a, types) for a in arguments)
            return self._instruction("and" if node.function == "_&&_" else "or", BOOL, *pair)
        if node.function == "!_":
            return self._instruction("not", BOOL, self.slot(arguments[0], types))
        if node.function == "_?_:_" and kind in (*NUMERIC_KINDS, "bool") and operand_kinds[1] == operand_kinds[2]:
            return self._instruction("select", types[id(node)], *(self.slot(a, types) for a in arguments))
        if node.function in (*_COMPARISONS, "_!=_"):
            exact = all(self.holds_exactly(a, types) for a in arguments)
            return self._comparison(node, operand_kinds, types) if exact else self._host(node, types)
        if node.function == "-_" and kind in ("int", "double"):
            return self._instruction(f"negate_{kind}", types[id(node)], self.slot(arguments[0], types))
        if node.function in ("double", "int") and (operand_kinds[0], kind) in (("int", "double"), ("double", "int")):
            return self._instruction(f"to_{kind}", types[id(node)], self.slot(arguments[0], types))
        if node.function == "@in":
            return self._membership(node, operand_kinds, types)
        operation = _ARITHMETIC.get((node.function, _arithmetic_kind(node.function, operand_kinds)))
        if operation is not None:
            return self._instruction(operation, types[id(node)], *(self.slot(a, types) for a in arguments))
        if node.function == "size" and (column := self.column_of(arguments[0])) is not None and operand_kinds[0] == "list":
            return self._instruction("length", INT, column)
        return self._host(node, types)

    def _comparison(self, node: Call, kinds: Sequence[str], types: Mapping[int, Type]) -> int:
        left, right = node.arguments
        equal = node.function in ("_==_", "_!=_")
        found: int | None = None
        for a, b in ((left, right), (right, left)):
            column = self.column_of(a)
            if equal and isinstance(b, Literal) and b.value is None and column is not None:
                found = self.null_test(column, given=False)
            elif equal and types[id(a)] == STRING and column is not None and isinstance(text := constant_of(b), str):
                code = self._constant(self.code_of(a, text), INT)
                found = self._instruction("int_==", BOOL, column, code)
        same = kinds[0] == kinds[1] and kinds[0] in (*NUMERIC_KINDS, "bool")
        mixed = set(kinds) == {"int", "double"}
        if found is None and (same or mixed):
            relation = "==" if equal else _COMPARISONS[node.function]
            pair = (self.slot(left, types), self.slot(right, types))
            if mixed and kinds[0] == "double":
                pair, relation = (pair[1], pair[0]), _turned(relation)
            family = "mixed" if mixed else "double" if kinds[0] == "double" else "int"
            found = self._instruction(f"{family}_{relation}", BOOL, *pair)
        if found is None:
            return self._host(node, types)
        return self._instruction("not", BOOL, found) if node.function == "_!=_" else found

    def _membership(self, node: Call, kinds: Sequence[str], types: Mapping[int, Type]) -> int:
        item, collection = node.arguments
        column = self.column_of(collection)
        if column is not None and self.types[column] == Type("list", (STRING,)) and isinstance(text := constant_of(item), str):
            return self.member(column, dotted_name(collection) or "", text)
        if isinstance(collection, ListLiteral) and self._is_compared(item, kinds[0], collection.items, types):
            pairs = (Call("_==_", (item, value)) for value in collection.items)
            return reduce(lambda a, b: self._instruction("or", BOOL, a, b),
                          [self._comparison(pair, [kinds[0], types[id(pair.arguments[1])].kind], types) for pair in pairs])
        return self._host(node, types)

    def _is_compared(self, item: Node, kind: str, values: Sequence[Node], types: Mapping[int, Type]) -> bool:
        """Whether the program can compare `item` with each of these constants."""
        wanted = {"int": ("int", "double"), "double": ("int", "double"), "string": ("string",) if self.column_of(item) is not None else ()}
        return bool(values) and all(constant_of(v) is not None and types[id(v)].kind in wanted.get(kind, ()) for v in values)

    def _constant(self, value: Any, type_: Type) -> int:
        number = number_of(value)
        key = ("constant", type_.kind, number)
        if key not in self._known:
            self._known[key] = self._new(type_)
            self.constants[self._known[key]] = int(number or 0)
        return self._known[key]

    def _instruction(self, operation: str, type_: Type, *operands: int) -> int:
        key = ("instruction", operation, operands)
        if key not in self._known:
            self._known[key] = self._new(type_)
            self.instructions.append((OPERATIONS[operation], self._known[key], *operands, *(0,) * (3 - len(operands))))
        return self._known[key]

    def _host(self, node: Node, types: Mapping[int, Type]) -> int:
        slot = self._new(types[id(node)])
        self.hosts.append(Host(slot, node, types[id(node)], tuple(sorted(names_in(node)))))
        return slot

    def _new(self, type_: Type) -> int:
        self.types.append(type_)
        return len(self.types) - 1


def names_in(node: Node) -> set[str]:
    """Every name that `node` mentions, macro variables and types among them."""
    return {part.name for part in walk(node) if isinstance(part, Name)}


def constant_of(node: Node) -> Any:
    """The value of an expression without names (`duration('30d')`, `['a', 'b']`), or None where it has names, is null or fails."""
    if isinstance(node, Literal):
        return node.value
    if any(isinstance(part, Name) for part in walk(node)):
        return None
    value = plain.cel_value(node, {}, nullable=False)
    return None if value is UNKNOWN or isinstance(value, ErrorValue) else value


def number_of(value: Any) -> int | None:
    """A constant as an encoded row holds it: int64, bits of a double, 0 or 1, microseconds; None where it has no such number."""
    match value:
        case bool():
            return int(value)
        case UInt():
            return None
        case int():
            return value
        case float():
            return int(np.float64(value).view(np.int64))
        case Timestamp(ns) | Duration(ns):
            return ns // 1000 if ns % 1000 == 0 else None
        case _:
            return None


def _arithmetic_kind(function: str, kinds: Sequence[str]) -> str | None:
    """Which arithmetic serves these operands: by the kind of both, and for times by what comes out."""
    if len(kinds) != 2 or function not in ("_+_", "_-_", "_*_", "_/_", "_%_"):
        return None
    pair = (kinds[0], kinds[1])
    if pair in (("timestamp", "duration"), ("duration", "timestamp")) and pair[0] + function != "duration_-_":
        return "timestamp"
    if pair == ("timestamp", "timestamp"):
        return "moments"
    return kinds[0] if kinds[0] == kinds[1] else None


def _turned(relation: str) -> str:
    return {"<": ">", "<=": ">=", ">": "<", ">=": "<=", "==": "=="}[relation]
