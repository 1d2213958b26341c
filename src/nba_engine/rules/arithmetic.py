"""Numbers: the operators with their ranges, and the functions under `math.`. An int that leaves int64 is an error, never a wrap."""

from __future__ import annotations

import math
from typing import Any

from nba_engine.rules.values import INT_MAX, INT_MIN, UINT_MAX, EvaluationError, UInt


def int_result(value: int) -> int:
    if INT_MIN <= value <= INT_MAX:
        return value
    raise EvaluationError("integer overflow")


def uint_result(value: int) -> UInt:
    if 0 <= value <= UINT_MAX:
        return UInt(value)
    raise EvaluationError("unsigned integer overflow")


def _quotient(a: int, b: int) -> int:
    """Whole quotient, cut towards zero."""
    if b == 0:
        raise EvaluationError("division by zero")
    quotient = abs(a) // abs(b)
    return quotient if (a < 0) == (b < 0) else -quotient


def _remainder(a: int, b: int) -> int:
    """Remainder with the sign of the dividend."""
    if b == 0:
        raise EvaluationError("modulus by zero")
    remainder = abs(a) % abs(b)
    return -remainder if a < 0 else remainder


INT_OPERATORS = {
    "_+_": lambda a, b: int_result(a + b),
    "_-_": lambda a, b: int_result(a - b),
    "_*_": lambda a, b: int_result(a * b),
    "_/_": lambda a, b: int_result(_quotient(a, b)),
    "_%_": lambda a, b: int_result(_remainder(a, b)),
}
UINT_OPERATORS = {
    "_+_": lambda a, b: uint_result(int(a) + int(b)),
    "_-_": lambda a, b: uint_result(int(a) - int(b)),
    "_*_": lambda a, b: uint_result(int(a) * int(b)),
    "_/_": lambda a, b: uint_result(_quotient(int(a), int(b))),
    "_%_": lambda a, b: uint_result(_remainder(int(a), int(b))),
}


def _double_quotient(a: float, b: float) -> float:
    """IEEE division: x / 0 is an infinity with the product of the signs, 0 / 0 is NaN."""
    if b != 0.0:
        return a / b
    if a == 0.0 or math.isnan(a):
        return math.nan
    return math.copysign(math.inf, a) * math.copysign(1.0, b)


DOUBLE_OPERATORS = {
    "_+_": lambda a, b: a + b,
    "_-_": lambda a, b: a - b,
    "_*_": lambda a, b: a * b,
    "_/_": _double_quotient,
}


def _whole(rounding: Any) -> Any:
    """`rounding` of a double as a double; NaN and infinities stay what they are."""

    def whole(value: float) -> float:
        return math.copysign(float(rounding(value)), value) if math.isfinite(value) else value

    return whole


def _round_away(value: float) -> int:
    """Halves go away from zero."""
    whole = math.trunc(value)
    return whole + (1 if value > 0 else -1) * (abs(value - whole) >= 0.5)


def _sign(value: Any) -> int:
    return (value > 0) - (value < 0)


MATH_DOUBLE = {
    "math.ceil": _whole(math.ceil),
    "math.floor": _whole(math.floor),
    "math.round": _whole(_round_away),
    "math.trunc": _whole(math.trunc),
}
MATH_TESTS = {"math.isNaN": math.isnan, "math.isInf": math.isinf, "math.isFinite": math.isfinite}
MATH_SAME = {
    "math.abs": {"int": lambda a: int_result(abs(a)), "uint": lambda a: a, "double": abs},
    "math.sign": {"int": _sign, "uint": lambda a: UInt(_sign(a)), "double": lambda a: a if a == 0.0 or a != a else float(_sign(a))},
}
"""Functions whose result has the type of their argument."""


def greatest(*values: Any) -> Any:
    """The largest of one or more numbers of any types; the first among equals."""
    return _extreme(values, 1)


def least(*values: Any) -> Any:
    """The smallest of one or more numbers of any types; the first among equals."""
    return _extreme(values, -1)


def _extreme(values: tuple[Any, ...], direction: int) -> Any:
    if not values:
        raise EvaluationError("an empty list has no greatest and no least")
    best = values[0]
    for value in values:
        if type(value) not in (int, UInt, float):
            raise EvaluationError("greatest and least compare numbers only")
        if (value > best) if direction > 0 else (value < best):
            best = value
    return best
