"""What the conditions of a rule that decisions cannot compile cost at worst, in the steps of limits.py, found without any facts."""

from __future__ import annotations

from collections.abc import Mapping

from nba_engine.rules.functions import VARIADIC
from nba_engine.rules.limits import (
    CALL_STEPS, COMPARED_PER_STEP, COMPILED, CONVERTED_PER_STEP, EQUALITIES, FACT_ITEMS_MAX, FREE, ITEMS_MAX, LENGTH_PER_STEP, PATTERN_PER_STEP,
    STEPS_MAX, VALUE_LENGTH_MAX,
)  # fmt: skip
from nba_engine.rules.syntax import Call, Has, ListLiteral, Literal, Macro, Name, Node, Select, children, conditions_in, walk
from nba_engine.rules.texts import compiled_pattern
from nba_engine.schema import STRING, Type, list_of

_PROGRAM_KINDS = frozenset(("int", "double", "timestamp", "duration", "bool", "null"))


def costly_conditions(node: Node, types: Mapping[int, Type]) -> tuple[tuple[Node, int], ...]:
    """The conditions of a rule that the plain evaluator answers in decisions, and the steps each takes at worst, whatever the facts.

    `types`: the static types by id of the node."""
    costly = (part for part in conditions_in(node) if not all(_is_compiled(inner, types) for inner in walk(part)))
    return tuple((part, min(STEPS_MAX + sum(1 for _ in walk(part)), _worst(part) + _steps_of_lists(part))) for part in costly)


def _is_compiled(part: Node, types: Mapping[int, Type]) -> bool:
    """Whether the program of slots.py has an operation for it; of texts and lists it knows little more than whether one text is there."""
    if not isinstance(part, Call):
        return isinstance(part, Literal | Name | Select | Has | ListLiteral)
    kinds = [types[id(argument)].kind for argument in part.arguments]
    if _PROGRAM_KINDS.issuperset(kinds):
        return part.function in COMPILED
    if part.function in EQUALITIES:
        a, b = part.arguments
        if part.function == "@in" and isinstance(b, ListLiteral):
            return all(isinstance(item, Literal) for item in b.items) and (kinds[0] in _PROGRAM_KINDS or isinstance(a, Name | Select | Literal))
        listed = list_of(STRING) if part.function == "@in" else STRING
        return (isinstance(a, Literal) and types[id(b)] == listed) or (isinstance(b, Literal) and types[id(a)] == STRING)
    return part.function in COMPILED and len(kinds) == 1 and isinstance(part.arguments[0], Literal)  # duration('30d')


def _steps_of_lists(node: Node) -> int:
    """Of reading what stands where a list or map must stand: each is converted once."""
    places: list[Node] = []
    for part in walk(node):
        if isinstance(part, Macro):
            places.append(part.range)
        elif isinstance(part, Call) and part.function in (*EQUALITIES, *VARIADIC, "join"):
            places += part.arguments
    return len({place for place in places if isinstance(place, Name | Select)}) * FACT_ITEMS_MAX // CONVERTED_PER_STEP


def _worst(node: Node) -> int:
    if isinstance(node, Macro):
        n_items = len(node.range.items) if isinstance(node.range, ListLiteral) else ITEMS_MAX
        return 1 + _worst(node.range) + n_items * sum(_worst(part) for part in (node.condition, node.transform) if part is not None)
    steps = 1 + sum(map(_worst, children(node))) + (CALL_STEPS if isinstance(node, Call) else 0)
    if not isinstance(node, Call) or node.function in FREE:
        return steps
    if node.function in EQUALITIES:
        compared = node.arguments[1:] if node.function == "@in" and isinstance(node.arguments[0], Literal) else node.arguments
        is_scalar = any(isinstance(part, Literal) for part in compared)  # which no list equals, whatever its length
        return steps + (0 if is_scalar else sum(map(_n_compared, compared)) // COMPARED_PER_STEP)
    open_ended = [part for part in node.arguments if not isinstance(part, Literal | ListLiteral)]
    if node.function == "matches":
        pattern = node.arguments[-1]
        steps += VALUE_LENGTH_MAX * compiled_pattern(pattern.value).programsize // PATTERN_PER_STEP if isinstance(pattern, Literal) else STEPS_MAX
    if node.function in ("join", *VARIADIC):
        steps += FACT_ITEMS_MAX // COMPARED_PER_STEP
    return steps + len(open_ended) * VALUE_LENGTH_MAX // LENGTH_PER_STEP


def _n_compared(node: Node) -> int:
    return len(node.items) if isinstance(node, ListLiteral) else FACT_ITEMS_MAX
