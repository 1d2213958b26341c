"""Rules in negation normal form: what must be definitely true, as And and Or over tests of single conditions.

Only "is it definitely true?" is asked of a rule, so negation is pushed to the leaves and each leaf keeps its sign: with unknown and error as
third values, `!(a && b)` is definitely true exactly where `!a` or `!b` is. Equal parts are one object, so that a formula is a graph whose size
is bounded by FORMULA_NODES_MAX, however often a condition is repeated.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from nba_engine.errors import CheckError
from nba_engine.rules.syntax import Call, Literal, Node
from nba_engine.schema import BOOL

FORMULA_NODES_MAX = 4096
"""Parts of one rule; nested conditionals double in negation, so a rule is refused before it costs too much."""


@dataclass(frozen=True, slots=True)
class Leaf:
    """`node` is definitely true (`positive`) or definitely false (not `positive`)."""

    node: Node
    positive: bool


@dataclass(frozen=True, slots=True)
class Formula:
    """All (`all_of`) or at least one of `parts` hold; no parts: constant truth or falsehood."""

    all_of: bool
    parts: tuple[Formula | Leaf, ...]


TRUE = Formula(True, ())
FALSE = Formula(False, ())


class Normalizer:
    """Rewrites checked boolean expressions; remembers what it has rewritten, so shared parts stay shared across rules.

    `leaf` makes the leaves, of a node and whether it must be true."""

    def __init__(self, leaf: Callable[[Node, bool], Leaf] = Leaf) -> None:
        self._leaf = leaf
        self._formulas: dict[tuple[Node, bool], Formula | Leaf] = {}

    def formula(self, node: Node, text: str = "") -> Formula | Leaf:
        """What must hold for `node` to be definitely true. Raises CheckError where that takes more than FORMULA_NODES_MAX parts."""
        before = len(self._formulas)
        return self._formula(node, True, text, before)

    def _formula(self, node: Node, positive: bool, text: str, before: int) -> Formula | Leaf:
        key = (node, positive)
        known = self._formulas.get(key)
        if known is not None:
            return known
        if len(self._formulas) - before > FORMULA_NODES_MAX:
            raise CheckError(f"the rule has more than {FORMULA_NODES_MAX} parts; split it into several rules", text)
        found = self._formulas[key] = self._rewritten(node, positive, text, before)
        return found

    def _rewritten(self, node: Node, positive: bool, text: str, before: int) -> Formula | Leaf:
        if isinstance(node, Literal) and node.type == BOOL:
            return TRUE if node.value is positive else FALSE
        if not isinstance(node, Call):
            return self._leaf(node, positive)

        def part(argument: Node, sign: bool) -> Formula | Leaf:
            return self._formula(argument, sign, text, before)

        match node.function:
            case "!_":
                return part(node.arguments[0], not positive)
            case "_&&_" | "_||_":
                return joined((node.function == "_&&_") == positive, [part(a, positive) for a in node.arguments])
            case "_?_:_":
                condition, then, otherwise = node.arguments
                return joined(False, [joined(True, [part(condition, True), part(then, positive)]),
                                      joined(True, [part(condition, False), part(otherwise, positive)])])
            case _:
                return self._leaf(node, positive)


def joined(all_of: bool, parts: list[Formula | Leaf]) -> Formula | Leaf:
    """The And (`all_of`) or Or of `parts`: flat, without repetition, constants folded."""
    flat: dict[Formula | Leaf, None] = {}
    for part in parts:
        if isinstance(part, Formula) and (part.all_of == all_of) and part.parts:
            flat.update(dict.fromkeys(part.parts))
        elif part == (TRUE if all_of else FALSE):
            continue
        elif part == (FALSE if all_of else TRUE):
            return part
        else:
            flat[part] = None
    if len(flat) == 1:
        return next(iter(flat))
    return Formula(all_of, tuple(flat))
