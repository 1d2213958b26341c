"""Limits of rules: each says its name, what came and what to do; none can be passed by facts; the cost at worst is never below the cost."""

from __future__ import annotations

import random

import pytest

import nba_engine as nba
from nba_engine.facts.encoding import Encoder
from nba_engine.facts.vocabulary import Vocabulary
from nba_engine.rules import Checked, check, parse, unparse
from nba_engine.rules.index import RuleIndexBuilder
from nba_engine.rules.limits import CATALOG_STEPS_MAX, FACT_ITEMS_MAX, ITEMS_MAX, STEPS_MAX, VALUE_LENGTH_MAX
from nba_engine.rules.parsing import LITERAL_ITEMS_MAX
from nba_engine.rules.plain import _Evaluation, evaluate
from nba_engine.rules.syntax import conditions_in
from nba_engine.rules.values import ErrorValue
from nba_engine.schema import BOOL, BUILT_IN_FACTS, INT, STRING, Fact, list_of
from tests.expressions import FACTS, boolean_rule, row

LONG = "ab" * VALUE_LENGTH_MAX
SAMPLE = {"l": list(range(ITEMS_MAX)), "m": list(range(ITEMS_MAX + 1)), "h": list(range(FACT_ITEMS_MAX + 1)), "t": LONG[: VALUE_LENGTH_MAX],
          "u": LONG, "deep": [[0] * 60] * 60}  # fmt: skip


@pytest.mark.parametrize(("text", "limit"), [
    ("l.exists(a, l.exists(b, a + b < 0))", "STEPS_MAX = 5000"), ("l.map(a, l.map(b, l.map(c, l))) == []", "STEPS_MAX = 5000"),
    ("l.all(a, deep == deep)", "STEPS_MAX = 5000"), ("t.matches('([ab]*a[ab]{60}|[ab]*b[ab]{61})c')", "STEPS_MAX = 5000"),
    ("m.all(a, a >= 0)", "ITEMS_MAX = 1000 items, not 1001"), ("t.split('').exists(c, c == 'x')", "ITEMS_MAX = 1000 items, not 10000"),
    ("-1 in h", "FACT_ITEMS_MAX = 5000"), ("u.contains('x')", "VALUE_LENGTH_MAX = 10000"), ("(t + t).size() > 1", "VALUE_LENGTH_MAX"),
    ("t.replace('', t).size() > 1", "VALUE_LENGTH_MAX"), ("[t, t].join() == ''", "VALUE_LENGTH_MAX"),
    ("l.map(a, t).join('x') == ''", "VALUE_LENGTH_MAX"),
    ("cel.bind(a, t.replace('a', 'aaaa'), a.replace('a', a)).size() > 1", "VALUE_LENGTH_MAX"),
])  # fmt: skip
def test_what_costs_too_much_is_an_error_that_names_the_limit(text, limit):
    found = evaluate(parse(text), SAMPLE, nullable=True)
    assert isinstance(found, ErrorValue) and limit in found.message, found
    assert evaluate(parse(f"({text}) || true"), SAMPLE, nullable=True) is True


def test_what_is_as_long_as_allowed_is_answered():
    for text in ("l.all(a, a >= 0)", "t.contains('ba')", "'x' in ['x']", "t.matches('^(ab)+$')", "size(l) > 1", "t == t", "u != t", "l[7] == 7",
                 "l.exists(a, a == 999)", "deep[0] == deep[1]", "t.split('').size() == 10000"):  # fmt: skip
        assert evaluate(parse(text), SAMPLE, nullable=True) is True, text


def test_the_cost_at_worst_is_never_below_the_cost():
    """Random rules on random facts: the steps that were taken, beside those that the text alone promises."""
    rng = random.Random(5)
    types = {**FACTS, **{fact.name: fact.type for fact in BUILT_IN_FACTS}}
    n_costly = 0
    for _ in range(1500):
        text = boolean_rule(rng, FACTS, depth=2)
        for condition, worst in check(parse(text), types, text).costly:
            n_costly += 1
            for _ in range(3):
                evaluation = _Evaluation(row(rng, FACTS), True)
                evaluation.value(condition, {})
                assert evaluation.steps <= worst, (text, evaluation.steps, worst)
    assert n_costly > 500


@pytest.mark.parametrize("text", [
    "-1 in f", "f == [1, 2]", "f != g", "7 in f || 8 in g", "l.exists(a, a in f)", "t.startsWith('x')", "t.matches('^a+$')", "t.split('a') == []",
    "l.map(a, a + 1).exists(b, b == 5)", "[t, t, t].all(x, x.contains('zz'))", "l.filter(a, a > 3).size() > 1", "math.greatest(f) == 3",
    "t.replace('a', 'b').lowerAscii().reverse().endsWith('c')", "cel.bind(x, t.substring(1), x.contains('q') || x.endsWith('z'))",
])  # fmt: skip
def test_the_cost_at_worst_holds_for_the_longest_facts(text):
    facts = {"f": list(range(FACT_ITEMS_MAX)), "g": [*range(FACT_ITEMS_MAX - 1), -1], "l": list(range(ITEMS_MAX)), "t": LONG[:VALUE_LENGTH_MAX]}
    types = {**{name: list_of(INT) for name in "fgl"}, "t": STRING}
    [*conditions] = check(parse(text), types, text).costly
    assert conditions != []
    for condition, worst in conditions:
        evaluation = _Evaluation(facts, True)
        evaluation.value(condition, {})
        assert min(evaluation.steps, STEPS_MAX) <= worst, (evaluation.steps, worst)  # what would go beyond is refused before it is done


def test_a_rule_that_costs_too_much_for_a_customer_is_unknown_and_says_why():
    """However long the lists are, deciding takes some milliseconds and nothing raises."""
    catalog = nba.Catalog.from_dict({"facts": {"lines": "list<int>"}, "actions": [
        {"id": "a", "eligibility": ["lines.exists(x, lines.exists(y, x * y < 0))"]}, {"id": "b"}]})  # fmt: skip
    with nba.Engine(catalog) as engine:
        decision = engine.decide("ann", facts={"lines": list(range(900))})
        assert [o.action for o in decision.offers] == ["b"]
        [reason] = engine.explain(decision.id).of("a").reasons
        assert reason.verdict == "unknown" and "takes more than STEPS_MAX = 5000 steps on these facts; let it go through shorter" in reason.because
        assert engine.decide("eve", facts={"lines": [3, -2]}, limit=2).funnel["eligibility"] == 2


def test_a_catalog_of_too_many_costly_conditions_is_refused():
    facts, text = {"lines": "list<int>", "name": "string"}, "lines.exists(x, lines.exists(y, x * y == {}))"
    n_most = CATALOG_STEPS_MAX // STEPS_MAX

    def actions(n, repeated=1):
        return [{"id": f"{i}-{k}", "eligibility": [text.format(i), f"name.startsWith('{k}')"]} for i in range(n) for k in range(repeated)]

    nba.Catalog.from_dict({"facts": facts, "actions": actions(20, repeated=50)})  # the same words cost once
    with pytest.raises(nba.CatalogError) as caught:
        nba.Catalog.from_dict({"facts": facts, "actions": actions(n_most + 1)})
    [fault] = caught.value.faults
    assert fault.place.startswith("actions[") and "(CATALOG_STEPS_MAX)" in fault.message and "in the same words" in fault.message


def test_a_written_list_is_limited():
    with pytest.raises(nba.RuleError, match=f"the list has {LITERAL_ITEMS_MAX + 1} items, at most LITERAL_ITEMS_MAX = {LITERAL_ITEMS_MAX}"):
        parse(f"a in [{', '.join(map(str, range(LITERAL_ITEMS_MAX + 1)))}]")


def test_every_condition_that_is_not_compiled_is_counted():
    """What becomes a host slot, which the plain evaluator answers, has its steps counted; of random rules and of every comparison of texts."""
    rng, vocabulary = random.Random(6), Vocabulary()
    encoder = Encoder([Fact(name, type_) for name, type_ in FACTS.items()], vocabulary)
    columns = {column.name: (i, column.type) for i, column in enumerate(encoder.columns)}
    types = {**FACTS, **{fact.name: fact.type for fact in BUILT_IN_FACTS}}
    n_hosted = 0
    for text in ["region < 'b'", "region == tariff", "tariff in ['a', region]", *(boolean_rule(rng, FACTS, depth=2) for _ in range(1000))]:
        rule = check(parse(text), types, text)
        counted = {condition for condition, _ in rule.costly}
        for condition in conditions_in(rule.node):
            builder = RuleIndexBuilder(columns, len(columns), vocabulary.name)
            builder.target([Checked(condition, BOOL, rule.types, text)])
            n_hosted += len(builder.slots.hosts)
            assert condition in counted or not builder.slots.hosts, unparse(condition)
    assert n_hosted > 200
