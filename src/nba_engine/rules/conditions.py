"""Single conditions over one slot, each as the set of values that satisfy it.

All values of a slot stand on one axis of integers: `NO_VALUE` (missing, unknown, error), `IS_NULL`, `IS_NAN`, then the slot's own numbers
as int64. Texts stand there as their codes, of which only equality means anything; bools as 0 and 1; doubles as integers in their order (`ordered`).
A condition is a union of intervals on that axis, so that conditions on one slot are joined by joining intervals, whatever they say.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping
from typing import Any

from nba_engine.rules.normal import Leaf
from nba_engine.rules.slots import NUMERIC_KINDS, Slots, constant_of
from nba_engine.rules.syntax import Call, Has, Literal, Node
from nba_engine.rules.values import Duration, Timestamp
from nba_engine.schema import BOOL, DOUBLE, STRING, Type

LEAST, END = -(2**63), 2**63
NO_VALUE, IS_NULL, IS_NAN = LEAST - 3, LEAST - 2, LEAST - 1
_INT, _DOUBLE = struct.Struct("=q"), struct.Struct("=d")
_CONSTANTS = {"int": (int, float), "double": (int, float), "string": (str,), "timestamp": (Timestamp,), "duration": (Duration,)}
_TURNED = {"_<_": "_>_", "_<=_": "_>=_", "_>_": "_<_", "_>=_": "_<=_", "_==_": "_==_", "_!=_": "_!=_"}

Region = tuple[int, ...]
"""A set of values: `(a, b, c, d)` is everything from a to before b and from c to before d, in ascending order."""

NOTHING: Region = ()
EVERYTHING: Region = (NO_VALUE, END)
GIVEN: Region = (IS_NAN, END)
Condition = tuple[int, Region]
"""A slot and the values of it that satisfy the condition."""


def condition_of(leaf: Leaf, slots: Slots, types: Mapping[int, Type]) -> Condition:
    """The condition that decides `leaf`; slots are made as needed. What is not a comparison with a constant becomes a slot that holds a bool."""
    node, positive = leaf.node, leaf.positive
    if isinstance(node, Has) and (column := slots.column_of(node.operand)) is not None:
        return column, GIVEN if positive else outside(GIVEN)
    if isinstance(node, Call) and len(node.arguments) == 2:
        left, right = node.arguments
        found = None
        if node.function in _TURNED:
            found = _comparison(node.function, left, right, positive, slots, types)
            found = found or _comparison(_TURNED[node.function], right, left, positive, slots, types)
        elif node.function == "@in" and isinstance(values := constant_of(right), list) and _all_comparable(values, types[id(left)]):
            found = _compared("_==_", values, left, positive, slots, types)
        if found is not None:
            return found
    return slots.slot(node, types), _is(positive)


def meeting(a: Region, b: Region) -> Region:
    """What lies in both."""
    return _overlaid(a, b, 2)


def union(a: Region, b: Region) -> Region:
    """What lies in either."""
    return _overlaid(a, b, 1)


def outside(region: Region, within: Region = EVERYTHING) -> Region:
    """What of the one interval `within` is not in `region`, all of which lies in it."""
    low, high = within
    bounds = region[1:] if region[:1] == (low,) else (low, *region)
    return bounds[:-1] if bounds[-1:] == (high,) else (*bounds, high)


def ordered(value: float) -> int:
    """A double (not NaN) as an int64 in the same order: its bits, with those of negative numbers turned round."""
    (bits,) = _INT.unpack(_DOUBLE.pack(value + 0.0))
    return bits if bits >= 0 else bits ^ (2**63 - 1)


def _is(truth: bool) -> Region:
    return (1, END) if truth else (LEAST, 1)


def _overlaid(a: Region, b: Region, n_needed: int) -> Region:
    """Where at least `n_needed` of two regions lie."""
    if a == b or not (a and b):
        return (a or b) if a == b or n_needed == 1 else NOTHING
    steps: dict[int, int] = {}
    for region in (a, b):
        for i, bound in enumerate(region):
            steps[bound] = steps.get(bound, 0) + (-1 if i & 1 else 1)
    bounds, depth = list[int](), 0
    for bound in sorted(steps):
        before, depth = depth, depth + steps[bound]
        if (before >= n_needed) != (depth >= n_needed):
            bounds.append(bound)
    return tuple(bounds)


def _comparison(function: str, left: Node, right: Node, positive: bool, slots: Slots, types: Mapping[int, Type]) -> Condition | None:
    if isinstance(right, Literal) and right.value is None:
        column = slots.column_of(left)
        if column is None or function not in ("_==_", "_!=_"):
            return None
        return column, (IS_NULL, IS_NAN) if positive == (function == "_==_") else GIVEN
    constant, type_ = constant_of(right), types[id(left)]
    if constant is None or (type_.kind in ("string", "bool") and function not in ("_==_", "_!=_")):
        return None
    if type_ == BOOL and isinstance(constant, bool):
        return slots.slot(left, types), _is(positive == (constant == (function == "_==_")))
    return _compared(function, [constant], left, positive, slots, types) if _all_comparable([constant], type_) else None


def _compared(function: str, constants: list[Any], left: Node, positive: bool, slots: Slots, types: Mapping[int, Type]) -> Condition | None:
    """`left` compared with constants, one of which must satisfy; None where no constant can cut the values of `left`."""
    type_ = types[id(left)]
    if not (type_.kind in NUMERIC_KINDS or (type_.kind == "string" and slots.column_of(left) is not None)):
        return None
    whole = GIVEN if type_ == DOUBLE else (LEAST, END)
    region = NOTHING
    for constant in constants:
        equal = _equal_to(slots.code_of(left, constant) if type_ == STRING else constant, type_)
        region = union(region, outside(_region("_==_", *equal), whole) if function == "_!=_" else _region(function, *equal))
    return slots.slot(left, types), region if positive else outside(region, whole)


def _region(function: str, low: int, high: int) -> Region:
    """The values in an order to those from `low` to before `high`, which equal the constant; none are in any order to NaN (`high` < `low`)."""
    if high < low:
        return NOTHING
    match function:
        case "_<_":
            bounds = (LEAST, low)
        case "_<=_":
            bounds = (LEAST, high)
        case "_>=_":
            bounds = (low, END)
        case "_>_":
            bounds = (high, END)
        case _:
            bounds = (low, high)
    return bounds if bounds[0] < bounds[1] else NOTHING


def _equal_to(constant: Any, type_: Type) -> tuple[int, int]:
    """Where on the axis the values that equal `constant` begin and end; where none does, the one place that parts those below from those above."""
    if constant != constant:
        return END, LEAST
    match type_.kind:
        case "double":
            near = float(constant)
            place = ordered(near)
            low, high = place + (near < constant), place + (near <= constant)
        case "int" if isinstance(constant, float):
            bounded = min(max(constant, float(LEAST) - 4096.0), float(END))
            low, high = math.ceil(bounded), math.floor(bounded) + 1
        case "int" | "string":
            low, high = int(constant), int(constant) + 1
        case _:
            low, high = -(-constant.ns // 1000), constant.ns // 1000 + 1
    return min(max(low, LEAST), END), min(max(high, LEAST), END)


def _all_comparable(values: list[Any], type_: Type) -> bool:
    wanted = _CONSTANTS.get(type_.kind, ())
    return all(isinstance(v, wanted) and not isinstance(v, bool) for v in values)
