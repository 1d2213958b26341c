"""nba.evaluate beside cel-expr-python, the C++ library of the CEL project, on thousands of generated expressions.

Left out is what is ours alone: `has` of a bare name and unknown facts. Every fact has a value; what one side calls an error, the other must. Facts
are dyn to that library, as `nba.evaluate` checks nothing statically; what its checker refuses all the same (a literal compared with one of another
type) is counted.
"""

from __future__ import annotations

import math
import random
import re
from datetime import timedelta
from typing import Any

import pytest

import nba_engine as nba
from nba_engine.schema import Type
from tests import expressions

pytest.importorskip("cel_expr_python", reason="cel-expr-python is not installed (extra peers)")
from cel_expr_python import cel  # noqa: E402
from cel_expr_python.ext import ext_math, ext_strings  # noqa: E402

N_EXPRESSIONS, N_ROWS = 1_200, 4


def cel_type(type_: Type) -> Any:
    """Times must be declared: as dyn the library does not take datetime and timedelta in."""
    return getattr(cel.Type, type_.kind.upper()) if type_.kind in ("timestamp", "duration") else cel.Type.DYN


def theirs(expression: Any, row: dict[str, Any]) -> tuple[str, Any]:
    """Kind and value; an error has no value."""
    found = expression.eval(data=row)
    kind = str(found.type()).split("<")[0].lower()
    return kind, None if kind == "error" else found.plain_value()


def ours(text: str, row: dict[str, Any]) -> tuple[str, Any]:
    try:
        value = nba.evaluate(text, row)
    except nba.RuleError:
        return "error", None
    kinds = {bool: "bool", int: "int", float: "double", str: "string", list: "list", dict: "map", nba.UInt: "uint", timedelta: "duration"}
    return kinds.get(type(value), "timestamp"), value


def same(a: Any, b: Any) -> bool:
    if isinstance(a, float) and isinstance(b, float):
        return a == b or (math.isnan(a) and math.isnan(b))
    return bool(a == b)


@pytest.mark.parametrize("seed", range(2))
def test_generated_expressions_have_the_value_that_the_library_of_the_standard_gives(seed: int) -> None:
    rng = random.Random(seed)
    facts = {**expressions.FACTS, "now": Type("timestamp"), "channel": Type("string"), "direction": Type("string")}
    environment = cel.NewEnv(variables={name: cel_type(type_) for name, type_ in facts.items()},
                             extensions=[ext_strings.ExtStrings(), ext_math.ExtMath()])
    rows = [expressions.row(rng, expressions.FACTS, p_null=0.0, p_missing=0.0) for _ in range(N_ROWS)]
    different, n_compared, n_refused = [], 0, 0
    while n_compared < N_EXPRESSIONS:
        make = rng.choice((expressions.boolean_rule, expressions.value_rule))
        text = make(rng, expressions.FACTS, depth=3)
        if re.search(r"has\(\w+\)", text):
            continue
        n_compared += 1
        try:
            compiled = environment.compile(text)
        except Exception as error:  # the library raises nothing narrower
            assert "found no matching overload" in str(error), text
            n_refused += 1
            continue
        for row in rows:
            (kind_a, a), (kind_b, b) = ours(text, row), theirs(compiled, row)
            if kind_a != kind_b or not same(a, b):
                different.append((text, (kind_a, a), (kind_b, b), row))
                break
    assert n_refused < 0.05 * n_compared
    assert not different, f"{len(different)} of {n_compared}; the first: {different[:3]}"
