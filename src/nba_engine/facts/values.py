"""One fact's value, as its declared type says: what is accepted, and the error where it is not.

int is accepted for double, integral numbers of other libraries for int; a timestamp may be an aware datetime, RFC 3339 text or epoch
microseconds; a duration a timedelta or CEL text (`"36h"`). bool is never a number and text never a number.
"""

from __future__ import annotations

import numbers
import re
from collections.abc import Mapping, Sequence, Set
from datetime import datetime, timedelta, timezone
from typing import Any

from nba_engine.errors import FactsError
from nba_engine.moments import moment_of
from nba_engine.schema import UINT_MAX, Type, UInt


class _Absent:
    __slots__ = ()

    def __repr__(self) -> str:
        return "ABSENT"


ABSENT = _Absent()
"""Stands for a fact that was not given."""

_FIRST, _LAST = (moment.replace(tzinfo=timezone.utc) for moment in (datetime.min, datetime.max))
_DURATION = re.compile(r"[-+]?(\d+(\.\d*)?(h|ms|m|s|us))+")
_DURATION_PART = re.compile(r"(\d+(?:\.\d*)?)(h|ms|m|s|us)")
_UNIT_US = {"h": 3_600_000_000, "m": 60_000_000, "s": 1_000_000, "ms": 1_000, "us": 1}


def plain(value: Any, type_: Type, name: str) -> Any:
    """`value` as the plain Python value of `type_`; FactsError names the fact, what came and what is needed."""
    convert = _CONVERTERS.get(type_.kind)
    return value if convert is None else convert(value, type_, name)


def flatten(name: str, value: Any, type_: Type) -> dict[str, Any]:
    """The fields of a struct fact by their column names. A null struct stays under its own name, its fields are missing."""
    if type_.kind != "struct" or value is None:
        return {name: value}
    if not isinstance(value, Mapping):
        raise _wrong(value, f"a mapping with {', '.join(field for field, _ in type_.fields)}", name)
    flat: dict[str, Any] = {}
    for field, field_type in type_.fields:
        if field in value:
            flat.update(flatten(f"{name}.{field}", value[field], field_type))
    return flat


def _int(value: Any, type_: Type, name: str) -> int:
    if _is_bool(value) or not isinstance(value, numbers.Integral):
        raise _wrong(value, "an int", name)
    return int(value)


def _double(value: Any, type_: Type, name: str) -> float:
    if _is_bool(value) or not isinstance(value, numbers.Real):
        raise _wrong(value, "a number", name)
    try:
        return float(value)
    except OverflowError:
        raise _wrong(value, "a number that fits into a double", name) from None


def _bool(value: Any, type_: Type, name: str) -> bool:
    if not _is_bool(value):
        raise _wrong(value, "True or False", name)
    return bool(value)


def _string(value: Any, type_: Type, name: str) -> str:
    if not isinstance(value, str):
        raise _wrong(value, "a text", name)
    return str.__str__(value)  # the text itself, whatever a subclass such as an enumeration makes of it


def _timestamp(value: Any, type_: Type, name: str) -> datetime:
    needed = "an aware datetime, RFC 3339 text with a zone, or epoch microseconds"
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value)
        except ValueError:
            raise _wrong(value, needed, name) from None
    elif isinstance(value, numbers.Integral) and not _is_bool(value):
        try:
            return moment_of(int(value))
        except OverflowError:
            raise _wrong(value, "epoch microseconds of a year from 1 to 9999", name) from None
    if not isinstance(value, datetime):
        raise _wrong(value, needed, name)
    if value.tzinfo is None:
        text = f"fact {name!r}: {value.isoformat()} has no time zone; give an aware datetime, such as datetime(..., tzinfo=timezone.utc)"
        raise FactsError(text, name)
    if value.year in (1, 9999) and not _FIRST <= value <= _LAST:  # its zone puts it outside
        raise _wrong(value.isoformat(), "a time of the years 1 to 9999 UTC", name)
    return value


def _duration(value: Any, type_: Type, name: str) -> timedelta:
    if isinstance(value, str) and _DURATION.fullmatch(value):
        total_us = sum(float(number) * _UNIT_US[unit] for number, unit in _DURATION_PART.findall(value))
        try:
            return timedelta(microseconds=-total_us if value.startswith("-") else total_us)
        except OverflowError:
            raise _wrong(value, "a duration of less than 2.7 million years", name) from None
    if not isinstance(value, timedelta):
        raise _wrong(value, "a timedelta or a text such as '36h'", name)
    return value


def _list(value: Any, type_: Type, name: str) -> list[Any]:
    if isinstance(value, str | bytes) or not isinstance(value, Sequence | Set):
        raise _wrong(value, f"a list of {type_.parameters[0]}", name)
    # A set has no order of its own; sorted, the same facts give the same row.
    items = sorted(value, key=repr) if isinstance(value, Set) else value
    return [plain(item, type_.parameters[0], name) for item in items]


def _map(value: Any, type_: Type, name: str) -> dict[Any, Any]:
    if not isinstance(value, Mapping):
        raise _wrong(value, f"a {type_}", name)
    key_type, value_type = type_.parameters
    return {plain(k, key_type, name): None if v is None else plain(v, value_type, name) for k, v in value.items()}


def _uint(value: Any, type_: Type, name: str) -> UInt:
    number = _int(value, type_, name)
    if not 0 <= number <= UINT_MAX:
        raise _wrong(value, "an int from 0 to 2**64 - 1", name)
    return UInt(number)


def _bytes(value: Any, type_: Type, name: str) -> bytes:
    if not isinstance(value, bytes):
        raise _wrong(value, "bytes", name)
    return value


def _is_bool(value: Any) -> bool:
    return isinstance(value, bool) or type(value).__name__ == "bool_" or (type(value).__name__ == "bool" and type(value).__module__ == "numpy")


def _wrong(value: Any, needed: str, name: str) -> FactsError:
    return FactsError(f"fact {name!r}: got {value!r:.60} of type {type(value).__name__}, need {needed}", name)


_CONVERTERS = {
    "int": _int, "uint": _uint, "double": _double, "bool": _bool, "string": _string, "bytes": _bytes,
    "timestamp": _timestamp, "duration": _duration, "list": _list, "map": _map,
}
