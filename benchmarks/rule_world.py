"""Rules for measuring rules: any number of actions, five conditions each over 48 facts, with shared constants or constants of their own. Seeded.

A conjunction is five conditions on single facts. A general rule has as many, in Ors of two or three beside single ones, a tenth of them on two facts.
Every rule is written as conditions in CEL and Python (for peers, up to 10,000 actions) and built as syntax trees without parsing: reading half a
million texts is the parser's time, not what is measured here.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from typing import Any

from benchmarks.world import Condition, World
from nba_engine.rules.checking import Checked
from nba_engine.rules.syntax import Call, Literal, Name, Node
from nba_engine.schema import BOOL, DOUBLE, INT, STRING, Type

TYPES: dict[str, Type] = {f"f{i}": (INT, DOUBLE, INT, STRING, DOUBLE, BOOL)[i % 6] for i in range(48)}
NUMBERS = {type_: [name for name, own in TYPES.items() if own == type_] for type_ in (INT, DOUBLE)}
SHAPES = ((2, 1, 1, 1), (2, 2, 1), (3, 1, 1))
HIGHEST, N_SHARED = 1_000_000, 20
_SIGNS = {"<": "_<_", ">=": "_>=_", "!=": "_!=_"}

Part = tuple[Condition, Node, Mapping[int, Type]]


def customers(n: int) -> list[dict[str, Any]]:
    """Facts of `n` customers, every value given: the peers have no null."""
    r = random.Random(7)
    make = {INT: lambda: r.randint(0, HIGHEST), DOUBLE: lambda: r.uniform(0, HIGHEST), BOOL: lambda: r.random() < 0.5,
            STRING: lambda: f"s{r.randrange(8)}"}  # fmt: skip
    return [{name: make[type_]() for name, type_ in TYPES.items()} for _ in range(n)]


def rules(n: int, *, general: bool, shared: bool, seed: int = 2) -> Iterator[list[list[Part]]]:
    """`n` rules, each an And of clauses, each an Or of conditions."""
    r = random.Random(seed)
    for _ in range(n):
        yield [[_condition(r, shared, general) for _ in range(size)] for size in (r.choice(SHAPES) if general else (1,) * 5)]


def checked(clause: list[Part]) -> Checked:
    """A clause as a syntax tree with the types of its parts."""
    node, types = clause[0][1], dict(clause[0][2])
    for _, other, more in clause[1:]:
        node = Call("_||_", (node, other))
        types |= {**more, id(node): BOOL}
    return Checked(node, BOOL, types)


def world_of(made: list[list[list[Part]]]) -> World:
    """The same rules as the peers read them."""
    return World([[[part[0] for part in clause] for clause in rule] for rule in made], {})


def _condition(r: random.Random, shared: bool, general: bool) -> Part:
    name = r.choice(list(TYPES))
    type_, fact = TYPES[name], f"c[{name!r}]"
    if type_ == BOOL:
        node: Node = Name(name)
        return Condition(name, name, fact), node, {id(node): BOOL}
    if type_ == STRING:
        return _compared(name, fact, "!=", f"s{r.randrange(8)}", Name(name), STRING)
    sign = r.choice(("<", ">="))
    bound: Any = r.randrange(N_SHARED) * HIGHEST // N_SHARED if shared else r.randint(0, HIGHEST) if type_ == INT else r.uniform(0, HIGHEST)
    bound = float(bound) if type_ == DOUBLE else bound
    if general and r.random() < 0.1:
        other = NUMBERS[type_][(NUMBERS[type_].index(name) + 1) % len(NUMBERS[type_])]
        left, right = Name(name), Name(other)
        difference = Call("_-_", (left, right))
        condition, node, types = _compared(f"{name} - {other}", f"{fact} - c[{other!r}]", sign, bound, difference, type_)
        return condition, node, {**types, id(left): type_, id(right): type_}
    return _compared(name, fact, sign, bound, Name(name), type_)


def _compared(cel: str, python: str, sign: str, bound: Any, left: Node, type_: Type) -> Part:
    right = Literal(bound, type_)
    node = Call(_SIGNS[sign], (left, right))
    return Condition(cel, f"{cel} {sign} {bound!r}", f"{python} {sign} {bound!r}"), node, {id(node): BOOL, id(left): type_, id(right): type_}
