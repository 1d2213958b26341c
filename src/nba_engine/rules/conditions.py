"""Single conditions over one slot, each as the set of values that satisfy it; and, before anything has a slot, the tests they are made of.

All values of a slot stand on one axis of integers: `NO_VALUE` (missing, unknown, error), `IS_NULL`, `IS_NAN`, then the slot's own numbers
as int64. Texts stand there as their codes, of which only equality means anything; bools as 0 and 1; doubles as integers in their order (`ordered`).
A condition is a union of intervals on that axis, so that conditions on one slot are joined by joining intervals, whatever they say.

What a rule says does not depend on the catalog around it: its normal form with its tests is kept with it (`Checked.formula`), so that compiling a
catalog again only looks up slots and the codes of texts.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import reduce
from typing import Any

from nba_engine.rules.normal import Formula, Leaf, Normalizer
from nba_engine.rules.slots import NUMERIC_KINDS, Slots, constant_of
from nba_engine.rules.syntax import Call, Has, Literal, Node, dotted_name
from nba_engine.rules.values import Duration, Timestamp
from nba_engine.schema import BOOL, DOUBLE, Type

LEAST, END = -(2**63), 2**63
NO_VALUE, IS_NULL, IS_NAN = LEAST - 3, LEAST - 2, LEAST - 1
_INT, _DOUBLE = struct.Struct("=q"), struct.Struct("=d")
_CONSTANTS = {"int": (int, float), "double": (int, float), "string": (str,), "timestamp": (Timestamp,), "duration": (Duration,)}
_LARGEST: dict[tuple[Any, str], Any] = {(float(END), "int"): END - 1, (END - 1, "double"): float(END)}
"""The largest int and the double 2**63 are equal, as the standard asks (`order_key`)."""
_TURNED = {"_<_": "_>_", "_<=_": "_>=_", "_>_": "_<_", "_>=_": "_<=_", "_==_": "_==_", "_!=_": "_!=_"}

Region = tuple[int, ...]
"""A set of values: `(a, b, c, d)` is everything from a to before b and from c to before d, in ascending order."""

NOTHING: Region = ()
EVERYTHING: Region = (NO_VALUE, END)
GIVEN: Region = (IS_NAN, END)
Condition = tuple[int, Region]
"""A slot and the values of it that satisfy the condition."""


@dataclass(frozen=True, slots=True)
class Tested(Leaf):
    """A leaf with the one operand that decides it: its value lies in `region`, or its text is one of `texts` (none of them, where `is_other`).

    `types`: the static types by id of the node. `column`: the operand's name where it is one. Where `is_of_column` only a column can be tested so;
    what is none is asked for its truth.
    """

    types: Mapping[int, Type] = field(compare=False, repr=False)
    operand: Node = field(compare=False)
    column: str | None = field(compare=False)
    region: Region = field(compare=False)
    texts: tuple[str, ...] = field(default=(), compare=False)
    is_other: bool = field(default=False, compare=False)
    is_of_column: bool = field(default=False, compare=False)


def formula_of(node: Node, types: Mapping[int, Type], text: str = "") -> Formula | Leaf:
    """What must hold for `node` to be definitely true, with tests for leaves. `types`: the static types by id of the node.

    Raises CheckError where the rule is larger than normal forms may be."""
    return Normalizer(lambda leaf, positive: _test_of(leaf, positive, types)).formula(node, text)


def condition_of(test: Tested, slots: Slots) -> Condition:
    """The condition that decides `test`; slots are made and texts get codes as needed."""
    column = None if test.column is None else slots.position(test.column)
    if column is None:
        if test.is_of_column or not slots.holds_exactly(test.operand, test.types):
            return slots.slot(test.node, test.types), _is(test.positive)
        return slots.slot(test.operand, test.types), test.region
    if not test.texts:
        return column, test.region
    codes = [slots.code_of(test.operand, text) for text in test.texts]
    region = reduce(union, [(code, code + 1) for code in codes])
    return column, outside(region, (LEAST, END)) if test.is_other else region


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


def _test_of(node: Node, positive: bool, types: Mapping[int, Type]) -> Tested:
    """How a leaf is decided. What is not a comparison with a constant is asked for its truth."""
    if isinstance(node, Has):
        return Tested(node, positive, types, node.operand, dotted_name(node.operand), GIVEN if positive else outside(GIVEN), is_of_column=True)
    if isinstance(node, Call) and len(node.arguments) == 2:
        left, right = node.arguments
        found = None
        if node.function in _TURNED:
            found = _comparison(node, positive, node.function, left, right, types)
            found = found or _comparison(node, positive, _TURNED[node.function], right, left, types)
        elif node.function == "@in" and isinstance(values := constant_of(right), list) and _all_comparable(values, types[id(left)]):
            found = _compared(node, positive, "_==_", left, values, types)
        if found is not None:
            return found
    return Tested(node, positive, types, node, dotted_name(node), _is(positive))


def _comparison(node: Node, positive: bool, function: str, left: Node, right: Node, types: Mapping[int, Type]) -> Tested | None:
    """`left` compared with `right`, where that is a constant."""
    name = dotted_name(left)
    if isinstance(right, Literal) and right.value is None:
        if name is None or function not in ("_==_", "_!=_"):
            return None
        region = (IS_NULL, IS_NAN) if positive == (function == "_==_") else GIVEN
        return Tested(node, positive, types, left, name, region, is_of_column=True)
    constant, type_ = constant_of(right), types[id(left)]
    if constant is None or (type_.kind in ("string", "bool") and function not in ("_==_", "_!=_")):
        return None
    if type_ == BOOL and isinstance(constant, bool):
        return Tested(node, positive, types, left, name, _is(positive == (constant == (function == "_==_"))))
    return _compared(node, positive, function, left, [constant], types) if _all_comparable([constant], type_) else None


def _compared(node: Node, positive: bool, function: str, left: Node, constants: list[Any], types: Mapping[int, Type]) -> Tested | None:
    """`left` compared with constants, one of which must satisfy; None where no constant can cut the values of `left`."""
    type_, name = types[id(left)], dotted_name(left)
    whole = GIVEN if type_ == DOUBLE else (LEAST, END)
    region = NOTHING
    if type_.kind == "string" and name is not None:
        is_other = (function == "_!=_") == positive
        of_none = outside(NOTHING, whole) if is_other else NOTHING
        return Tested(node, positive, types, left, name, of_none, tuple(constants), is_other, is_of_column=True)
    if type_.kind not in NUMERIC_KINDS:
        return None
    for constant in constants:
        equal = _equal_to(constant, type_)
        region = union(region, outside(_region("_==_", *equal), whole) if function == "_!=_" else _region(function, *equal))
    return Tested(node, positive, types, left, name, region if positive else outside(region, whole))


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
    if (constant, type_.kind) in _LARGEST:
        constant = _LARGEST[constant, type_.kind]
    match type_.kind:
        case "double":
            near = float(constant)
            place = ordered(near)
            low, high = place + (near < constant), place + (near <= constant)
        case "int" if isinstance(constant, float):
            bounded = min(max(constant, float(LEAST) - 4096.0), float(END))
            low, high = math.ceil(bounded), math.floor(bounded) + 1
        case "int":
            low, high = int(constant), int(constant) + 1
        case _:
            low, high = -(-constant.ns // 1000), constant.ns // 1000 + 1
    return min(max(low, LEAST), END), min(max(high, LEAST), END)


def _all_comparable(values: list[Any], type_: Type) -> bool:
    wanted = _CONSTANTS.get(type_.kind, ())
    return all(isinstance(v, wanted) and not isinstance(v, bool) for v in values)
