"""Single conditions over one slot, and the cells into which a slot's values fall.

The constants that conditions compare a slot with cut its values into cells: below the first, equal to it, between it and the next, and so
on. Every condition is then a set of cells, and all that a decision needs to know of a slot is the number of its cell. Texts are cut by their codes,
of which only equality means anything; bools at true; doubles by integers in the same order (`ordered`), so that one search serves all.
Cells 0, 1, 2 are: no value (missing, unknown, error), null, NaN.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from nba_engine.rules.normal import Leaf
from nba_engine.rules.slots import NUMERIC_KINDS, Slots, constant_of
from nba_engine.rules.syntax import Call, Has, Literal, Node
from nba_engine.rules.values import Duration, Timestamp
from nba_engine.schema import BOOL, DOUBLE, STRING, Type

NO_VALUE, IS_NULL, IS_NAN, FIRST_CELL = 0, 1, 2, 3
_RELATIONS = {"_<_": (-1,), "_<=_": (-1, 0), "_==_": (0,), "_>=_": (0, 1), "_>_": (1,), "_!=_": (-1, 1)}
_TURNED = {"_<_": "_>_", "_<=_": "_>=_", "_>_": "_<_", "_>=_": "_<=_"}


@dataclass(frozen=True, slots=True)
class Test:
    """A condition on one slot. `relation`: a CEL comparison, `in`, `null`, `given` or `true`; `positive` False asks for definite falsehood."""

    slot: int
    relation: str
    constants: tuple[Any, ...]
    positive: bool


def test_of(leaf: Leaf, slots: Slots, types: Mapping[int, Type]) -> Test:
    """The test that decides `leaf`; slots are made as needed. What is not a comparison with a constant becomes a slot that holds a bool."""
    node, positive = leaf.node, leaf.positive
    if isinstance(node, Has) and (column := slots.column_of(node.operand)) is not None:
        return Test(column, "given", (), positive)
    if isinstance(node, Call) and len(node.arguments) == 2:
        left, right = node.arguments
        if node.function in _RELATIONS:
            found = _comparison(node.function, left, right, positive, slots, types)
            found = found or _comparison(_TURNED.get(node.function, node.function), right, left, positive, slots, types)
            if found is not None:
                return found
        elif node.function == "@in":
            values = constant_of(right)
            if isinstance(values, list) and _is_divided(left, slots, types) and _all_comparable(values, types[id(left)]):
                return Test(slots.slot(left, types), "in", tuple(values), positive)
    return Test(slots.slot(node, types), "true", (), positive)


def _comparison(function: str, left: Node, right: Node, positive: bool, slots: Slots, types: Mapping[int, Type]) -> Test | None:
    if isinstance(right, Literal) and right.value is None:
        column = slots.column_of(left)
        if column is None or function not in ("_==_", "_!=_"):
            return None
        return Test(column, "null", (), positive == (function == "_==_"))
    constant = constant_of(right)
    if constant is None or not _is_divided(left, slots, types):
        return None
    if types[id(left)] == BOOL and isinstance(constant, bool) and function in ("_==_", "_!=_"):
        return Test(slots.slot(left, types), "true", (), positive == (constant == (function == "_==_")))
    if types[id(left)] == STRING and function not in ("_==_", "_!=_"):
        return None
    return Test(slots.slot(left, types), function, (constant,), positive) if _all_comparable([constant], types[id(left)]) else None


def _is_divided(node: Node, slots: Slots, types: Mapping[int, Type]) -> bool:
    """Whether constants can cut the values of `node` into cells: numbers, times, bools, and facts that are texts."""
    kind = types[id(node)].kind
    return kind in (*NUMERIC_KINDS, "bool") or (kind == "string" and slots.column_of(node) is not None)


def _all_comparable(values: list[Any], type_: Type) -> bool:
    wanted = {"int": (int, float), "double": (int, float), "string": (str,), "timestamp": (Timestamp,), "duration": (Duration,)}
    return all(isinstance(v, wanted.get(type_.kind, ())) and not isinstance(v, bool) for v in values)


def ordered(values: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
    """Doubles as int64 in the same order (-0.0 must be +0.0, NaN has no place): the bits, with those of negative numbers turned round."""
    bits = np.asarray(values, np.float64).view(np.int64)
    return bits ^ ((bits >> 63) & np.int64(2**63 - 1))


@dataclass(slots=True)
class Cells:
    """The cells of one slot: `cuts` are the sorted constants in the slot's own form (a bool is cut at true, a text by its code)."""

    type: Type
    cuts: list[Any]

    @property
    def n(self) -> int:
        return FIRST_CELL + 2 * len(self.cuts) + 1

    def mask(self, test: Test, cuts: Sequence[Any], position: Mapping[Any, int]) -> npt.NDArray[np.bool_]:
        """bool[n]: the cells in which `test` is definitely satisfied; `cuts` stand for its constants and have a `position` among all cuts."""
        cells = np.zeros(self.n, bool)
        match test.relation:
            case "given":
                cells[IS_NAN:] = True
                return cells if test.positive else ~cells
            case "null":
                cells[IS_NULL if test.positive else slice(IS_NAN, None)] = True
                return cells
            case "true":
                cells[FIRST_CELL + test.positive] = True
                return cells
        truth = np.zeros(self.n, bool)
        relation = "_==_" if test.relation == "in" else test.relation
        for constant, cut in zip(test.constants, cuts, strict=True):
            truth |= self._truth(relation, constant, cut, position)
        cells[IS_NAN:] = truth[IS_NAN:] if test.positive else ~truth[IS_NAN:]
        cells[IS_NAN] &= self.type == DOUBLE
        return cells

    def _truth(self, relation: str, constant: Any, cut: Any, position: Mapping[Any, int]) -> npt.NDArray[np.bool_]:
        truth = np.zeros(self.n, bool)
        truth[IS_NAN] = relation == "_!=_"
        if cut is None:
            truth[FIRST_CELL:] = relation == "_!=_"
            return truth
        signs = np.ones(self.n - FIRST_CELL, np.int64)
        at = 2 * position[cut] + 1
        signs[:at] = -1
        signs[at] = 0 if self.type == STRING else _sign(cut, constant)
        truth[FIRST_CELL:] = np.isin(signs, _RELATIONS[relation])
        return truth


def cut_of(constant: Any, type_: Type) -> Any:
    """The value of the slot's type next to `constant`: everything below it is below the constant, everything above it above. None for NaN."""
    if constant != constant:
        return None
    match type_.kind:
        case "int":
            if isinstance(constant, float):
                return -(2**63) if constant < -(2.0**63) else 2**63 - 1 if constant >= 2.0**63 else int(constant // 1)
            return int(constant)
        case "double":
            return float(constant) + 0.0
        case _:
            return constant.ns // 1000


def _sign(cut: Any, constant: Any) -> int:
    """The exact order of a cut and the constant that it stands for."""
    if isinstance(constant, Timestamp | Duration):
        cut, constant = cut * 1000, constant.ns
    return (cut > constant) - (cut < constant)
