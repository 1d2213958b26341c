"""The fewest facts that would have to be different for some rules to hold, found from the constants that the rules compare facts with.

While a rule does not hold, one of the facts that it reads must change; which of a fact's values are worth trying follows from the cut points of
the conditions that read it: at each of them, below and above. Values that no condition can tell apart are tried once. Every answer holds by
the plain evaluator. Exact where each condition compares one fact with constants, with facts that may not change or with `now`, or asks of
a list whether it holds one of up to LIST_ITEMS_MAX constants; elsewhere (texts in order, sums over facts, patterns) an answer is still right, but a
smaller one may be missed.
Cost: on demand only; milliseconds for the rules of an action, O((facts x cut points)^CHANGED_FACTS_MAX) at worst.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import combinations
from typing import Any

from nba_engine.rules import plain
from nba_engine.rules.deciding import facts_in
from nba_engine.rules.slots import dotted_name
from nba_engine.rules.syntax import Call, Has, Literal, Node, conditions_in, walk
from nba_engine.rules.values import INT_MAX, INT_MIN, KINDS, TIMESTAMP_NS_MAX, TIMESTAMP_NS_MIN, UINT_MAX, UNKNOWN, Duration, Timestamp, UInt
from nba_engine.schema import Type

CHANGED_FACTS_MAX = 3
LIST_ITEMS_MAX = 6
_COMPARISONS = ("_<_", "_<=_", "_==_", "_!=_", "_>=_", "_>_")
_ORDERS = ("_<_", "_<=_", "_>=_", "_>_")
_STEP, _STEP_NS = 0.01, 10**9
_OTHER_TEXT = "another"

_SCALARS = ("bool", "int", "uint", "double", "string", "timestamp", "duration")


def is_changeable(type_: Type) -> bool:
    """Whether new values are thought of for facts of this type: scalars, and lists of them; not for maps, bytes and dyn."""
    return type_.kind in _SCALARS or (type_.kind == "list" and type_.parameters[0].kind in _SCALARS)


def smallest_change(rules: Sequence[Node], variables: Mapping[str, Any], changeable: Mapping[str, Type]) -> dict[str, Any] | None:
    """New values (CEL values, None for null) of the fewest facts with which every rule is true; empty where every rule is; None beyond
    CHANGED_FACTS_MAX. `changeable`: the facts that may change, with their fields (`address.city`), and their types."""
    search = _Search(rules, changeable)
    for n_facts in range(CHANGED_FACTS_MAX + 1):
        found = search.run(variables, n_facts, {})
        if found is not None:
            return found
    return None


def is_exact(rules: Sequence[Node], changeable: Mapping[str, Type], fixed: Collection[str]) -> bool:
    """Whether `smallest_change` misses nothing for these rules, as far as the kinds of their conditions say. `fixed`: the facts that stay."""
    conditions = dict.fromkeys(condition for rule in rules for condition in conditions_in(rule))
    asked = Counter(dotted_name(c.arguments[1]) for c in conditions if isinstance(c, Call) and c.function == "@in")
    return all(_is_exact(c, changeable, fixed) for c in conditions) and all(asked[name] <= LIST_ITEMS_MAX for name in asked if name is not None)


def _is_exact(condition: Node, changeable: Mapping[str, Type], fixed: Collection[str]) -> bool:
    free = [name for name in _names(condition) if name.split(".")[0] not in fixed]
    if not free:
        return True
    if len(free) > 1 or free[0] not in changeable:
        return False
    kind, name = changeable[free[0]].kind, free[0]
    if isinstance(condition, Has) or dotted_name(condition) is not None:
        return True
    if not isinstance(condition, Call) or len(condition.arguments) != 2:
        return False
    left, right = condition.arguments
    if kind == "list":
        is_null_test = condition.function in ("_==_", "_!=_") and any(isinstance(side, Literal) for side in (left, right))
        return is_null_test or (condition.function == "@in" and dotted_name(right) == name)
    known = ("@in",) if dotted_name(left) == name else ()
    is_alone = any(dotted_name(side) == name and name not in _names(other) for side, other in ((left, right), (right, left)))
    return is_alone and condition.function in (*known, "_==_", "_!=_", *(() if kind == "string" else _ORDERS))


class _Search:
    """Depth first, a fact of the first rule that does not hold at a time; what comes first in reading order and lies nearest is tried first."""

    def __init__(self, rules: Sequence[Node], changeable: Mapping[str, Type]) -> None:
        self._rules, self._types = rules, changeable
        self._names = [[n for n in _names(rule) if n in changeable] for rule in rules]
        self._conditions: dict[str, list[Node]] = {name: [] for name in changeable}
        self._alone: dict[Node, bool] = {}
        for condition in dict.fromkeys(condition for rule in rules for condition in conditions_in(rule)):
            names = [name for name in _names(condition) if name in changeable]
            self._alone[condition] = len(names) == 1
            for name in names:
                self._conditions[name].append(condition)

    def run(self, variables: Mapping[str, Any], n_facts: int, changed: dict[str, Any]) -> dict[str, Any] | None:
        failing = next((i for i, rule in enumerate(self._rules) if plain.cel_value(rule, variables, nullable=True) is not True), None)
        if failing is None or n_facts == 0:
            return changed if failing is None else None
        for name in self._names[failing]:
            if name not in changed:
                for value in self._values(name, variables):
                    found = self.run(_with(variables, name, value), n_facts - 1, {**changed, name: value})
                    if found is not None:
                        return found
        return None

    def _values(self, name: str, variables: Mapping[str, Any]) -> Iterator[Any]:
        """Values of a fact worth trying, nearest first: one of each set that its conditions cannot tell apart."""
        shared = not all(self._alone[condition] for condition in self._conditions[name])
        seen = set() if shared else {self._answers(name, variables)}
        for value in self._candidates(name, variables):
            changed = _with(variables, name, value)
            answers = (self._answers(name, changed), repr(value)) if shared else self._answers(name, changed)
            if answers not in seen:
                seen.add(answers)
                yield value

    def _answers(self, name: str, variables: Mapping[str, Any]) -> tuple[Any, ...]:
        values = (plain.cel_value(condition, variables, nullable=True) for condition in self._conditions[name])
        return tuple(value if isinstance(value, bool) else None for value in values)

    def _candidates(self, name: str, variables: Mapping[str, Any]) -> list[Any]:
        type_, current = self._types[name], _value_of(name, variables)
        constants = [c for condition in self._conditions[name] for c in _constants(condition, name, variables)]
        if type_.kind == "bool":
            return [True, False, None]
        if type_.kind == "string":
            texts = list(dict.fromkeys(c for c in constants if isinstance(c, str)))
            ordered = any(isinstance(part, Call) and part.function in _ORDERS for condition in self._conditions[name] for part in walk(condition))
            near = [text for c in texts for text in _texts_beside(c)] if ordered else []
            return [*texts, _OTHER_TEXT + "x" * max(map(len, ["", *texts])), "", *near, None]
        if type_.kind == "list":
            items = [c for c in constants if KINDS.get(type(c)) == type_.parameters[0].kind]
            return [*_lists(current if isinstance(current, list) else [], list(dict.fromkeys(items))), None]
        roots = [root for condition in self._conditions[name] for root in _roots(condition, name, type_.kind, variables)]
        numbers = [number for c in (*constants, *roots) if (number := _number(c)) is not None]
        found = [_typed(number, type_.kind) for number in _beside(numbers, type_.kind)]
        here = _number(current)
        if here is not None:
            found.sort(key=lambda value: abs(value_number - here) if (value_number := _number(value)) is not None else math.inf)
        return [*(value for value in found if value is not None), None]


def _names(node: Node) -> list[str]:
    return list(dict.fromkeys((dotted_name(name) or "").lstrip(".") for name in facts_in(node)))


def _value_of(name: str, variables: Mapping[str, Any]) -> Any:
    value: Any = variables
    for part in name.split("."):
        value = value.get(part, UNKNOWN) if isinstance(value, Mapping) else UNKNOWN
    return UNKNOWN if value is UNKNOWN else plain.from_python(value)


def _with(variables: Mapping[str, Any], name: str, value: Any) -> dict[str, Any]:
    first, *rest = name.split(".", 1)
    if not rest:
        return {**variables, first: value}
    inner = variables.get(first)
    return {**variables, first: _with(inner if isinstance(inner, Mapping) else {}, rest[0], value)}


def _constants(condition: Node, name: str, variables: Mapping[str, Any]) -> Iterator[Any]:
    """What `condition` compares the fact with, as the other facts stand: the other side, the items of a list, and every literal in it."""
    for part in walk(condition):
        if isinstance(part, Literal):
            yield part.value
        elif isinstance(part, Call) and len(part.arguments) == 2 and part.function in (*_COMPARISONS, "@in"):
            for side in part.arguments:
                if name not in _names(side):
                    value = plain.cel_value(side, variables, nullable=True)
                    yield from value if isinstance(value, list) else [value]


def _roots(condition: Node, name: str, kind: str, variables: Mapping[str, Any]) -> Iterator[float]:
    """Where both sides of a comparison are equal, if their difference is a straight line over the fact: `monthly_bill * 6.0 > 300.0`."""
    if kind not in ("int", "double") or not isinstance(condition, Call) or condition.function not in _COMPARISONS:
        return
    differences = []
    for x in (0, 1):
        changed = _with(variables, name, x if kind == "int" else float(x))
        sides = [plain.cel_value(side, changed, nullable=True) for side in condition.arguments]
        if not all(type(side) in (int, float) for side in sides):
            return
        differences.append(sides[0] - sides[1])
    slope = differences[1] - differences[0]
    if math.isfinite(slope) and slope != 0:
        yield -differences[0] / slope


def _number(value: Any) -> int | float | None:
    if isinstance(value, Timestamp | Duration):
        return value.ns
    usable = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    return value if usable else None


def _beside(numbers: list[int | float], kind: str) -> list[int | float]:
    """The cut points (0 where there are none), then just above and below each, closer than the next one."""
    cuts = sorted(set(numbers)) or [0]
    if kind in ("int", "uint"):
        whole = sorted({n for cut in cuts for n in (math.floor(cut), math.ceil(cut))})
        return [*whole, *(n + 1 for n in whole), *(n - 1 for n in whole)]
    step: int | float = _STEP if kind == "double" else _STEP_NS
    gaps = [(b - a) / 2 for a, b in zip(cuts, cuts[1:], strict=False)]
    step = min([step, *gaps]) if kind == "double" else max(int(min([step, *gaps])), 1000)
    if kind != "double":
        return [*cuts, *(cut + step for cut in cuts), *(cut - step for cut in cuts)]
    return [*cuts, *(_apart(cut, step) for cut in cuts), *(_apart(cut, -step) for cut in cuts)]


def _texts_beside(text: str) -> Iterator[str]:
    """One just above and, where its last character has one before it, one just below."""
    yield text + "a"
    if text and " " < text[-1] < "\ud800":
        yield text[:-1] + chr(ord(text[-1]) - 1) + "a"


def _apart(cut: float, step: float) -> float:
    """`cut + step`, short to write where that is still apart from the cut."""
    near = round(cut + step, 6)
    if near != cut and abs(near - cut) <= 1.5 * abs(step):
        return near
    return cut + step if cut + step != cut else math.nextafter(cut, math.copysign(math.inf, step))


def _typed(number: int | float, kind: str) -> Any:
    """The number as a value of the kind; None where the kind has none such."""
    match kind:
        case "int":
            return int(number) if INT_MIN <= number <= INT_MAX else None
        case "uint":
            return UInt(int(number)) if 0 <= number <= UINT_MAX else None
        case "double":
            return float(number)
        case _:
            ns = int(number) // 1000 * 1000
            if kind == "timestamp":
                return Timestamp(ns) if TIMESTAMP_NS_MIN <= ns <= TIMESTAMP_NS_MAX else None
            return Duration(ns) if INT_MIN <= ns <= INT_MAX else None


def _lists(current: list[Any], items: Sequence[Any]) -> Iterator[list[Any]]:
    """The list with some of the items put in or taken out, few first; where there are too many, one at a time, all or none of them."""
    sizes = range(1, len(items) + 1) if len(items) <= LIST_ITEMS_MAX else (1, len(items))
    for n in sizes:
        for turned in combinations(items, n):
            yield [*(item for item in current if item not in turned), *(item for item in turned if item not in current)]
    yield [*current, *(item for item in items if item not in current)]
    yield [item for item in current if item not in items]
    yield []
