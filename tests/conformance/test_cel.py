"""The public conformance tests of CEL (google/cel-spec, tiers 1 and 2), read from ../shared where it is present.

cel_not_supported.txt names the tests of what this project leaves out, a reason per group; it must be exact: a listed test that
passes is a failure too.
"""

from __future__ import annotations

import base64
import json
import math
from pathlib import Path
from typing import Any

import pytest

from nba_engine.errors import RuleError
from nba_engine.rules.checking import check
from nba_engine.rules.evaluating import evaluate_expression
from nba_engine.rules.parsing import parse
from nba_engine.rules.times import read_duration, read_timestamp
from nba_engine.rules.values import TypeName, UInt, to_python
from nba_engine.schema import Type, parse_type

TABLE = Path(__file__).resolve().parents[3] / "shared" / "conformance" / "cel.json"
LEFT_OUT = Path(__file__).with_name("cel_not_supported.txt")

if not TABLE.exists():
    reason = "the table of CEL's conformance tests is not part of this repository: ../shared/conformance/cel.json is not beside this checkout"
    print(f"skipping the CEL conformance tests: {reason}")
    pytest.skip(reason, allow_module_level=True)


def load() -> list[dict[str, Any]]:
    tests = json.loads(TABLE.read_text(encoding="utf-8"))["tests"]
    return [test for test in tests if test["tier"] in (1, 2)]


def name_of(test: dict[str, Any]) -> str:
    return f"{test['file']}/{test['section']}/{test['name']}"


def listed() -> list[str]:
    lines = LEFT_OUT.read_text(encoding="utf-8").splitlines()
    return [line for line in lines if line and not line.startswith("#")]


def python_value(tagged: dict[str, Any]) -> Any:
    """A tagged value of the table as the Python value that `evaluate_expression` takes and gives."""
    ((tag, value),) = tagged.items()
    match tag:
        case "uint":
            return UInt(int(value))
        case "double":
            return float(value)
        case "bytes":
            return base64.b64decode(value)
        case "list":
            return [python_value(item) for item in value]
        case "map":
            return {python_value(key): python_value(item) for key, item in value}
        case "timestamp":
            return to_python(read_timestamp(value))
        case "duration":
            return to_python(read_duration(value))
        case "type":
            return TypeName(value)
        case _:
            return value


def same(a: Any, b: Any) -> bool:
    """Equal in value and type, signs of zero and NaN included."""
    if type(a) is not type(b):
        return False
    if isinstance(a, list):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, dict):
        return len(a) == len(b) and all(any(same(k, m) and same(v, w) for m, w in b.items()) for k, v in a.items())
    if isinstance(a, float):
        return (math.isnan(a) and math.isnan(b)) or (a == b and math.copysign(1, a) == math.copysign(1, b))
    return bool(a == b)


def fault(test: dict[str, Any]) -> str:
    """Why the test fails, or an empty text."""
    if test.get("check_only"):
        return type_fault(test)
    variables = {name: python_value(value) for name, value in test.get("bindings", {}).items()}
    try:
        value = evaluate_expression(test["expr"], variables, types=test.get("types"), container=test.get("container", ""))
    except RuleError as error:
        return "" if "error" in test else f"{test['expr']} raises {error.problem}"
    if "error" in test:
        return f"{test['expr']} is {value!r} and should be an error"
    if not same(value, python_value(test["value"])):
        return f"{test['expr']} is {value!r} and should be {test['value']}"
    return type_fault(test) if "result_type" in test else ""


def type_fault(test: dict[str, Any]) -> str:
    facts: dict[str, Type] = {name: parse_type(type_) for name, type_ in test.get("types", {}).items()}
    try:
        found = check(parse(test["expr"]), facts, test["expr"]).type
        needed = parse_type(test["result_type"])
    except (RuleError, ValueError) as error:
        return f"{test['expr']}: {error}"
    return "" if found == needed else f"{test['expr']} has type {found} and should have {needed}"


TESTS = load()


@pytest.mark.parametrize("tier", [1, 2])
def test_every_supported_expression_has_the_value_of_the_standard(tier: int) -> None:
    left_out = set(listed())
    chosen = [test for test in TESTS if test["tier"] == tier and name_of(test) not in left_out]
    faults = [f"{name_of(test)}: {why}" for test in chosen if (why := fault(test))]
    assert not faults, "\n".join(faults)


def test_tier_one_is_supported_without_exception() -> None:
    assert not set(listed()) & {name_of(test) for test in TESTS if test["tier"] == 1}


def test_the_list_of_what_is_left_out_is_exact() -> None:
    by_name: dict[str, list[dict[str, Any]]] = {}
    for test in TESTS:
        by_name.setdefault(name_of(test), []).append(test)
    names = listed()
    assert len(names) == len(set(names))
    assert [name for name in names if name not in by_name] == []
    assert [name for name in names if not any(fault(test) for test in by_name[name])] == []
