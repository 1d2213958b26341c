"""Why a rule is what it is: the conditions that decided, and how they are told."""

from __future__ import annotations

import random
from datetime import timedelta

import pytest

from nba_engine import schema
from nba_engine.rules import UNKNOWN, evaluate, parse
from nba_engine.rules.deciding import Deciding, because, deciding, shown
from nba_engine.rules.syntax import Call, Literal, Node
from tests import shop
from tests.expressions import FACTS, rules_and_rows


@pytest.mark.parametrize(("rule", "facts", "told"), [
    ("bill < 90.0", {"bill": 104.5}, "bill < 90.0: bill is 104.5"),
    ("age >= 18", {}, "age >= 18: age was not given"),
    ("age >= 18", {"age": None}, "age >= 18: age is null"),
    ("age >= 18 && bill < 90.0", {"age": 12, "bill": 20.0}, "age >= 18: age is 12"),
    ("age >= 18 && bill < 90.0", {"bill": 104.5}, "bill < 90.0: bill is 104.5"),
    ("age >= 18 && bill < 90.0", {"age": 41}, "bill < 90.0: bill was not given"),
    ("age >= 18 || vip", {"age": 12, "vip": False}, "age >= 18: age is 12; vip: vip is false"),
    ("age >= 18 || vip", {"age": 12}, "vip: vip was not given"),
    ("!('tv' in products)", {"products": ["tv", "net"]}, "!('tv' in products): products is ['tv', 'net']"),
    ("!(vip || age < 18)", {"vip": False, "age": 12}, "!(age < 18): age is 12"),
    ("vip ? age > 3 : age > 5", {"vip": True, "age": 2}, "vip: vip is true; age > 3: age is 2"),
    ("vip ? age > 3 : age > 5", {"age": 2}, "vip: vip was not given"),
    ("address.city == 'Bern'", {"address": {"city": "Basel"}}, "address.city == 'Bern': address.city is 'Basel'"),
    ("address.city == 'Bern'", {"address": {}}, "address.city == 'Bern': address.city was not given"),
    ("a < b", {"a": 3, "b": 2}, "a < b: a is 3 and b is 2"),
    ("a < b", {"a": 3}, "a < b: b was not given"),
    ("100 / n > 3", {"n": 0}, "100 / n > 3: division by zero; n is 0"),
    ("products.all(p, p != tariff)", {"products": ["x"], "tariff": "x"}, "products.all(p, p != tariff): products is ['x'] and tariff is 'x'"),
    ("end < now", {"end": shop.NOON, "now": shop.NOON}, "end < now: end is 2026-03-02T12:00:00Z and now is 2026-03-02T12:00:00Z"),
    ("false", {}, "false"),
    (" || ".join(f"age == {n}" for n in range(7)), {"age": 9},
     "age == 0: age is 9; age == 1: age is 9; age == 2: age is 9; age == 3: age is 9; age == 4: age is 9; and 2 more"),
])  # fmt: skip
def test_what_decided_is_told_with_its_values(rule, facts, told):
    assert because(parse(rule), facts) == told


def test_values_are_spelt_as_rules_spell_them():
    assert [shown(v) for v in (True, None, "it's", 2.0, [1, None], {"zip": "3000"})] == ["true", "null", r"'it\'s'", "2.0", "[1, null]",
                                                                                        "{zip: '3000'}"]  # fmt: skip
    assert shown("x" * 200) == "'" + "x" * 79 + "..."
    times = {"grace": timedelta(hours=1), "pause": timedelta(hours=2)}
    assert because(parse("grace > pause"), times) == "grace > pause: grace is 3600s and pause is 7200s"


def replaced(node: Node, values: dict[int, bool]) -> Node:
    """The tree with the conditions at these objects as constants, looked for where `deciding` looks."""
    if id(node) in values:
        return Literal(values[id(node)], schema.BOOL)
    if isinstance(node, Call) and node.function in ("!_", "_&&_", "_||_", "_?_:_"):
        return Call(node.function, tuple(replaced(a, values) for a in node.arguments))
    return node


def conditions(node: Node) -> list[Node]:
    if isinstance(node, Call) and node.function in ("!_", "_&&_", "_||_", "_?_:_"):
        return [inner for a in node.arguments for inner in conditions(a)]
    return [node]


def equal_to(parts: tuple[Deciding, ...], node: Node) -> list[int]:
    """Every place of the conditions that decided: equal conditions are told once."""
    wanted = [part.node for part in parts]
    return [id(inner) for inner in conditions(node) if inner in wanted]


@pytest.mark.parametrize("seed", range(5))
def test_what_decided_is_enough(seed):
    """Keep the deciding conditions and turn all others round: false stays false. Grant the unknown ones: the rule holds."""
    rng = random.Random(seed)
    rules, rows = rules_and_rows(rng, FACTS, 150, n_rows=8)
    n_false = n_unknown = 0
    for text in rules:
        node = parse(text)
        for facts in rows:
            value, parts = evaluate(node, facts, nullable=True), deciding(node, facts)
            if value is True or value is False:
                kept = equal_to(parts, node)
                turned = {id(c): rng.random() < 0.5 for c in conditions(node) if id(c) not in kept}
                assert evaluate(replaced(node, turned), facts, nullable=True) is value, text
                n_false += value is False
            elif "?" not in text and len(parts) == 1 and parts[0].value is UNKNOWN:
                granted = dict.fromkeys(equal_to(parts, node), parts[0].positive)
                assert evaluate(replaced(node, granted), facts, nullable=True) is True, text
                n_unknown += 1
    assert n_false > 200 and n_unknown > 50


def test_explanations_carry_it():
    with shop.engine() as engine:
        decision = engine.decide("ann", channel="mail", facts={**shop.ADULT, "age": 12, "bill": 104.5, "mail_ok": False})
        explained = {a.action: a for a in engine.explain(decision.id).actions}
        assert explained["film"].reasons[0].because == "bill < 90.0: bill is 104.5"
        assert str(explained["sport"].reasons[0]) == "rule actions[0].eligibility[0]: age >= 18 is false; age is 12"
        assert [(r.kind, r.because) for r in explained["stay"].reasons] == [("consent", "mail_ok is false")]
        stranger = engine.decide("bob", channel="call")
        explained = {a.action: a for a in engine.explain(stranger.id).actions}
        assert str(explained["sport"].reasons[0]) == "rule actions[0].eligibility[0]: age >= 18 is unknown; age was not given"
        assert {r.kind: r.because for r in explained["fibre"].reasons} == {
            "rule": "!('fibre' in products): products was not given", "value": "bill was not given"}  # fmt: skip
