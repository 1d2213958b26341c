"""How much a rule may cost where the plain evaluator answers it, by name. What its text may be stands in parsing.py, its cost at worst in costs.py.

One step is one part of a rule evaluated once, and one more a call; functions over texts and lists take more, by their sizes. The units are chosen
so that a step takes about a microsecond at worst (`python -m benchmarks.bench_limits` measures the slowest of each kind). Whatever is beyond a limit
is an error, which a rule treats as unknown: no fact, however long, makes a decision slow or makes it fail.
"""

from __future__ import annotations

from typing import Any

from nba_engine.rules.texts import compiled_pattern
from nba_engine.rules.values import EvaluationError

STEPS_MAX = 5_000
"""Steps of one rule on one customer's facts."""
CATALOG_STEPS_MAX = 1_500_000
"""Steps of all distinct conditions of a catalog that are not compiled, each at its worst: four hundred that may take STEPS_MAX."""
ITEMS_MAX = 1_000
"""Items of a list or map that a macro goes through."""
FACT_ITEMS_MAX = 5_000
"""Items of a list or map that such a condition reads or compares, those of the lists inside it counted."""
VALUE_LENGTH_MAX = 10_000
"""Characters of a text that a function takes or makes, items of a list that `+` makes."""

LENGTH_PER_STEP, CONVERTED_PER_STEP, COMPARED_PER_STEP, PATTERN_PER_STEP, CALL_STEPS = 200, 4, 2, 100, 1
EQUALITIES = ("_==_", "_!=_", "@in")
FREE = ("size", "_[_]", "type", "dyn", "_<_", "_<=_", "_>_", "_>=_")
COMPILED = frozenset(("!_", "_&&_", "_||_", "_?_:_", "_==_", "_!=_", "_<_", "_<=_", "_>_", "_>=_", "_+_", "_-_", "_*_", "_/_", "_%_", "-_", "@in",
                       "double", "int", "duration", "timestamp"))  # fmt: skip


def too_costly() -> EvaluationError:
    return EvaluationError(f"the rule takes more than STEPS_MAX = {STEPS_MAX} steps on these facts; let it go through shorter lists or texts")


def steps_of_fact(value: Any) -> int:
    """Steps that reading a fact takes; EvaluationError where it holds more than FACT_ITEMS_MAX items."""
    return 0 if type(value) not in (list, tuple, dict) else _n_items(value) // CONVERTED_PER_STEP


def steps_of_call(function: str, values: list[Any]) -> int:
    """Steps of a strict function on these CEL values, before it runs; EvaluationError where one is beyond a limit."""
    steps = CALL_STEPS
    if function in FREE:
        return steps
    for value in values:
        kind = type(value)
        if kind is str or kind is bytes or (kind is list and function == "_+_"):
            if len(value) > VALUE_LENGTH_MAX and function not in EQUALITIES:
                raise EvaluationError(f"a value of length {len(value)}; functions take at most VALUE_LENGTH_MAX = {VALUE_LENGTH_MAX}")
            steps += len(value) // LENGTH_PER_STEP
        elif kind is list or kind is dict:
            steps += _n_items(value) // COMPARED_PER_STEP
    if function == "matches":
        steps += len(values[0]) * compiled_pattern(values[1]).programsize // PATTERN_PER_STEP
    elif function in ("replace", "join", "_+_"):
        _check_made(function, values)
    return steps


def _n_items(value: Any) -> int:
    """Items at all depths, as far as there are at most FACT_ITEMS_MAX."""
    n, waiting = 0, [value]
    while waiting:
        inner = waiting.pop()
        n += len(inner)
        if n > FACT_ITEMS_MAX:
            raise EvaluationError(f"a list or map of more than FACT_ITEMS_MAX = {FACT_ITEMS_MAX} items; give fewer")
        first = inner if isinstance(inner, list | tuple) else inner.values()
        waiting += [item for item in first if type(item) in (list, tuple, dict)]
    return n


def _check_made(function: str, values: list[Any]) -> None:
    match function, values:
        case "replace", [str() as text, str() as old, str() as new, *_]:
            length = len(text) + (text.count(old) * (len(new) - len(old)) if len(new) > len(old) else 0)
        case "join", [items, *separator]:
            length = sum(len(item) for item in items if type(item) is str) + len(items) * sum(map(len, separator))
        case _, [str() | bytes() | list() as left, str() | bytes() | list() as right]:
            length = len(left) + len(right)
        case _:
            return
    if length > VALUE_LENGTH_MAX:
        raise EvaluationError(f"{function.strip('_')} would make a value of length {length}; VALUE_LENGTH_MAX is {VALUE_LENGTH_MAX}")
