"""The one table of functions and operators: name -> overloads with their types and what computes them.

The checker reads the types, the plain evaluator picks by the kinds of the values at hand. What is not strict in its arguments
(`&&`, `||`, `?:`, has, macros) is not here but in the evaluator.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from itertools import permutations, product
from typing import Any

from nba_engine.rules import arithmetic, texts, times
from nba_engine.rules.conversions import CONVERSIONS, timestamp_of_seconds
from nba_engine.rules.values import (
    KINDS, TYPE_NAMES, Duration, EvaluationError, Maybe, Timestamp, duration_of, equals, map_key, order_key, timestamp_of,
)  # fmt: skip
from nba_engine.schema import BOOL, DYN, Type, parse_type


class NoSuchKey(EvaluationError):
    """A map has no such key."""


@dataclass(frozen=True, slots=True)
class Overload:
    """One signature; for a member function the receiver is `parameters[0]`. A `dyn` parameter takes any value."""

    parameters: tuple[Type, ...]
    result: Type
    member: bool
    compute: Callable[..., Any]


VARIADIC: dict[str, Callable[..., Any]] = {"math.greatest": arithmetic.greatest, "math.least": arithmetic.least}
"""Functions of one or more numbers of any type, or of one list of them."""


def _optional_value(optional: Maybe) -> Any:
    if not optional.items:
        raise EvaluationError("the optional has no value; ask hasValue(), or give another with orValue()")
    return optional.items[0]


def _of_non_zero(value: Any) -> Maybe:
    is_zero = value.ns == 0 if isinstance(value, Timestamp | Duration) else isinstance(value, Maybe) and not value.items or not value
    return Maybe(() if is_zero else (value,))


_OPTIONAL = Type("optional")
_OPTIONALS: tuple[tuple[str, Callable[..., Any], bool, tuple[Type, ...], Type], ...] = (
    ("optional.of", lambda value: Maybe((value,)), False, (DYN,), _OPTIONAL),
    ("optional.none", lambda: Maybe(()), False, (), _OPTIONAL),
    ("optional.ofNonZeroValue", _of_non_zero, False, (DYN,), _OPTIONAL),
    ("hasValue", lambda optional: bool(optional.items), True, (_OPTIONAL,), BOOL),
    ("value", _optional_value, True, (_OPTIONAL,), DYN),
    ("or", lambda optional, other: optional if optional.items else other, True, (_OPTIONAL, _OPTIONAL), _OPTIONAL),
    ("orValue", lambda optional, other: optional.items[0] if optional.items else other, True, (_OPTIONAL, DYN), DYN),
)
"""Optional values; facts are none of them. `or` and `orValue` do not look at their argument where there is a value (plain.py)."""


@cache
def overloads() -> dict[str, tuple[Overload, ...]]:
    """Every overload by function name, in the order in which they were written."""
    table: dict[str, list[Overload]] = {}

    def add(name: str, compute: Callable[..., Any], *signatures: str, member: bool = False) -> None:
        for signature in signatures:
            parameters, result = signature.split(" -> ")
            types = tuple(map(parse_type, parameters.split(", ")))
            table.setdefault(name, []).append(Overload(types, parse_type(result), member, compute))

    _add_operators(add)
    _add_comparisons(add)
    _add_conversions(add)
    _add_members(add)
    for name, compute, member, parameters, result in _OPTIONALS:
        table.setdefault(name, []).append(Overload(parameters, result, member, compute))
    return {name: tuple(found) for name, found in table.items()}


def _add_operators(add: Any) -> None:
    add("!_", operator.not_, "bool -> bool")
    add("-_", lambda a: arithmetic.int_result(-a), "int -> int")
    add("-_", operator.neg, "double -> double")
    for kind, operators in (("int", arithmetic.INT_OPERATORS), ("uint", arithmetic.UINT_OPERATORS), ("double", arithmetic.DOUBLE_OPERATORS)):
        for name, compute in operators.items():
            add(name, compute, f"{kind}, {kind} -> {kind}")
    add("_+_", operator.add, "string, string -> string", "bytes, bytes -> bytes", "list, list -> list")
    add("_+_", lambda a, b: timestamp_of(a.ns + b.ns), "timestamp, duration -> timestamp", "duration, timestamp -> timestamp")
    add("_+_", lambda a, b: duration_of(a.ns + b.ns), "duration, duration -> duration")
    add("_-_", lambda a, b: timestamp_of(a.ns - b.ns), "timestamp, duration -> timestamp")
    add("_-_", lambda a, b: duration_of(a.ns - b.ns), "timestamp, timestamp -> duration", "duration, duration -> duration")
    add("_[_]", _item, *(f"list, {kind} -> dyn" for kind in ("int", "uint", "double")))
    add("_[_]", _entry, "map, dyn -> dyn")
    for kind, functions in arithmetic.MATH_SAME.items():
        for number, compute in functions.items():
            add(kind, compute, f"{number} -> {number}")
    for name, compute in arithmetic.MATH_DOUBLE.items():
        add(name, compute, "double -> double")
    for name, compute in arithmetic.MATH_TESTS.items():
        add(name, compute, "double -> bool")


def _add_comparisons(add: Any) -> None:
    numbers = ("int", "uint", "double")
    for name, compute in (("_<_", operator.lt), ("_<=_", operator.le), ("_>_", operator.gt), ("_>=_", operator.ge)):
        add(name, compute, *(f"{kind}, {kind} -> bool" for kind in (*numbers, "bool", "string", "bytes", "timestamp", "duration")))
        for a, b in permutations(numbers, 2):
            add(name, _across(compute, a, b), f"{a}, {b} -> bool")
    add("_==_", equals, "dyn, dyn -> bool")
    add("_!=_", lambda a, b: not equals(a, b), "dyn, dyn -> bool")
    add("@in", lambda value, items: any(equals(value, item) for item in items), "dyn, list -> bool")
    add("@in", lambda value, entries: map_key(value) in entries, "dyn, map -> bool")


def _across(compare: Callable[[Any, Any], bool], kind_a: str, kind_b: str) -> Callable[[Any, Any], bool]:
    return lambda a, b: compare(order_key(a, kind_b), order_key(b, kind_a))


def _add_conversions(add: Any) -> None:
    for result, functions in CONVERSIONS.items():
        for kind, compute in functions.items():
            add(result, compute, f"{kind} -> {result}")
    add("string", times.write_timestamp, "timestamp -> string")
    add("string", times.write_duration, "duration -> string")
    add("timestamp", lambda value: value, "timestamp -> timestamp")
    add("timestamp", times.read_timestamp, "string -> timestamp")
    add("timestamp", timestamp_of_seconds, "int -> timestamp")
    add("duration", lambda value: value, "duration -> duration")
    add("duration", times.read_duration, "string -> duration")
    add("type", lambda value: TYPE_NAMES[KINDS[type(value)]], "dyn -> type")
    add("dyn", lambda value: value, "dyn -> dyn")


def _add_members(add: Any) -> None:
    sized = ("string -> int", "bytes -> int", "list -> int", "map -> int")
    add("size", len, *sized)
    add("size", len, *sized, member=True)
    add("matches", texts.matches, "string, string -> bool")
    for name, (compute, signatures) in texts.TEXT_FUNCTIONS.items():
        add(name, compute, *signatures, member=True)
    for name, compute in times.TIMESTAMP_PARTS.items():
        add(name, compute, "timestamp -> int", "timestamp, string -> int", member=True)
    for name, compute in times.DURATION_PARTS.items():
        add(name, compute, "duration -> int", member=True)


@cache
def _by_kinds() -> dict[tuple[str, bool, tuple[str, ...]], Callable[..., Any]]:
    kinds = tuple(KINDS.values())
    table: dict[tuple[str, bool, tuple[str, ...]], Callable[..., Any]] = {}
    for name, found in overloads().items():
        for overload in found:
            for choice in product(*(kinds if p == DYN else (p.kind,) for p in overload.parameters)):
                table.setdefault((name, overload.member, choice), overload.compute)
    return table


def call(name: str, member: bool, values: list[Any]) -> Any:
    """The function's value at these CEL values.

    Raises
    ------
    EvaluationError
        Where no overload takes values of these kinds, or the computation fails.
    """
    if name in VARIADIC and not member:
        only_list = len(values) == 1 and isinstance(values[0], list)
        return VARIADIC[name](*(values[0] if only_list else values))
    kinds = tuple([KINDS[type(value)] for value in values])
    compute = _by_kinds().get((name, member, kinds))
    if compute is None:
        raise EvaluationError(no_overload(name, kinds))
    return compute(*values)


def no_overload(name: str, kinds: tuple[object, ...]) -> str:
    """The message for a function that exists, or does not, for arguments of these kinds or types."""
    listed = ", ".join(map(str, kinds))
    return f"{name}({listed}) is not defined" if name in overloads() else f"unknown function {name!r}"


def _item(items: list[Any], index: Any) -> Any:
    if index != index or index in (float("inf"), float("-inf")) or int(index) != index or not 0 <= index < len(items):
        raise EvaluationError(f"index {index} is out of range for a list of {len(items)}")
    return items[int(index)]


def _entry(entries: dict[Any, Any], key: Any) -> Any:
    found = map_key(key)
    if found not in entries:
        raise NoSuchKey(f"no such key: {key!r}")
    return entries[found]
