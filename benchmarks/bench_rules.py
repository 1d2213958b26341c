"""Rules alone, from an encoded row: 1,000 rules of about 5 conditions over 40 facts. `python -m pytest benchmarks/bench_rules.py`.

The numbers: one evaluation of all rules (`rules.program`, then `rules.truth`), rows alternating; beside it one generated Python function for the
same rules, and the two kernels of decision.py that turn bits into candidates with terms. Where it loses: a catalog whose rules share no constants
has longer tables and more cache misses; rules that only the plain evaluator can answer cost 5 to 50 us each and distinct text.
"""

from __future__ import annotations

import itertools

import numpy as np
import pytest

import nba_engine as nba
from benchmarks import world
from nba_engine.decision import _fill_eligible, _fill_terms
from nba_engine.rules.truth import Evaluation


@pytest.fixture(scope="module")
def setting():
    made = world.make(1000)
    state = nba.Engine(nba.Catalog.from_dict(made.catalog))._memory.state
    customers = world.customers(100)
    rows = [state.plan.encoder.encode(world.facts_of(c), world.NOW * 1_000_000, "call", "inbound") for c in customers]
    return state.plan, state.work, rows, customers, world.generated_rules(made)


def evaluate(plan, row) -> None:
    evaluation: Evaluation = plan.evaluation
    evaluation.run(row.values, row.states, row.item_codes, row.item_offsets, dict)


def test_rules_alone(benchmark, setting):
    plan, _, rows, _, _ = setting
    following = itertools.cycle(rows)
    benchmark(lambda: evaluate(plan, next(following)))


def test_generated_python(benchmark, setting):
    *_, customers, python = setting
    following = itertools.cycle(customers)
    benchmark(lambda: python(next(following), world.NOW))


def test_stages_and_terms(benchmark, setting):
    plan, work, rows, _, _ = setting
    evaluate(plan, rows[0])

    def both() -> None:
        _fill_eligible(plan.evaluation.bits, plan.stage_words, plan.channel_masks[0], plan.n_available[0], plan.windows, world.NOW, plan.action,
                       work.bits, work.counts)
        _fill_terms(work.bits, plan.evaluation.values, plan.evaluation.states, plan.numbers, plan.value_slots, plan.action, work.survivors,
                    work.terms, work.counts)

    benchmark(both)
    assert np.count_nonzero(work.survivors) > 1
