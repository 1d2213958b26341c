"""The smallest change: by hand, and against trying every change of up to three facts over small domains."""

from __future__ import annotations

import random
from datetime import timedelta
from itertools import combinations, product
from typing import Any

import pytest

import nba_engine as nba
from nba_engine.rules import evaluate, parse
from nba_engine.rules.changing import CHANGED_FACTS_MAX, is_exact, smallest_change
from nba_engine.rules.values import to_python
from nba_engine.schema import BOOL, DOUBLE, DURATION, INT, STRING, TIMESTAMP, list_of
from tests import shop

TYPES = {"age": INT, "bill": DOUBLE, "tariff": STRING, "vip": BOOL, "products": list_of(STRING), "address.city": STRING, "end": TIMESTAMP,
         "grace": DURATION}  # fmt: skip


@pytest.mark.parametrize(("rules", "facts", "change"), [
    (["age >= 18"], {"age": 18}, {}),
    (["age >= 18", "bill < 90.0"], {"age": 41, "bill": 104.5}, {"bill": 89.99}),
    (["age >= 18"], {}, {"age": 18}),
    (["bill * 6.0 < 300.0"], {"bill": 104.5}, {"bill": 49.99}),
    (["!('tv' in products)", "tariff.startsWith('go')"], {"products": ["tv", "x"]}, {"products": ["x"], "tariff": "go"}),
    (["address.city == 'Bern'"], {"address": None}, {"address.city": "Bern"}),
    (["end > now && end < now + duration('2160h')"], {"end": shop.NOON}, {"end": shop.NOON + timedelta(seconds=1)}),
    (["grace >= duration('1h')"], {"grace": timedelta(0)}, {"grace": timedelta(hours=1)}),
    (["vip || age >= 18", "!vip || bill > 50.0"], {"vip": False, "age": 12, "bill": 10.0}, {"age": 18}),
    (["age + 5 > size(products) * 10"], {"age": 1, "products": ["a", "b"]}, {"age": 16}),
    (["age == null"], {"age": 3}, {"age": None}), (["has(age)"], {}, {"age": 0}),
    (["tariff > 'gold'"], {"tariff": "abc"}, {"tariff": "golda"}), (["tariff < 'b' && tariff > 'a'"], {"tariff": "x"}, {"tariff": "anotherx"}),
    (["tariff <= 'gold' && tariff >= 'gold'"], {}, {"tariff": "gold"}), (["tariff > 'gola' && tariff < 'gold'"], {}, {"tariff": "golaa"}),
    (["tariff < '\\u0000'", "tariff != ''"], {"tariff": "x"}, None), (["tariff < '\\ue000'"], {"tariff": "\ue001"}, {"tariff": "anotherx"}),
    (["tariff < 'M1' && tariff != '' && tariff != 'M0'"], {}, {"tariff": "M0a"}),
    (["age > 3", "age < 4"], {"age": 3}, None), (["false"], {}, None),
    (["vip", "age == 1", "tariff == 'a'", "bill == 2.0"], {}, None),
])  # fmt: skip
def test_changes_by_hand(rules, facts, change):
    found = smallest_change([parse(rule) for rule in rules], {"now": shop.NOON, **facts}, TYPES)
    assert (None if found is None else {name: to_python(value) for name, value in found.items()}) == change


DOMAINS: dict[str, list[Any]] = {
    "age": [-1, 0, 1, 2, 3, 4, None], "bill": [-0.5, 0.0, 0.25, 1.0, 1.5, 2.0, 2.5, None], "vip": [True, False, None],
    "tariff": ["a", "b", "c", "", None], "products": [[], ["a"], ["b"], ["a", "b"], None],
}  # fmt: skip
"""Every cell that the constants of ATOMS cut the facts into."""
ATOMS = [*(f"age {sign} {n}" for sign, n in product(["<", "<=", ">", ">=", "==", "!="], (0, 1, 3))), "vip", "age in [0, 3]", "has(age)", "has(vip)",
         *(f"bill {sign} {n}" for sign, n in product(["<", ">=", "=="], (0.0, 1.0, 2.0))), "tariff == 'a'", "tariff in ['a', 'b']", "tariff != 'b'",
         "'a' in products", "'b' in products", "age == null", "tariff == null", "bill * 2.0 > 3.0"]  # fmt: skip


def some_rule(rng: random.Random, depth: int) -> str:
    if depth == 0:
        return rng.choice(ATOMS)
    parts = [some_rule(rng, rng.randrange(depth)) for _ in range(3)]
    return rng.choice(["({0} && {1})", "({0} || {1})", "!({0})", "({0} ? {1} : {2})", "({0} && !{1})"]).format(*parts)


def holds(rules: list[Any], facts: dict[str, Any]) -> bool:
    return all(evaluate(rule, facts, nullable=True) is True for rule in rules)


def fewest(rules: list[Any], facts: dict[str, Any], names: list[str]) -> int | None:
    """By trying everything."""
    for n in range(CHANGED_FACTS_MAX + 1):
        for chosen in combinations(names, n):
            if any(holds(rules, {**facts, **dict(zip(chosen, values, strict=True))}) for values in product(*(DOMAINS[c] for c in chosen))):
                return n
    return None


@pytest.mark.parametrize("seed", range(2))
def test_no_smaller_change_exists(seed):
    """Also with a fact that may not change: it keeps its value, and the answer is the smallest among the others."""
    rng = random.Random(seed)
    sizes = []
    for _ in range(30):
        rules = [parse(some_rule(rng, rng.randint(0, 3))) for _ in range(rng.randint(1, 4))]
        facts = {name: rng.choice(domain) for name, domain in DOMAINS.items() if rng.random() < 0.85}
        names = [name for name in DOMAINS if rng.random() < 0.85]
        found = smallest_change(rules, facts, {name: TYPES[name] for name in names})
        assert (None if found is None else len(found)) == fewest(rules, facts, names)
        assert found is None or (set(found) <= set(names) and holds(rules, {**facts, **found}))
        sizes.append(None if found is None else len(found))
    assert {None, 0, 1, 2} <= set(sizes)


@pytest.mark.parametrize(("rule", "exact"), [
    ("age >= 18 && vip && tariff in ['a', 'b']", True), ("'tv' in products || address.city == null", True), ("end > now && 5.0 < bill", True),
    ("has(age) && !(products == null)", True), ("now > timestamp('2026-01-01T00:00:00Z')", True), ("tariff > 'gold'", False),
    ("age + 5 > 7", False), ("bill * double(age) > 3.0", False), ("tariff.startsWith('x')", False), ("size(products) > 2", False),
    ("loose['k'] > 1", False), ("age in products", False),
    (" || ".join(f"'{c}' in products" for c in "abcdef"), True), (" || ".join(f"'{c}' in products" for c in "abcdefg"), False),
])  # fmt: skip
def test_where_the_search_is_exact(rule, exact):
    assert is_exact([parse(rule)], TYPES, {"now"}) is exact


def test_where_the_search_may_miss_the_sentence_says_only_that_none_was_found():
    actions = [{"id": "odd", "eligibility": ["age % 7 == 3 && age % 11 == 5"]}, {"id": "never", "eligibility": ["age > 3 && age < 4"]},
               {"id": "dear", "value": "bill"}]
    with nba.Engine(nba.Catalog.from_dict({"facts": {"age": "int", "bill": "double"}, "actions": actions})) as engine:
        explanation = engine.explain(engine.decide("ann", facts={"age": 1, "bill": 1e300}).id)
        assert str(explanation.smallest_change("odd")) == "no change of up to 3 facts that may change was found that would make odd eligible"
        assert str(explanation.smallest_change("never")) == "no change of up to 3 facts that may change would make never eligible"
        dear = explanation.smallest_change("dear").facts
        assert dear is not None and engine.decide("bob", facts=dear).offers[0].action == "dear"


def test_an_explanation_says_it_in_a_sentence():
    facts = {**shop.written()["facts"], "age": {"type": "int", "immutable": True}}
    with shop.engine(catalog=shop.catalog(facts=facts)) as engine:
        decision = engine.decide("ann", channel="mail", facts={**shop.ADULT, "age": 12, "bill": 104.5, "mail_ok": False})
        explanation = engine.explain(decision.id)
        change = explanation.smallest_change("film")
        assert str(change) == "film would be eligible if bill were 89.99 (it is 104.5) and mail_ok were true (it is false)"
        assert change.facts == {"bill": 89.99, "mail_ok": True}
        assert str(explanation.smallest_change("sport")) == "no change of up to 3 facts that may change would make sport eligible"
        again = engine.decide("bob", channel="mail", facts={**shop.ADULT, **change.facts})
        assert {a.action: a.stage for a in engine.explain(again.id).actions}["film"] in ("offered", "arbitration")
        with pytest.raises(nba.NbaError, match="action 'tv' is not in the catalog"):
            explanation.smallest_change("tv")
        stranger = engine.decide("eve", channel="call")
        assert str(engine.explain(stranger.id).smallest_change("fibre")) == (
            "fibre would be eligible if products were [] (it was not given) and bill were 0.0 (it was not given)")
        engine.record(engine.decide("eve", channel="call").id, "declined", action="stay")
        after = engine.decide("eve", channel="call")
        assert str(engine.explain(after.id).smallest_change("stay")) == "stay needs no other facts; it is also stopped by no-nagging"
