"""Rules alone: 100, 1,000 and 10,000 rules of about 5 conditions over 40 facts. `python -m pytest benchmarks/bench_rules.py`.

The numbers: one evaluation of all rules from an encoded row (`rules.program`, then `rules.truth`), rows alternating; what it costs with encoding the
row; and the two kernels of decision.py that turn bits into candidates with terms. Beside it one generated Python function for the same rules, and
zen-engine in two forms (peers/zen.py), which read the customer's dict: encoding and evaluating together is what compares with them.
Where it loses: below some 50 rules generated Python is faster than encoding alone; a catalog whose rules share no constants has longer tables and
more cache misses; rules that only the plain evaluator can answer cost 5 to 50 us each and distinct text.
"""

from __future__ import annotations

import itertools

import numpy as np
import pytest

import nba_engine as nba
from benchmarks import setting, world
from benchmarks.peers import generated, zen
from nba_engine.decision import _fill_eligible, _fill_terms
from nba_engine.rules.truth import Evaluation


@pytest.fixture(scope="module", params=[100, 1_000, 10_000])
def made(request):
    return world.make(request.param)


@pytest.fixture(scope="module")
def state(made):
    return nba.Engine(setting.catalog(len(made.rules)))._memory.state


@pytest.fixture(scope="module")
def rows(state):
    return [encode(state.plan, facts) for facts in setting.customers()[:100]]


def encode(plan, facts):
    return plan.encoder.encode(facts, world.NOW * 1_000_000, "call", "inbound")


def evaluate(state, row) -> None:
    evaluation: Evaluation = state.work.rules
    evaluation.run(row, lambda _: {})


def test_rules_alone(benchmark, state, rows):
    following = itertools.cycle(rows)
    benchmark(lambda: evaluate(state, next(following)))


def test_encoding_and_rules(benchmark, state):
    following = itertools.cycle(setting.customers()[:100])
    benchmark(lambda: evaluate(state, encode(state.plan, next(following))))


@pytest.mark.parametrize("form", [generated.GeneratedRules, zen.ZenTable, zen.ZenExpression])
def test_instead(benchmark, made, form):
    try:
        peer = form(made)
    except ImportError as error:
        pytest.skip(str(error))
    following = itertools.cycle(world.customers(100))
    slow = form is zen.ZenTable and len(made.rules) > 1_000
    benchmark.pedantic(lambda: peer.decide(next(following)), rounds=5) if slow else benchmark(lambda: peer.decide(next(following)))


def test_stages_and_terms(benchmark, state, rows):
    plan, work = state.plan, state.work
    evaluate(state, rows[0])

    def both() -> None:
        _fill_eligible(1, work.rules.bits, plan.stage_words, plan.channel_masks, plan.n_available, plan.windows, work.at_us, work.channel_index,
                       plan.action, work.bits, work.counts)
        _fill_terms(1, work.bits, work.rules.values, work.rules.states, plan.numbers, plan.value_slots, plan.action, work.offsets, work.survivors,
                    work.terms, work.counts)

    benchmark(both)
    assert np.count_nonzero(work.survivors) > 1
