"""What a CEL value is in Python, when two of them are equal, and how they enter and leave.

Inside an evaluation a value is exactly one of: bool, int (int64), UInt, float, str, bytes, None, Timestamp, Duration, list, dict, TypeName, Maybe.
Timestamps and durations are counted in nanoseconds, as the standard asks; datetime and timedelta are taken in and given out.
Map keys that are bools are kept as BoolKey, because Python takes True and 1 for one key.
"""

from __future__ import annotations

import numbers
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum
from typing import Any

from nba_engine.moments import duration_us, epoch_us, moment_of
from nba_engine.schema import UINT_MAX as UINT_MAX
from nba_engine.schema import UInt as UInt

INT_MIN, INT_MAX = -(2**63), 2**63 - 1
VALUE_DEPTH_MAX = 64
"""Lists and maps given from outside may nest this deep."""

TIMESTAMP_NS_MIN = -62_135_596_800 * 10**9  # 0001-01-01T00:00:00Z
TIMESTAMP_NS_MAX = 253_402_300_800 * 10**9 - 1  # 9999-12-31T23:59:59.999999999Z


class TypeName(str):
    """A CEL type as a value, by its CEL name (`int`, `google.protobuf.Timestamp`)."""

    __slots__ = ()


class BoolKey(Enum):
    """A bool as a key of a map."""

    FALSE = False
    TRUE = True


@dataclass(frozen=True, slots=True, order=True)
class Timestamp:
    """An instant, in nanoseconds since 1970 UTC; years 1 to 9999."""

    ns: int


@dataclass(frozen=True, slots=True, order=True)
class Duration:
    """A signed length of time in nanoseconds, an int64 (about 292 years either way)."""

    ns: int


@dataclass(frozen=True, slots=True)
class Maybe:
    """An optional value of the language (`optional.of(x)`, `optional.none()`): one item or none."""

    items: tuple[Any, ...]


class Unknown:
    """The answer that cannot be had because a fact is null or was not given. There is one, `UNKNOWN`; it is neither true nor false."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "UNKNOWN"

    def __bool__(self) -> bool:
        raise TypeError("UNKNOWN is neither true nor false; compare with `is UNKNOWN` or `is True`")


UNKNOWN = Unknown()


@dataclass(frozen=True, slots=True)
class ErrorValue:
    """The result of a computation that the standard calls an error: a division by zero, an overflow, no such key ..."""

    message: str
    position: int | None = None


class EvaluationError(Exception):
    """Raised by a function of the language, caught by the evaluator and turned into an ErrorValue. Never leaves the room."""


KINDS: dict[type, str] = {
    bool: "bool", int: "int", UInt: "uint", float: "double", str: "string", bytes: "bytes", type(None): "null",
    Timestamp: "timestamp", Duration: "duration", list: "list", dict: "map", TypeName: "type", Maybe: "optional",
}  # fmt: skip

TYPE_NAMES: dict[str, TypeName] = {
    kind: TypeName({"timestamp": "google.protobuf.Timestamp", "duration": "google.protobuf.Duration", "null": "null_type",
                    "optional": "optional_type"}.get(kind, kind))
    for kind in KINDS.values()
}
"""Kind -> the name that `type(value)` answers."""

_NUMBERS = frozenset(("int", "uint", "double"))


def order_key(value: Any, other_kind: str) -> Any:
    """The number as it compares with a number of another kind: exactly, but the double 2**63 stands for the largest int.

    That double is what the largest int becomes as a double; the standard's tests ask that the two be equal.
    """
    return INT_MAX if other_kind == "int" and value == 2.0**63 else value


def equals(a: Any, b: Any) -> bool:
    """CEL equality: numbers by exact value across types, different kinds are unequal and not an error, NaN equals nothing."""
    kind_a, kind_b = KINDS[type(a)], KINDS[type(b)]
    if kind_a != kind_b:
        return kind_a in _NUMBERS and kind_b in _NUMBERS and order_key(a, kind_b) == order_key(b, kind_a)
    if kind_a == "list":
        return len(a) == len(b) and all(map(equals, a, b))
    if kind_a == "map":
        return len(a) == len(b) and all(key in b and equals(value, b[key]) for key, value in a.items())
    if kind_a == "optional":
        return len(a.items) == len(b.items) and all(map(equals, a.items, b.items))
    return a == b


def map_key(value: Any) -> Any:
    """A value as a key to look up; EvaluationError where no map can have such a key."""
    match KINDS[type(value)]:
        case "bool":
            return BoolKey(value)
        case "int" | "uint" | "double" | "string":
            return value
        case kind:
            raise EvaluationError(f"a {kind} cannot be a map key; keys are int, uint, bool or string")


def key_value(key: Any) -> Any:
    """The value that a stored key stands for."""
    return key.value if isinstance(key, BoolKey) else key


def from_python(value: Any, depth: int = 0) -> Any:
    """A Python value as a CEL value; EvaluationError where it has no counterpart."""
    kind = type(value)
    if kind in (bool, str, float, bytes, UInt, TypeName, Timestamp, Duration) or value is None:
        return value
    if depth > VALUE_DEPTH_MAX:
        raise EvaluationError(f"the value nests deeper than VALUE_DEPTH_MAX = {VALUE_DEPTH_MAX}")
    if kind is int:
        if INT_MIN <= value <= INT_MAX:
            return value
        raise EvaluationError(f"{value} is not an int64")
    if isinstance(value, datetime):
        if value.tzinfo is None:
            raise EvaluationError(f"the time {value.isoformat()} has no zone")
        return Timestamp(epoch_us(value) * 1000)
    if isinstance(value, timedelta):
        return duration_of(duration_us(value) * 1000)
    if isinstance(value, list | tuple):
        return [from_python(item, depth + 1) for item in value]
    if isinstance(value, Mapping):
        return {map_key(from_python(key)): from_python(item, depth + 1) for key, item in value.items()}
    if isinstance(value, str):
        return str.__str__(value)  # the text itself, whatever a subclass such as an enumeration makes of it
    for base in (bytes, float, int):
        if isinstance(value, base):
            return from_python(base(value), depth)
    if kind.__module__ == "numpy" and kind.__name__ in ("bool", "bool_"):
        return bool(value)
    if hasattr(value, "__index__"):
        return from_python(int(value), depth)
    if isinstance(value, numbers.Real):
        return float(value)
    raise EvaluationError(f"a {kind.__name__} is not a value of the rule language")


def to_python(value: Any) -> Any:
    """A CEL value as users see it: datetime (UTC) and timedelta cut to microseconds, plain dict keys, no optional as None."""
    match value:
        case Timestamp(ns):
            return moment_of(ns // 1000)
        case Duration(ns):
            return timedelta(microseconds=ns // 1000)
        case Maybe(items):
            return to_python(items[0]) if items else None
        case list():
            return [to_python(item) for item in value]
        case dict():
            return {key_value(key): to_python(item) for key, item in value.items()}
        case _:
            return value


def timestamp_of(ns: int) -> Timestamp:
    if TIMESTAMP_NS_MIN <= ns <= TIMESTAMP_NS_MAX:
        return Timestamp(ns)
    raise EvaluationError("the timestamp is out of range; years are 0001 to 9999")


def duration_of(ns: int) -> Duration:
    if INT_MIN <= ns <= INT_MAX:
        return Duration(ns)
    raise EvaluationError("the duration is out of range; it must stay under 292 years")
