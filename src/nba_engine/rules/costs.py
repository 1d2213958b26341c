"""What the conditions of a rule that decisions cannot compile cost at worst, in the steps of limits.py, found from its text alone."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

from nba_engine.rules.functions import VARIADIC
from nba_engine.rules.limits import (
    CALL_STEPS, COMPARED_PER_STEP, COMPILED, CONVERTED_PER_STEP, EQUALITIES, FACT_ITEMS_MAX, FREE, ITEMS_MAX, LENGTH_PER_STEP, PATTERN_PER_STEP,
    STEPS_MAX, VALUE_LENGTH_MAX,
)  # fmt: skip
from nba_engine.rules.parsing import PARSED_MAX, parse
from nba_engine.rules.syntax import Call, Has, ListLiteral, Literal, Macro, Name, Node, Select, children, conditions_in, dotted_name, walk
from nba_engine.rules.texts import compiled_pattern


@lru_cache(maxsize=PARSED_MAX)
def costly_conditions(text: str, collections: frozenset[tuple[str, str]] = frozenset()) -> tuple[tuple[Node, int], ...]:
    """The conditions of a rule that the plain evaluator answers in decisions, and the steps each takes at worst, whatever the facts.

    `collections`: name and type of the facts that are lists, maps or of no declared type."""
    types = dict(collections)
    costly = (part for part in conditions_in(parse(text)) if not all(_is_compiled(inner, types) for inner in walk(part)))
    return tuple((part, min(STEPS_MAX + sum(1 for _ in walk(part)), _worst(part) + _steps_of_lists(part))) for part in costly)


def _is_compiled(part: Node, types: Mapping[str, str]) -> bool:
    """Whether the program of slots.py has an operation for it; of the conditions over lists only whether a list of texts holds a text."""
    if isinstance(part, Call) and part.function in EQUALITIES:
        lists = [argument for argument in part.arguments if types.get(dotted_name(argument) or "")]
        return not lists or (types[dotted_name(lists[0]) or ""] == "list<string>" and isinstance(part.arguments[0], Literal))
    return isinstance(part, Literal | Name | Select | Has | ListLiteral) or (isinstance(part, Call) and part.function in COMPILED)


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
