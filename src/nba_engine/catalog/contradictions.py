"""Whether rules can all be true of one subject at once, by reasoning about one fact at a time.

A fact starts with all that its type can hold; every comparison with a constant narrows what it may still be, and where nothing is left, the rules
contradict each other. Conditions without facts are worked out. Between facts nothing is concluded, so what is called contradictory is so, and what
is not may still be. What NaN fulfils too, such as `!(bill < 90.0)`, counts once another comparison says that the fact is a number.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from nba_engine import schema
from nba_engine.rules.deciding import facts_in
from nba_engine.rules.normal import Formula, Leaf, Normalizer
from nba_engine.rules.slots import constant_of, dotted_name, names_in
from nba_engine.rules.syntax import NULL, Call, Has, ListLiteral, Literal, Macro, Node, walk
from nba_engine.rules.values import INT_MAX, INT_MIN, UINT_MAX, order_key

_TURNED = {"_<_": "_>_", "_<=_": "_>=_", "_>_": "_<_", "_>=_": "_<=_", "_==_": "_==_", "_!=_": "_!=_"}
_NEGATED = {"_<_": "_>=_", "_<=_": "_>_", "_>_": "_<=_", "_>=_": "_<_", "_==_": "_!=_", "_!=_": "_==_"}
_ORDERS = ("_<_", "_<=_", "_>_", "_>=_")
_RANGE_LISTED_MAX = 64
_SIZE = "size("
_LIMITS = {"int": (INT_MIN, False, INT_MAX, False), "uint": (0, False, UINT_MAX, False), "bool": (None, False, None, False, frozenset((False, True)))}
"""Lower and upper end of what a type can hold, and whether they are left out; then all that it can hold."""


@dataclass(frozen=True, slots=True)
class Domain:
    """What one fact may still be. `given`: True where it must have a value, False where it must have none; `rules` narrowed it so far."""

    lower: Any = None
    lower_open: bool = False
    upper: Any = None
    upper_open: bool = False
    allowed: frozenset[Any] | None = None
    excluded: frozenset[Any] = frozenset()
    given: bool | None = None
    rules: tuple[str, ...] = ()

    def is_empty(self, whole: bool) -> bool:
        """Whether no value is left; `whole` where only whole numbers count."""
        if self.given is False:
            return False
        if self.allowed is not None:
            return not any(self._holds(value) and not (whole and isinstance(value, float) and not value.is_integer()) for value in self.allowed)
        if self.lower is None or self.upper is None:
            return False
        if not whole or not (math.isfinite(self.lower) and math.isfinite(self.upper)):
            return self.lower > self.upper or (self.lower == self.upper and (self.lower_open or self.upper_open or self.lower in self.excluded))
        first = math.floor(self.lower) + 1 if self.lower_open else math.ceil(self.lower)
        last = math.ceil(self.upper) - 1 if self.upper_open else math.floor(self.upper)
        return last < first or (last - first < _RANGE_LISTED_MAX and all(n in self.excluded for n in range(first, last + 1)))

    def _holds(self, value: Any) -> bool:
        if value in self.excluded:
            return False
        above = self.lower is None or value > self.lower or (value == self.lower and not self.lower_open)
        return above and (self.upper is None or value < self.upper or (value == self.upper and not self.upper_open))


@dataclass(slots=True)
class Possible:
    """What may still be true after some rules: a domain per fact, and the sign of each condition that is no comparison with a constant."""

    types: Mapping[str, schema.Type]
    domains: dict[str, Domain] = field(default_factory=dict)
    signs: dict[Node, tuple[bool, str]] = field(default_factory=dict)
    of_numbers: list[tuple[str, str, Any, str]] = field(default_factory=list)
    """Fact, relation, constant and rule of what narrows a fact only where it is not NaN."""

    def copy(self) -> Possible:
        return Possible(self.types, dict(self.domains), dict(self.signs), list(self.of_numbers))

    def fix(self, name: str, values: Iterable[Any]) -> None:
        """Say from outside what a fact can be."""
        self.domains[name] = Domain(allowed=frozenset(values), given=True)

    def cause(self, rules: Sequence[tuple[str, Formula | Leaf]]) -> tuple[str, ...] | None:
        """As `contradiction`, but adding nothing, and naming only rules without which the others might hold.

        Cost: that of `contradiction` once more for each that is named."""
        named = self.copy().contradiction(rules)
        kept = [rule for rule in rules if rule[0] in (named or ())]
        for name in named or ():
            others = [rule for rule in kept if rule[0] != name]
            if others and self.copy().contradiction(others) is not None:
                kept = others
        return None if named is None else tuple(name for name in named if any(name == rule for rule, _ in kept))

    def contradiction(self, rules: Iterable[tuple[str, Formula | Leaf]]) -> tuple[str, ...] | None:
        """Add the rules (name and normal form); the names of those that cannot hold together, or None. Cost: O(conditions)."""
        waiting: list[tuple[str, Formula]] = []
        stack = list(rules)[::-1]
        while stack:
            rule, part = stack.pop()
            if isinstance(part, Formula) and part.all_of:
                stack += [(rule, inner) for inner in reversed(part.parts)]
            elif isinstance(part, Formula):
                waiting.append((rule, part))
            elif (clash := self._add(part, rule)) is not None:
                return clash
        for name, relation, constant, rule in self.of_numbers:
            if self._is_number(name) and (clash := self._narrow(name, relation, constant, rule)) is not None:
                return clash
        for rule, either in waiting:
            clashes = [self.copy().contradiction([(rule, part)]) for part in either.parts]
            if all(clash is not None for clash in clashes):
                return tuple(dict.fromkeys([name for clash in clashes for name in clash or ()] or [rule]))
        return None

    def _add(self, leaf: Leaf, rule: str) -> tuple[str, ...] | None:
        sign, before = self.signs.setdefault(leaf.node, (leaf.positive, rule))
        if sign != leaf.positive:
            return tuple(dict.fromkeys((before, rule)))
        if _settled(leaf.node, self.types) is (not leaf.positive):
            return (rule,)
        narrowed = _narrowing(leaf, self.types)
        if narrowed is None:
            return None
        name, relation, constant = narrowed
        if "." in name and not name.startswith(_SIZE) and (relation, constant) != ("given", False):  # whose field has a value has one itself
            parts = name.split(".")
            for n in range(1, len(parts)):
                if (clash := self._narrow(".".join(parts[:n]), "given", True, rule)) is not None:
                    return clash
        if not leaf.positive and relation in _ORDERS and _kind(name, self.types) == "double":
            self.of_numbers.append((name, relation, constant, rule))
            relation, constant = "given", True
        return self._narrow(name, relation, constant, rule)

    def _is_number(self, name: str) -> bool:
        domain = self.domains.get(name)
        return domain is not None and not (domain.lower is None and domain.upper is None and domain.allowed is None)

    def _narrow(self, name: str, relation: str, constant: Any, rule: str) -> tuple[str, ...] | None:
        old = self.domains.get(name) or Domain(*_LIMITS.get(_kind(name, self.types) or "", ()))
        try:
            new = _narrow(old, relation, constant, rule)
            empty = new.is_empty(_kind(name, self.types) in ("int", "uint"))
        except TypeError:  # constants of kinds that have no common order
            return None
        if empty or old.given not in (None, new.given):
            return new.rules
        self.domains[name] = new
        return None


def implies(types: Mapping[str, schema.Type], given: Iterable[Node], rule: Node) -> bool:
    """Whether `rule` certainly is true, not merely not false, where all of `given` are.

    That takes that no fact is left unknown: those of `given` that are true only of facts that have values must read the facts of `rule`.
    """
    given = [part for node in given for part in _conjuncts(node)]
    if not _read(rule) <= {name for node in given if _needs_values(node) for name in _read(node)}:
        return False
    normalizer = Normalizer()
    held = [normalizer.formula(node) for node in given]
    turned = [normalizer.formula(Call("!_", (part,))) for part in _conjuncts(rule)]
    return all(Possible(types).contradiction(("", formula) for formula in (*held, one)) is not None for one in turned)


def never_true(types: Mapping[str, schema.Type], node: Node) -> bool:
    """Whether `node` certainly is true of nobody."""
    return Possible(types).contradiction([("", Normalizer().formula(node))]) is not None


def never_false(types: Mapping[str, schema.Type], node: Node) -> bool:
    """Whether `node` certainly is false of nobody; of whom a fact is not known it may still be unknown."""
    return never_true(types, Call("!_", (node,)))


def _read(node: Node) -> set[str | None]:
    """The facts that `node` reads, a field for itself: that one of them has a value says nothing of the others."""
    return {dotted_name(fact) for fact in facts_in(node)}


def _conjuncts(node: Node) -> list[Node]:
    """What must hold for `node` to hold: the parts of an `&&`, or the node itself."""
    found, waiting = [], [node]
    while waiting:
        part = waiting.pop()
        if isinstance(part, Call) and part.function == "_&&_":
            waiting += part.arguments
        else:
            found.append(part)
    return found


def _needs_values(node: Node) -> bool:
    """Whether a true `node` proves that all its facts have values."""
    for part in walk(node):
        loose = isinstance(part, Call) and part.function in ("_||_", "_?_:_") and len({frozenset(names_in(a)) for a in part.arguments}) > 1
        if loose or isinstance(part, Has | Macro) or part == NULL:
            return False
    return True


def _settled(node: Node, types: Mapping[str, schema.Type]) -> bool | None:
    """What a condition is of everybody whose facts are known: one without facts, or a fact beside itself; None where that depends."""
    if isinstance(node, Call) and node.function in _TURNED and (name := dotted_name(node.arguments[0])) and node.arguments[0] == node.arguments[1]:
        is_equality = node.function in ("_==_", "_<=_", "_>=_")
        never_nan = _kind(name, types) in ("bool", "string", "int", "uint", "timestamp", "duration")
        return is_equality if never_nan else False if node.function in ("_<_", "_>_") else None
    value = None if names_in(node) else constant_of(node)
    return value if isinstance(value, bool) else None


def _subject(node: Node) -> str | None:
    """The fact that a condition speaks of, or its size."""
    if isinstance(node, Call) and node.function == "size" and len(node.arguments) == 1:
        held = dotted_name(node.arguments[0])
        return None if held is None else f"{_SIZE}{held})"
    return dotted_name(node)


def _narrowing(leaf: Leaf, types: Mapping[str, schema.Type]) -> tuple[str, str, Any] | None:
    """Fact, relation and constant of a condition that speaks of one fact; None for any other. Relations are CEL's, `in`, `not in`, `given`."""
    node, positive = leaf.node, leaf.positive
    name = dotted_name(node)
    if name is not None and _kind(name, types) == "bool":
        return name, "_==_", positive
    if isinstance(node, Has):
        held = dotted_name(node.operand)
        return None if held is None else (held, "given", positive)
    if not isinstance(node, Call) or len(node.arguments) != 2:
        return None
    left, right = node.arguments
    name = _subject(left)
    if node.function == "@in" and name is not None and isinstance(right, ListLiteral):
        values = constant_of(right)
        hashable = isinstance(values, list) and all(isinstance(v, str | int | float) for v in values)
        kind = _kind(name, types) or ""
        return (name, "in" if positive else "not in", frozenset(order_key(v, kind) for v in values)) if hashable else None
    if node.function not in _TURNED:
        return None
    relation = node.function
    if name is None:
        left, right, relation = right, left, _TURNED[relation]
        name = _subject(left)
    kind = None if name is None else _kind(name, types)
    if name is None or kind is None or (kind in ("dyn", "list", "map", "struct") and right != NULL):
        return None
    return _comparison(name, relation, right, positive, kind)


def _comparison(name: str, relation: str, right: Node, positive: bool, kind: str | None) -> tuple[str, str, Any] | None:
    if isinstance(right, Literal) and right.type == schema.NULL:
        return (name, "given", (relation == "_!=_") == positive) if relation in ("_==_", "_!=_") else None
    constant = constant_of(right)
    if constant is None or constant != constant:
        return None
    relation = relation if positive else _NEGATED[relation]
    return name, relation, order_key(constant, kind or "")


def _narrow(domain: Domain, relation: str, constant: Any, rule: str) -> Domain:
    changes: dict[str, Any] = {"given": constant if relation == "given" else True}
    if rule not in domain.rules:
        changes["rules"] = (*domain.rules, rule)
    if relation in ("_==_", "in"):
        values = constant if relation == "in" else frozenset((constant,))
        changes["allowed"] = values if domain.allowed is None else domain.allowed & values
    elif relation in ("_!=_", "not in"):
        changes["excluded"] = domain.excluded | (constant if relation == "not in" else {constant})
    elif relation in ("_>_", "_>=_"):
        is_open = relation == "_>_"
        if domain.lower is None or constant > domain.lower or (constant == domain.lower and is_open):
            changes |= {"lower": constant, "lower_open": is_open}
    elif relation in ("_<_", "_<=_"):
        is_open = relation == "_<_"
        if domain.upper is None or constant < domain.upper or (constant == domain.upper and is_open):
            changes |= {"upper": constant, "upper_open": is_open}
    return replace(domain, **changes)


def _kind(name: str, types: Mapping[str, schema.Type]) -> str | None:
    if name.startswith(_SIZE):
        return "uint"
    first, *fields = name.split(".")
    type_ = types.get(first)
    for part in fields:
        type_ = dict(type_.fields).get(part) if type_ is not None else None
    return None if type_ is None else type_.kind
