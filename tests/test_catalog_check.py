"""`Catalog.check`: what is found, where, and that sound catalogs are left alone."""

from __future__ import annotations

from itertools import product
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nba_engine import schema
from nba_engine.catalog import Catalog
from nba_engine.catalog.checking import Finding
from nba_engine.catalog.contradictions import Possible, implies
from nba_engine.rules.normal import Normalizer
from nba_engine.rules.parsing import parse
from nba_engine.rules.plain import evaluate
from tests.test_catalog import PUBLIC_EXAMPLE

FACTS = {"age": "int", "bill": "double", "tariff": "string", "vip": "bool", "products": "list<string>",
         "address": {"type": {"city": "string", "zip": "string"}}}  # fmt: skip
TYPES = {"age": schema.INT, "bill": schema.DOUBLE, "tariff": schema.STRING, "vip": schema.BOOL, "end": schema.TIMESTAMP,
         "products": schema.list_of(schema.STRING), "u": schema.UINT, "address": schema.struct_of({"city": schema.STRING})}  # fmt: skip


def findings(**sections):
    sections.setdefault("facts", FACTS)
    sections.setdefault("actions", [{"id": "a", "issue": next(iter(sections["issues"]))} if "issues" in sections else {"id": "a"}])
    return [(f.severity, f.place, f.message) for f in Catalog.from_dict(sections).check()]


def contradicts(*rules):
    normalizer = Normalizer()
    return Possible(TYPES).contradiction([(text, normalizer.formula(parse(text), text)) for text in rules])


def test_sound_catalogs_are_left_alone(tmp_path):
    (tmp_path / "catalog.yaml").write_text(PUBLIC_EXAMPLE)
    # Its internal_flag is there to show the key: no rule of the example reads it.
    assert [(f.severity, f.place) for f in Catalog.load(tmp_path / "catalog.yaml").check()] == [("info", "facts.internal_flag")]
    assert Catalog.load(Path(__file__).parents[1] / "examples" / "catalog.yaml").check() == []
    assert findings() == []


def test_a_finding_reads_aloud():
    assert str(Finding("warning", "channels.mail", "why")) == "warning: channels.mail: why"
    assert str(Finding("info", "", "why")) == "info: catalog: why"


@pytest.mark.parametrize("rules", [
    ["false"], ["age > 5 && age < 5"], ["age > 5", "age < 6"], ["18 <= age", "!(age >= 18)"], ["age == 3", "age == 4"], ["age > 2.5", "age < 2.9"],
    ["age >= 3 && age <= 4", "age != 3", "age != 4"], ["bill > 5.0", "bill < 5.0"], ["bill >= 5.0", "bill <= 5.0", "bill != 5.0"],
    ["tariff == 'a'", "tariff == 'b'"], ["tariff in ['a', 'b']", "tariff == 'c'"], ["tariff in ['a', 'b']", "!(tariff in ['a'])", "tariff != 'b'"],
    ["vip", "!vip"], ["vip == true", "vip == false"], ["has(age)", "!has(age)"], ["age == null", "age > 3"], ["age == null", "has(age)"],
    ["age == null", "age != null"], ["'x' in products", "!('x' in products)"], ["address.city == 'a'", "address.city == 'b'"],
    ["age < 3 || age > 7", "age >= 3 && age <= 7"], ["age > 5 ? vip : false", "!vip"], ["bill * 2.0 > 4.0", "!(bill * 2.0 > 4.0)"],
    ["end < timestamp('2026-01-01T00:00:00Z')", "end > timestamp('2027-01-01T00:00:00Z')"], ["tariff < 'b'", "tariff > 'c'"],
    ["age < 3 || (age > 7 && (vip || age > 9))", "age == 5"],
    ["1 > 2"], ["'a' == 'b'"], ["!(1 < 2)"], ["u < 0u"], ["age == 2.5"], ["age in [0.5, 1.5]"], ["age > 9223372036854775807"],
    ["age < -9223372036854775808"], ["u > 18446744073709551615u"], ["age > 1e300"], ["size(products) < 0"],
    ["size(products) > 2", "products.size() < 2"],
    ["age != age"], ["tariff > tariff"], ["bill < bill"], ["vip != true", "vip != false"], ["!(bill < 5.0)", "bill < 2.0"],
    ["bill < 2.0", "!(bill < 5.0)"], ["!(bill < 5.0) && (vip ? bill < 2.0 : bill < 3.0)"], ["!has(bill)", "!(bill < 5.0)"],
    ["!has(address)", "address.city == 'x'"], ["address.city == 'x'", "!has(address)"],
    ["address == null", "address.city == 'x'"], ["has(address.city)", "!has(address)"], ["age == 9223372036854775808.0", "age < 9223372036854775807"],
])  # fmt: skip
def test_rules_that_cannot_hold_together(rules):
    named = contradicts(*rules)
    assert named is not None and set(named) <= set(rules)
    assert set(contradicts(*reversed(rules)) or ()) <= set(rules)


@pytest.mark.parametrize("rules", [
    ["true"], ["age > 5", "age < 7"], ["age >= 5", "age <= 5"], ["bill > 5.0", "bill < 6.0"], ["!(bill < 5.0)", "!(bill >= 5.0)"],
    ["tariff in ['a', 'b']", "tariff != 'a'"], ["age == null || age > 3", "age != 3"], ["!has(age)", "age == null"], ["vip || age > 3", "!vip"],
    ["age > 3 || age < 2", "age > 2 || age < 1"], ["bill > 5.0", "age < 5"], ["products == ['a']", "products != ['b']"],
    ["age > 5 ? vip : bill > 1.0", "age < 3"], ["tariff.startsWith('a')", "tariff == 'b'"], ["1 == age", "age in [1, 2]"],
    ["1 < 2"], ["u <= 0u"], ["age == 2.0"], ["age in [0.5, 1.0]"], ["age >= 9223372036854775807"], ["age == 9223372036854775808.0"],
    ["age >= 9223372036854775808.0"], ["size(products) <= 0"], ["size(products) > 2", "size(tariff) < 2"], ["bill != bill"], ["!(bill == bill)"],
    ["age == age"], ["has(address)", "address.city == null"], ["has(address)", "!has(address.city)"], ["!has(address)", "!has(address.city)"],
    ["1 / 0 > 2 || age > 3"], ["age < 1e300"], ["products == null || 'x' in products"], ["address == null || address.city == 'x'"],
])  # fmt: skip
def test_rules_that_can_hold_together(rules):
    assert contradicts(*rules) is None


ATOMS = [f"age {sign} {n}" for sign, n in product(["<", "<=", ">", ">=", "==", "!="], range(-1, 3))] + ["age in [0, 2]", "vip", "vip == false"]


def rules_over_small_numbers():
    def larger(inner):
        joined = st.tuples(inner, st.sampled_from(["&&", "||"]), inner).map("({0[0]} {0[1]} {0[2]})".format)
        return st.one_of(inner.map("!({})".format), joined)

    return st.recursive(st.sampled_from(ATOMS), larger, max_leaves=6)


@settings(max_examples=150, deadline=None)
@given(st.lists(rules_over_small_numbers(), min_size=1, max_size=4))
def test_what_is_called_contradictory_has_no_solution(rules):
    as_python = [rule.replace("&&", " and ").replace("||", " or ").replace("!(", "not (").replace("false", "False") for rule in rules]
    has_solution = any(all(eval(rule, {"age": age, "vip": vip}) for rule in as_python) for age in range(-3, 6) for vip in (False, True))
    if has_solution:
        assert contradicts(*rules) is None


def test_contradictions_are_told_at_the_highest_place():
    issues = {"i": {"eligibility": "age < 18", "groups": {"g": {"eligibility": "age >= 18"}, "h": {}}}}
    actions = [{"id": "a", "issue": "i", "group": "g"}, {"id": "b", "issue": "i", "group": "h", "suitability": "age > 20"}]
    assert findings(issues=issues, actions=actions) == [
        ("error", "issues.i.groups.g", "no action of this group can ever be offered: "
                                       "issues.i.eligibility[0] and issues.i.groups.g.eligibility[0] contradict each other"),
        ("error", "actions[1]", "this action can never be offered: issues.i.eligibility[0] and actions[1].suitability[0] contradict each other"),
    ]  # fmt: skip
    dead = {"i": {"eligibility": "false"}}
    actions = [{"id": "a", "issue": "i"}]
    assert findings(issues=dead, actions=actions) == [
        ("error", "issues.i", "no action of this issue can ever be offered: issues.i.eligibility[0] is never true")
    ]


@pytest.mark.parametrize(("rules", "cause"), [
    (["has(age)", "age <= 3", "age > 5"], "actions[0].eligibility[1] and actions[0].eligibility[2] contradict each other"),
    (["vip", "vip", "vip != true"], "actions[0].eligibility[1] and actions[0].eligibility[2] contradict each other"),
    (["age != 4", "age == 1.5"], "actions[0].eligibility[1] is never true"),
    (["tariff != ''", "tariff == 'a'", "vip", "tariff == 'b'"], "actions[0].eligibility[1] and actions[0].eligibility[3] contradict each other"),
])  # fmt: skip
def test_only_rules_that_take_part_are_named(rules, cause):
    errors = [message for severity, _, message in findings(actions=[{"id": "a", "eligibility": rules}]) if severity == "error"]
    assert errors == [f"this action can never be offered: {cause}"]


def test_treatments_that_no_channel_lets_through():
    channels = {"call": {}, "web": {}, "mail": {"direction": "outbound", "consent": "vip"}}
    treatments = [{"id": name, "channel": name} for name in channels]
    actions = [{"id": "a", "eligibility": "channel in ['call', 'mail']", "treatments": treatments}]
    assert [f[:2] for f in findings(channels=channels, actions=actions)] == [("warning", "actions[0].treatments[1]")]
    actions = [{"id": "a", "eligibility": "direction == 'outbound'", "treatments": treatments[:2]}]
    assert [f[:2] for f in findings(channels=channels, actions=actions)] == [
        ("error", "actions[0]"), ("warning", "actions[0].treatments[0]"), ("warning", "actions[0].treatments[1]"),
    ]  # fmt: skip
    actions = [{"id": "a", "treatments": [{"id": "t", "channel": "web", "eligibility": "age > 3 && age < 3"}, {"id": "u", "channel": "web"}]}]
    assert [f[:2] for f in findings(channels=channels, actions=actions)] == [("warning", "actions[0].treatments[0]")]
    [(severity, place, message)] = findings(channels=channels, actions=[{"id": "a", "eligibility": "channel == 'shop'"}])
    assert (severity, place) == ("error", "actions[0]") and "on any declared channel: actions[0].eligibility[0] is never true" in message


def test_a_window_in_the_past_is_no_finding():
    assert findings(actions=[{"id": "a", "valid": {"until": "1999-12-31"}}]) == []


def test_rules_that_stand_above_already():
    issues = {"i": {"eligibility": "age >= 18", "groups": {"g": {"suitability": "age>=18"}, "h": {}}}}
    actions = [{"id": "a", "issue": "i", "group": "h", "eligibility": ["vip", "age  >= 18"], "suitability": "vip"}]
    assert findings(issues=issues, actions=actions) == [
        ("warning", "issues.i.groups.g.suitability[0]", "'age>=18' is required by issues.i.eligibility[0] already: remove one of them"),
        ("warning", "actions[0].eligibility[1]", "'age  >= 18' is required by issues.i.eligibility[0] already: remove one of them"),
        ("warning", "actions[0].suitability[0]", "'vip' is required by actions[0].eligibility[0] already: remove one of them"),
    ]


def test_facts_that_nothing_reads():
    facts = {"used": {"type": "bool", "predictor": False}, "idle": {"type": "bool", "predictor": False}, "model": "bool",
             "agreed": {"type": {"mail": "bool"}, "predictor": False}}  # fmt: skip
    channels = {"mail": {"direction": "outbound", "consent": "agreed.mail"}}
    found = findings(facts=facts, channels=channels, actions=[{"id": "a", "value": "used ? 1.0 : 2.0"}])
    assert found == [("info", "facts.idle", "no rule, value or consent names this fact and models may not read it: use it or remove it")]


@pytest.mark.parametrize(("keys", "cause"), [
    ({"within": "0s"}, "within a window of 0"), ({"suppress": "0d"}, "suppresses for 0"), ({"label": "no_response"}, "takes silence for an answer"),
    ({"direction": "outbound"}, "no channel is outbound"), ({"scope": "issue"}, "belongs to any issue"), ({"scope": "group"}, "belongs to any group"),
])  # fmt: skip
def test_contact_policies_that_never_fire(keys, cause):
    contact_policy = {"name": "p", "scope": "action", "label": "declined", "within": "1d"} | keys
    [(severity, place, message)] = findings(channels={"call": {}}, contact_policies=[contact_policy])
    assert (severity, place) == ("warning", "contact_policies[0]") and message.startswith("'p' never closes anything") and cause in message


def test_a_time_out_makes_no_response_a_label_that_comes():
    contact_policy = {"name": "p", "scope": "action", "label": "no_response", "within": "1d"}
    assert findings(channels={"call": {"no_response": "1h"}}, contact_policies=[contact_policy]) == []


def test_what_has_no_effect_or_a_strange_one():
    assert [f[:2] for f in findings(channels={"mail": {"direction": "outbound"}})] == [("warning", "channels.mail")]
    reasons = {"idle": {}, "out": {"suppress": "1d", "direction": "outbound"}, "mute": {"learn": False}, "rest": {"similar": "1d"}}
    assert [f[:2] for f in findings(channels={"call": {}}, reasons=reasons)] == [("warning", "reasons.out"), ("info", "reasons.idle")]
    assert [f[:2] for f in findings(outcomes={"no": {"reward": 0}})] == [("warning", "outcomes")]
    outcomes = {"yes": {"reward": 1}, "idle": {}, "seen": {"exposure": "presented"}, "back": {"revokes": "seen"}}
    assert [f[:2] for f in findings(outcomes=outcomes)] == [("warning", "outcomes.back"), ("info", "outcomes.idle")]
    assert [f[:2] for f in findings(actions=[{"id": "a", "value": -1}])] == [("error", "actions[0].value")]
    assert [f[:2] for f in findings(actions=[{"id": "a", "null_action": True}])] == [("warning", "actions")]
    weights = [{"when": "age > 3 && age < 2", "action": "a", "multiplier": 2}, {"when": "vip", "action": "a"}]
    assert [f[:2] for f in findings(context_weights=weights)] == [("warning", "context_weights[0].when"), ("info", "context_weights[1]")]


@pytest.mark.parametrize(("above", "own", "follows"), [
    ("age >= 18", "age > 12", True), ("age >= 18 && vip", "vip", True), ("tariff == 'a'", "tariff in ['a', 'b']", True),
    ("vip", "!(!vip)", True),
    ("age >= 18", "age > 20", False), ("age == null", "age > 3", False), ("!has(age)", "age != 4", False),
    ("vip || age > 9", "vip || age > 3", False),
    ("vip", "age > 3 || age <= 3", False), ("bill >= 2.0", "!(bill < 1.0)", True),
    ("bill < 50.0", "bill < 90.0", True), ("bill != 50.0", "bill < 90.0 || bill >= 90.0", False), ("vip != false", "vip == true", True),
    ("!(age >= 3 && age <= 9) && vip && bill < 2.0", "!(age >= 3 && age <= 9) && vip", True),
    ("age < 3 || age > 9", "(age < 4 || age > 9) && vip", False),
    ("has(age) && age >= 18", "age >= 18", True), ("has(age)", "age >= 18 || age < 18", False),
    ("address.city == 'x'", "address.city in ['x', 'y']", True), ("address.city == 'x'", "address.zip == 'x' || address.zip != 'x'", False),
])  # fmt: skip
def test_rules_that_follow_from_the_groups(above, own, follows):
    issues = {"sales": {"groups": {"net": {"eligibility": above}}}}
    made = findings(issues=issues, actions=[{"id": "a", "issue": "sales", "group": "net", "eligibility": own}])
    expected = ("warning", "actions[0].eligibility[0]", f"{own!r} follows from the rules above it: remove it, or make it stricter")
    assert [found for found in made if "follows" in found[2]] == ([expected] if follows else [])


def test_a_row_without_conditions_is_told_once_and_follows_from_nothing():
    table = {"name": "t", "rows": [{"action": "a"}]}
    found = findings(tables=[table])
    assert [f[1:] for f in found] == [
        ("tables[0].rows[0]", "this row lets everybody through whose facts are known: fill a cell, or remove the rows of this action")]


def test_what_follows_is_true_of_every_customer():
    """All pairs and triples of conditions over small numbers: whoever the first ones are true of, the last one is true of."""
    customers = [{k: v for k, v in {"age": age, "vip": vip}.items() if v != "absent"}
                 for age, vip in product((*range(-3, 5), None, "absent"), (True, False, None, "absent"))]  # fmt: skip
    texts = [*ATOMS[::2], "has(age)", "age == null", "age > 0 || vip", "vip"]
    n_found = 0
    true_of = {text: [evaluate(parse(text), facts, nullable=True) is True for facts in customers] for text in texts}
    for first, second, last in product(texts, texts[::3], texts):
        if implies(TYPES, [parse(first), parse(second)], parse(last)):
            n_found += 1
            assert all(c for a, b, c in zip(true_of[first], true_of[second], true_of[last], strict=True) if a and b), (first, second, last)
    assert n_found > 100
