"""What rules mean, by hand: the standard, the nullable mode of catalogs, and errors."""

from __future__ import annotations

import math
import random
import sys
from datetime import UTC, datetime, timedelta, timezone
from enum import Enum
from typing import Any

import numpy as np
import pytest

from nba_engine.errors import ParseError, RuleError
from nba_engine.rules import UNKNOWN, ErrorValue, UInt, check, evaluate, evaluate_expression, parse, unparse
from nba_engine.rules.parsing import DEPTH_MAX
from nba_engine.schema import BOOL, BUILT_IN_FACTS, DOUBLE, INT
from tests.expressions import FACTS, NOW, boolean_rule, row, rules_and_rows, value_rule

ERROR = "error"
FACT_TYPES = {**FACTS, **{fact.name: fact.type for fact in BUILT_IN_FACTS}}

GIVEN: dict[str, Any] = {
    "age": 41, "zero": 0, "bill": 59.5, "vip": True, "gone": None, "tariff": "fibre-plus", "products": ["fibre", "tv"], "empty": [],
    "address": {"city": "Bern", "zip": None}, "no_address": None, "limits": {"daily": 3}, "now": NOW, "end": NOW + timedelta(days=10),
}  # fmt: skip


def catalog_value(text: str) -> Any:
    value = evaluate(parse(text), GIVEN, nullable=True)
    return ERROR if isinstance(value, ErrorValue) else value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        # facts that are there
        ("age >= 18", True), ("age == 41.0", True), ("bill * 2.0", 119.0), ("tariff.startsWith('fibre') && 'tv' in products", True),
        ("end - now < duration('241h')", True), ("products.exists(p, p == 'tv')", True), ("products.all(p, size(p) == 2)", False),
        ("address.city", "Bern"), ("limits.daily + limits['daily']", 6), ("vip ? age : gone", 41),
        # null: seen by == null and != null only
        ("gone == null", True), ("null == gone", True), ("gone != null", False), ("age == null", False), ("age != null", True),
        ("gone == 3", UNKNOWN), ("gone != 3", UNKNOWN), ("gone == gone", UNKNOWN), ("gone < 3", UNKNOWN), ("gone + 1 == null", UNKNOWN),
        ("gone in [1, 2]", UNKNOWN), ("1 in [gone, 1]", UNKNOWN), ("gone", UNKNOWN), ("!gone", UNKNOWN), ("gone ? 1 : 2", UNKNOWN),
        ("size(gone)", UNKNOWN),
        ("gone.exists(x, true)", UNKNOWN), ("address.zip == null", True), ("address.zip == '3000'", UNKNOWN),
        ("(vip ? gone : age) == null", True),
        ("products.map(p, gone)", UNKNOWN), ("1 in [null, 1]", True),
        # not given: everything unknown, == null too
        ("missing == null", UNKNOWN), ("missing != null", UNKNOWN), ("missing > 3", UNKNOWN), ("address.street == 'x'", UNKNOWN),
        ("no_address.city == 'x'", UNKNOWN), ("no_address.city == null", UNKNOWN), ("missing.city == null", UNKNOWN),
        ("limits['weekly'] > 1", UNKNOWN),
        # has() is never unknown
        ("has(age)", True), ("has(gone)", False), ("has(missing)", False), ("has(address.city)", True), ("has(address.zip)", False),
        ("has(address.street)", False), ("has(no_address.city)", False), ("has(missing.city)", False), ("has(limits.weekly)", False),
        ("has(zero)", True),
        # three values in && and ||
        ("false && missing == 1", False), ("missing == 1 && false", False), ("true && missing == 1", UNKNOWN),
        ("true || missing == 1", True),
        ("missing == 1 || true", True), ("missing == 1 || false", UNKNOWN), ("!(missing == 1)", UNKNOWN),
        # errors give way to what decides, and to unknown
        ("1 / zero == 1", ERROR), ("false && 1 / zero == 1", False), ("1 / zero == 1 || true", True), ("true && 1 / zero == 1", ERROR),
        ("1 / zero == 1 && missing == 1", UNKNOWN), ("1 / zero == 1 || missing == 1", UNKNOWN), ("1 / zero + missing", UNKNOWN),
        ("1 / zero == 1 ? 1 : 2", ERROR),
        ("missing == 1 ? 1 / zero : 2", UNKNOWN), ("age > 0 ? 1 : 1 / zero", 1),
        # macros accumulate in the same way
        ("products.exists(p, p == 'tv' || missing == 1)", True), ("products.exists(p, missing == 1)", UNKNOWN),
        ("products.all(p, 1 / zero == 1)", ERROR),
        ("products.all(p, p == 'x' && missing == 1)", False), ("products.exists(p, p == 'tv' ? true : 1 / zero == 1)", True),
        ("empty.exists(p, missing == 1)", False), ("empty.all(p, missing == 1)", True), ("missing.all(p, true)", UNKNOWN),
        ("products.exists_one(p, p == 'tv')", True), ("products.exists_one(p, missing == 1 || p == 'tv')", UNKNOWN),
        ("size(products.filter(p, p != 'tv'))", 1), ("products.filter(p, missing == 1)", UNKNOWN),
    ],
)  # fmt: skip
def test_catalog_mode_by_hand(text: str, value: Any) -> None:
    found = catalog_value(text)
    assert (type(found), found) == (type(value), value)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("9007199254740993 > 9007199254740992.0", True), ("9007199254740993 == 9007199254740992.0", False),
        ("18446744073709551615u > 1.8446744073709552e19", False),
        ("9223372036854775807 == 9223372036854775808.0", True), ("-1 < 0u", True), ("3 == null", False), ("1 == 'a'", False),
        ("dyn(true) == 1", False),
        ("[1] == [1.0]", True), ("{1: 'a'} == {1u: 'a'}", True), ("size({true: 1, 1: 2, false: 3, 0: 4})", 4),
        ("{1: 'a', true: 'b'}[true]", "b"), ("1 in {true: 1}", False),
        ("7 / -2", -3), ("-7 % 2", -1), ("7u / 2u", UInt(3)), ("-0.0", -0.0), ("1.0 / 0.0", math.inf), ("-1.0 / 0.0", -math.inf),
        ("0.0 / 0.0 == 0.0 / 0.0", False), ("0.0 / 0.0 < 1.0", False), ("int('-7')", -7), ("double('1e3')", 1000.0), ("string(1e16)",
        "10000000000000000"),
        ("string(duration('1h30m') + duration('-1.5s'))", "5398.5s"), ("string(timestamp('2026-01-31T23:30:00+02:00'))",
        "2026-01-31T21:30:00Z"),
        ("timestamp('2026-11-22T09:30:00Z')", NOW), ("duration('1.5s')", timedelta(seconds=1.5)), ("type(1u)", "uint"),
        ("type(now) == google.protobuf.Timestamp", True),
        ("timestamp('2026-11-22T23:30:00Z').getDayOfWeek('Europe/Zurich')", 1), ("timestamp('2026-11-22T23:30:00Z').getDayOfWeek()", 0),
        ("timestamp('2026-07-01T00:00:00Z').getHours('Europe/Zurich')", 2), ("'x'.matches('^x$') && 'axb'.matches('x')", True),
        ("math.round(-2.5)", -3.0), ("math.greatest(1, 2.5, 2u)", 2.5), ("cel.bind(x, 2, x * x)", 4),
        ("[1, 2].transformList(i, v, i * v)", [0, 2]),
        ("{'a': 1}.transformMap(k, v, v + 1)", {"a": 2}), ("'a,b,c'.split(',', 2)", ["a", "b,c"]), ("b'\\xff' < b'\\xff\\x00'", True),
        ("'é'.size() + size(bytes('é'))", 3),
    ],
)  # fmt: skip
def test_the_standard_by_hand(text: str, value: Any) -> None:
    found = evaluate_expression(text, {"now": NOW})
    assert found == value
    assert math.copysign(1, found) == math.copysign(1, value) if isinstance(value, float) else type(found) in (type(value), type(found))


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("9223372036854775807 + 1", "overflow"), ("-(-9223372036854775807 - 1)", "overflow"), ("0u - 1u", "overflow"), ("1 / 0",
        "division by zero"),
        ("1 % 0", "modulus by zero"), ("int(1e19)", "out of the range"), ("uint(-1)", "out of the range"), ("int('1_0')",
        "not a whole number"),
        ("x", "unknown variable 'x'"), ("1 + 1.0", "not defined"), ("true + 1", "not defined"), ("f(1)", "unknown function 'f'"),
        ("1 && true", "not a condition"),
        ("'a' ? 1 : 2", "not a condition"), ("[1][1]", "out of range"), ("{'a': 1}.b", "no such key"), ("{1.0: 1}",
        "double cannot be a map key"),
        ("{1: 1, 1u: 2}", "stands twice"), ("'a'.matches('(')", "bad regular expression"),
        ("timestamp('9999-12-31T23:59:59Z') + duration('1s')", "out of range"),
        ("duration('300000h') + duration('3000000h')", "out of range"), ("timestamp('2026-02-30T00:00:00Z')", "not a timestamp"),
        ("now.getHours('Moon/Base')", "not a time zone"),
        ("timestamp('0001-01-01T00:00:00Z').getHours('-02:00')", "out of range"), ("[1].join()", "list of strings"), ("null < null",
        "not defined"),
    ],
)  # fmt: skip
def test_the_standards_errors_are_rule_errors(text: str, problem: str) -> None:
    with pytest.raises(RuleError, match=problem) as caught:
        evaluate_expression(text, {"now": NOW})
    assert not isinstance(caught.value, ParseError)
    assert caught.value.text == text


def test_an_error_carries_a_caret_under_the_operator() -> None:
    with pytest.raises(RuleError) as caught:
        evaluate_expression("age > 3 && 1 / zero == 1", {"age": 4, "zero": 0})
    assert str(caught.value) == "division by zero\nage > 3 && 1 / zero == 1\n             ^"


def test_values_come_in_and_go_out() -> None:
    zoned = datetime(2026, 11, 22, 10, 30, tzinfo=timezone(timedelta(hours=1)))
    assert evaluate_expression("t", {"t": zoned}) == NOW
    assert evaluate_expression("t", {"t": zoned}).tzinfo is UTC
    assert evaluate_expression("x", {"x": (1, {"a": [True]})}) == [1, {"a": [True]}]
    assert type(evaluate_expression("x + 1u", {"x": UInt(2)})) is UInt
    assert evaluate_expression("timestamp('2026-01-01T00:00:00.123456789Z')", {}).microsecond == 123456


class Tariff(str, Enum):
    GOLD = "gold"


@pytest.mark.parametrize(("value", "plain"), [
    (Tariff.GOLD, "gold"), (np.str_("gold"), "gold"), (np.bool_(True), True), (np.float32(0.5), 0.5), (np.int64(3), 3), ([Tariff.GOLD], ["gold"]),
    ({Tariff.GOLD: 1}, {"gold": 1}),
])  # fmt: skip
def test_values_of_other_types_are_what_they_hold(value: Any, plain: Any) -> None:
    """A member of an enumeration was its name, `Tariff.GOLD`; a bool and a float32 of numpy were no values."""
    found = evaluate_expression("x", {"x": value})
    assert found == plain and type(found) is type(plain) and evaluate_expression("x == y", {"x": value, "y": plain})


@pytest.mark.parametrize("value", [datetime(2026, 1, 1), 2**63, object(), {1, 2}, timedelta(days=200_000)])
def test_what_is_no_value_of_the_language_is_an_error(value: Any) -> None:
    with pytest.raises(RuleError, match="^x: "):
        evaluate_expression("x == 1", {"x": value})
    assert evaluate_expression("x == 1 || true", {"x": value}) is True


def test_names_are_resolved_from_the_container_outwards_and_longest_first() -> None:
    variables = {"a.b": {"c": 1}, "a.b.c": 2, "n.x": 3, "x": 4}
    assert evaluate_expression("a.b.c", variables) == 2
    assert evaluate_expression("x", variables, container="n") == 3
    assert evaluate_expression(".x", variables, container="n") == 4
    assert evaluate_expression("[5].map(x, x + .x)[0]", variables, container="n") == 9
    with pytest.raises(RuleError, match="unknown variable"):
        evaluate_expression("a.b", {"a": {"b": 1}}, types={"a.b": "int"})


@pytest.mark.parametrize("text", ["x.matches('a')", "bytes(x) == b''", "'a'.matches(x)"])
def test_broken_unicode_in_a_fact_is_an_error_value(text: str) -> None:
    with pytest.raises(RuleError, match="not valid Unicode"):
        evaluate_expression(text, {"x": "\ud800"})


def test_unknown_is_neither_true_nor_false() -> None:
    with pytest.raises(TypeError, match="neither"):
        bool(UNKNOWN)


def test_the_deepest_rules_stay_clear_of_the_recursion_limit() -> None:
    nested = "[" * (DEPTH_MAX - 1) + "1" + "]" * (DEPTH_MAX - 1)
    conditional = "true ? 1 : " * (DEPTH_MAX - 1) + "2"
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(600)
    try:
        for text in (nested, conditional, "!" * (DEPTH_MAX - 1) + "true",
        "1" + " + 1" * (DEPTH_MAX - 1), f"{nested[1:-1]} == {nested[1:-1]}"):
            check(parse(text), {}, text)
            evaluate_expression(text, {})
            assert hash(parse(unparse(parse(text)))) == hash(parse(text))
    finally:
        sys.setrecursionlimit(limit)


def test_every_random_rule_has_one_of_three_values_or_an_error() -> None:
    rules, rows = rules_and_rows(random.Random(3), FACTS, 250, n_rows=20)
    seen: dict[str, int] = {}
    for text in rules:
        node = parse(text)
        assert check(node, FACT_TYPES, text).type == BOOL
        for facts in rows:
            value = evaluate(node, facts, nullable=True)
            if isinstance(value, ErrorValue):
                assert "not defined" not in value.message, text  # what the checker lets pass has an overload for its values
            kind = "error" if isinstance(value, ErrorValue) else repr(value)
            seen[kind] = seen.get(kind, 0) + 1
    assert set(seen) <= {"True", "False", "UNKNOWN", "error"}
    assert min(seen["True"], seen["False"], seen["UNKNOWN"]) > 500


def test_values_have_the_type_that_the_checker_foresaw() -> None:
    rng = random.Random(29)
    python_type = {INT: int, DOUBLE: float}
    for _ in range(200):
        text = value_rule(rng, FACTS)
        type_ = check(parse(text), FACT_TYPES, text).type
        for _ in range(10):
            value = evaluate(parse(text), row(rng, FACTS), nullable=True)
            assert value is UNKNOWN or isinstance(value, ErrorValue) or type(value) is python_type[type_], text


def test_filling_in_what_was_missing_never_turns_an_answer_round() -> None:
    """Three-valued logic is monotone: a rule that says true or false says the same however its missing facts turn out."""
    rng = random.Random(17)
    for _ in range(300):
        text = boolean_rule(rng, FACTS)
        if "has(" in text:
            continue  # has() sees that a fact is missing, on purpose
        facts = row(rng, FACTS, p_null=0.0, p_missing=0.3)
        before = evaluate(parse(text), facts, nullable=True)
        if isinstance(before, bool):
            filled = {**row(rng, FACTS, p_null=0.2, p_missing=0.0), **facts}
            filled["address"] = {**(filled["address"] or {}), **facts.get("address", {})}
            assert evaluate(parse(text), filled, nullable=True) is before, text
