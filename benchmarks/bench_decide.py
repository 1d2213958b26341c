"""One decision, end to end: 1,000 actions, 40 facts, five conditions a rule, a fifth eligible, slate of 3, dict in, Decision out.

Beside it one generated Python function that evaluates the same rules alone and nothing else: no contact history, no propensity, no
probabilities, no record. Where decide loses: with a few dozen actions that function is faster, a decision costs some 40 us whatever there is
to decide about. `figures.py` measures the same with the cases taking turns; ratios are quoted from there.
"""

from __future__ import annotations

import itertools
from typing import Any

import pytest

import nba_engine as nba
from benchmarks import world
from nba_engine.catalog.compiling import compile_plan
from nba_engine.contact.history import Contacts
from nba_engine.facts.vocabulary import Vocabulary

CUSTOMERS = world.customers(200)


@pytest.fixture(scope="module", params=[10, 100, 1_000])
def made(request: Any) -> world.World:
    return world.make(request.param)


@pytest.fixture
def engine(made: world.World) -> Any:
    with nba.Engine(nba.Catalog.from_dict(made.catalog)) as engine:
        yield engine


def stream() -> Any:
    return ((f"subject-{k % 5_000}", facts) for k, facts in enumerate(itertools.cycle([world.facts_of(c) for c in CUSTOMERS])))


def test_decide(benchmark: Any, engine: nba.Engine) -> None:
    asked = stream()

    def one() -> nba.Decision:
        subject, facts = next(asked)
        return engine.decide(subject, channel="call", facts=facts, limit=3, at=world.AT)

    decision = benchmark(one)
    assert decision.funnel["offered"] == len(decision.offers) == min(3, decision.funnel["value"])


def test_generated_python_rules_alone(benchmark: Any, made: world.World) -> None:
    eligible, asked = world.generated_rules(made), itertools.cycle(CUSTOMERS)
    benchmark(lambda: eligible(next(asked), world.NOW))


def test_compiled_rules_alone(benchmark: Any, made: world.World) -> None:
    plan = compile_plan(nba.Catalog.from_dict(made.catalog), Vocabulary(), Contacts().names, {})
    encoded = [plan.encoder.encode(world.facts_of(c), world.NOW * 1_000_000, "call", "inbound") for c in CUSTOMERS]
    asked = itertools.cycle(encoded)

    def one() -> None:
        row = next(asked)
        plan.evaluation.run(row.values, row.states, row.item_codes, row.item_offsets, dict)

    benchmark(one)


@pytest.mark.parametrize("sync", [None, "os", "disk"])
def test_record(benchmark: Any, tmp_path: Any, sync: Any) -> None:
    catalog = nba.Catalog.from_dict(world.make(1_000).catalog)
    asked = stream()
    with nba.Engine(catalog, **({} if sync is None else {"store": tmp_path, "sync": sync})) as engine:

        def before() -> tuple[tuple[str, str], dict[str, str]]:
            subject, facts = next(asked)
            decision = engine.decide(subject, channel="call", facts=facts, limit=3, at=world.AT)
            return (decision.id, "declined"), {"action": decision.offers[0].action}

        benchmark.pedantic(engine.record, setup=before, rounds=1_000, warmup_rounds=100)
