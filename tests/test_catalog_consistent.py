"""`Catalog.check` on generated catalogs that are consistent by construction: somebody exists for whom every rule of the action is true."""

from __future__ import annotations

import random

from nba_engine.catalog.contradictions import Possible, implies
from nba_engine.rules import evaluate, parse
from nba_engine.rules.normal import Normalizer
from nba_engine.schema import BUILT_IN_FACTS
from tests.expressions import FACTS, rules_and_rows

TYPES = {**FACTS, **{fact.name: fact.type for fact in BUILT_IN_FACTS}}


def test_no_false_alarm_on_consistent_rules():
    """Up to six rules that are all true of one customer never count as contradictory, and what follows from some of them is true as well."""
    rng = random.Random(11)
    rules, rows = rules_and_rows(rng, FACTS, 1200, n_rows=40, depth=2)
    nodes = {text: parse(text) for text in rules}
    n_consistent = 0
    for facts in rows:
        holding = [text for text in rng.sample(rules, 300) if evaluate(nodes[text], facts, nullable=True) is True]
        failing = [text for text in rng.sample(rules, 60) if evaluate(nodes[text], facts, nullable=True) is not True]
        for _ in range(25):
            chosen = rng.sample(holding, min(len(holding), rng.randint(1, 6)))
            normalizer = Normalizer()
            assert Possible(TYPES).contradiction([(text, normalizer.formula(nodes[text], text)) for text in chosen]) is None, chosen
            wrongly = [text for text in failing[:5] if implies(TYPES, [nodes[c] for c in chosen], nodes[text])]
            assert wrongly == [], chosen
            n_consistent += 1
    assert n_consistent == 1000
