"""Conversions between types: `int()`, `uint()`, `double()`, `bool()`, `string()`, `bytes()`, `timestamp()`."""

from __future__ import annotations

import math
import re
from typing import Any

from nba_engine.rules.times import SECOND_NS
from nba_engine.rules.values import UINT_MAX, EvaluationError, Timestamp, UInt, timestamp_of

_WHOLE = re.compile(r"[+-]?[0-9]{1,40}")
_DOUBLE = re.compile(r"[+-]?(?:[0-9]{1,400}(?:\.[0-9]{0,400})?|\.[0-9]{1,400})(?:[eE][+-]?[0-9]{1,9})?")
_SPECIAL = {"nan": math.nan, "inf": math.inf, "infinity": math.inf}
_BOOLS = dict.fromkeys(("1", "t", "T", "true", "TRUE", "True"), True) | dict.fromkeys(("0", "f", "F", "false", "FALSE", "False"), False)


def _ranged_int(value: int) -> int:
    if -(2**63) <= value < 2**63:
        return value
    raise EvaluationError(f"{value} is out of the range of int")


def _ranged_uint(value: int) -> UInt:
    if 0 <= value <= UINT_MAX:
        return UInt(value)
    raise EvaluationError(f"{value} is out of the range of uint")


def _int_of_double(value: float) -> int:
    # Both ends are shut: the doubles at +-2**63 may stand for numbers beyond.
    if -(2.0**63) < value < 2.0**63:
        return int(value)
    raise EvaluationError(f"{value} is out of the range of int")


def _uint_of_double(value: float) -> UInt:
    if 0.0 <= value < 2.0**64:
        return UInt(int(value))
    raise EvaluationError(f"{value} is out of the range of uint")


def _whole_of_text(text: str) -> int:
    if _WHOLE.fullmatch(text) is None:
        raise EvaluationError(f"{text[:60]!r} is not a whole number")
    return int(text)


def _double_of_text(text: str) -> float:
    if _DOUBLE.fullmatch(text) is not None:
        return float(text)
    bare = text.lstrip("+-")
    if len(text) - len(bare) <= 1 and bare.lower() in _SPECIAL:
        return math.copysign(_SPECIAL[bare.lower()], -1.0 if text.startswith("-") else 1.0)
    raise EvaluationError(f"{text[:60]!r} is not a number")


def _bool_of_text(text: str) -> bool:
    if text in _BOOLS:
        return _BOOLS[text]
    raise EvaluationError(f"{text[:60]!r} is neither 'true' nor 'false'")


def _text_of_double(value: float) -> str:
    """The shortest text that reads back as the same double, without exponent from 1e-4 up to 1e21."""
    if not math.isfinite(value):
        return "NaN" if value != value else ("Infinity" if value > 0 else "-Infinity")
    text = f"{value:.0f}" if 1e16 <= abs(value) < 1e21 else repr(value)
    return text.removesuffix(".0")


def _text_of_bytes(value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        raise EvaluationError("the bytes are not UTF-8") from None


def _bytes_of_text(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError:
        raise EvaluationError("the text is not valid Unicode") from None


def _identity(value: Any) -> Any:
    return value


def timestamp_of_seconds(seconds: int) -> Timestamp:
    return timestamp_of(seconds * SECOND_NS)


def _seconds_of_timestamp(value: Timestamp) -> int:
    return value.ns // SECOND_NS


CONVERSIONS: dict[str, dict[str, Any]] = {
    "int": {
        "int": _identity, "uint": lambda v: _ranged_int(int(v)), "double": _int_of_double,
        "string": lambda v: _ranged_int(_whole_of_text(v)), "timestamp": _seconds_of_timestamp,
    },
    "uint": {
        "uint": _identity, "int": _ranged_uint, "double": _uint_of_double, "string": lambda v: _ranged_uint(_whole_of_text(v)),
    },
    "double": {"double": _identity, "int": float, "uint": float, "string": _double_of_text},
    "bool": {"bool": _identity, "string": _bool_of_text},
    "string": {
        "string": _identity, "int": str, "uint": lambda v: str(int(v)), "double": _text_of_double,
        "bool": lambda v: "true" if v else "false", "bytes": _text_of_bytes,
    },
    "bytes": {"bytes": _identity, "string": _bytes_of_text},
}  # fmt: skip
"""Result type -> argument type -> function. Those of timestamps and durations to and from text are in times.py."""
