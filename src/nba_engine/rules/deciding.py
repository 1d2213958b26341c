"""Which parts of a rule decided its answer, and on which values: for people who ask why. Never on the decision path.

A part decides where the answer hangs on it: of an `&&` that is false every side that is false, of one that is unknown every side that is; of an `||`
that is not true every side that is not true; of `c ? a : b` the condition and the branch taken. `!` turns what is asked of the part below it.
Source: the three-valued logic of S. C. Kleene, 1938, in which CEL's `&&` and `||` absorb. Cost: one plain evaluation a level of the tree.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from nba_engine import schema
from nba_engine.rules import plain
from nba_engine.rules.slots import dotted_name
from nba_engine.rules.syntax import NULL, Call, ListLiteral, Literal, Macro, Name, Node, children, unparse
from nba_engine.rules.times import write_duration, write_timestamp
from nba_engine.rules.values import KINDS, UNKNOWN, Duration, ErrorValue, Timestamp

PARTS_SHOWN_MAX = 5
VALUE_SHOWN_CHARACTERS_MAX = 80


@dataclass(frozen=True, slots=True)
class Deciding:
    """One condition that decided: `value` is what it is (a bool, UNKNOWN or an ErrorValue), `positive` whether the rule wanted it true."""

    node: Node
    positive: bool
    value: Any


def deciding(node: Node, variables: Mapping[str, Any]) -> tuple[Deciding, ...]:
    """The conditions that decided why a rule is what it is, each once, in reading order; facts by name as in `plain.evaluate`, nullable."""
    found: dict[tuple[Node, bool], Deciding] = {}
    for part in _deciding(node, True, variables):
        found.setdefault((part.node, part.positive), part)
    return tuple(found.values())


def because(node: Node, variables: Mapping[str, Any]) -> str:
    """`monthly_bill < 90.0: monthly_bill is 104.5`: what decided, said with the values it saw; a fact not given or null is called so."""
    parts = deciding(node, variables)
    told = [_told(part, variables) for part in parts[:PARTS_SHOWN_MAX]]
    return "; ".join(told if len(parts) <= PARTS_SHOWN_MAX else [*told, f"and {len(parts) - PARTS_SHOWN_MAX} more"])


def fact_is(name: Node, variables: Mapping[str, Any]) -> str:
    """`age is 41`, `age is null` or `age was not given`."""
    value = plain.cel_value(name, variables, nullable=True)
    spelt = (dotted_name(name) or "").lstrip(".")
    return f"{spelt} was not given" if value is UNKNOWN else f"{spelt} is {shown(value)}"


def shown(value: Any) -> str:
    """A CEL value as a rule would spell it, cut where it is long."""
    text = unparse(_as_literal(value))
    return text if len(text) <= VALUE_SHOWN_CHARACTERS_MAX else f"{text[:VALUE_SHOWN_CHARACTERS_MAX]}..."


def facts_in(node: Node, bound: frozenset[str] = frozenset()) -> Iterator[Node]:
    """The facts that `node` reads, with their fields (`address.city`), without the variables of macros; each as often as it stands there."""
    name = dotted_name(node)
    if name is not None:
        if name.split(".")[0] not in bound:
            yield node
        return
    inner = bound | {node.variable, node.value_variable or node.variable} if isinstance(node, Macro) else bound
    for part in children(node):
        yield from facts_in(part, bound if isinstance(node, Macro) and part is node.range else inner)


def _deciding(node: Node, positive: bool, variables: Mapping[str, Any]) -> Iterator[Deciding]:
    value = plain.cel_value(node, variables, nullable=True)
    match node:
        case Call("!_", (inner,)):
            yield from _deciding(inner, not positive, variables)
        case Call("_&&_" | "_||_" as function, sides):
            values = [plain.cel_value(side, variables, nullable=True) for side in sides]
            for side, own in zip(sides, values, strict=True):
                if value is (function == "_&&_") or own is value or (type(value) is not bool and type(own) is not bool):
                    yield from _deciding(side, positive, variables)
        case Call("_?_:_", (condition, then, otherwise)):
            chosen = plain.cel_value(condition, variables, nullable=True)
            yield from _deciding(condition, True, variables)
            if type(chosen) is bool:
                yield from _deciding(then if chosen else otherwise, positive, variables)
        case _:
            yield Deciding(node, positive, UNKNOWN if value is None else value)


def _told(part: Deciding, variables: Mapping[str, Any]) -> str:
    text = unparse(part.node if part.positive else Call("!_", (part.node,)))
    said = [part.value.message] if isinstance(part.value, ErrorValue) else []
    seen = {dotted_name(name): fact_is(name, variables) for name in facts_in(part.node)}
    if part.value is UNKNOWN:  # what is known did not make it unknown
        seen = {name: told for name, told in seen.items() if told.endswith((" was not given", " is null"))} or seen
    said += [" and ".join(seen.values())] if seen else []
    return f"{text}: {'; '.join(said)}" if said else text


def _as_literal(value: Any) -> Node:
    """The node that spells a value; times are spelt as their text, maps without their quotes."""
    match value:
        case Timestamp():
            return Name(write_timestamp(value))
        case Duration():
            return Name(write_duration(value))
        case None:
            return NULL
        case list():
            return ListLiteral(tuple(map(_as_literal, value[:VALUE_SHOWN_CHARACTERS_MAX])))
        case dict():
            return Name("{" + ", ".join(f"{getattr(k, 'value', k)}: {unparse(_as_literal(v))}" for k, v in value.items()) + "}")
        case ErrorValue(message):
            return Name(f"an error, {message}")
        case _:
            return Literal(value, schema.SCALARS[KINDS[type(value)]])
