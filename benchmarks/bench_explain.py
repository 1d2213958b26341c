"""Why, and why not, of 1,000 actions with five rules each over 40 facts: `python -m benchmarks.bench_explain`, or with `pytest`.

The numbers: what `explain` costs until it is read (nothing); the arrays of all actions; one action in words; all of them as `to_dict()`; and what the
first arrays after a catalog came into use cost, which compiles its rules for this. Decisions take turns, so that no explanation is read twice.
Beside the arrays stands the slow way to the same: every action in words. Where it loses: a long contact history (listed in plain Python, up to a
millisecond for 100 events), rules that only the plain evaluator can answer (5 to 50 us a distinct text), the first call.
"""

from __future__ import annotations

import random
import statistics
import sys
import time
from collections.abc import Callable
from functools import cache

import pytest

import nba_engine as nba
from benchmarks import setting, world
from tests.kernel_cache import use_own_folder

N_ACTIONS, N_RULES, N_DECISIONS = 1_000, 5, 100
WAYS: dict[str, Callable[[nba.Explanation], object]] = {
    "arrays of 1,000 actions": lambda explanation: explanation.arrays(),
    "one action in words": lambda explanation: str(explanation.of("action-17")),
    "all of it, to_dict()": lambda explanation: explanation.to_dict(),
}


@cache
def catalog() -> nba.Catalog:
    """The catalog of `world`, its rules of five conditions and four rules of one or two conditions more an action."""
    written, r = world.make(N_ACTIONS).catalog, random.Random(1)
    clauses = [world.joined([clause], "cel") for rule in world.make(N_ACTIONS).rules for clause in rule]
    actions = [{**a, "applicability": r.sample(clauses, 2), "suitability": r.sample(clauses, N_RULES - 3)} for a in written["actions"]]
    return nba.Catalog.from_dict({**written, "actions": actions, "contact_policies": setting.CONTACT_POLICIES})


def decided(engine: nba.Engine, n: int = N_DECISIONS) -> list[str]:
    """Ids of decisions for subjects with five answers in their history each."""
    decide = setting.deciding(engine, setting.customers(), n_subjects=n)
    for k in range(5 * n):
        decision = decide(k)
        for offer in decision.offers[:1]:
            engine.record(decision.id, "declined", action=offer.action, at=world.AT)
    return [decide(k).id for k in range(n)]


def measure(n: int = N_DECISIONS) -> tuple[float, dict[str, list[float]]]:
    """Milliseconds of the first arrays, and of each way for each decision."""
    with nba.Engine(catalog()) as engine:
        engine.warm()
        ids = decided(engine, n)
        started = time.perf_counter()
        engine.explain(ids[0]).arrays()
        first = (time.perf_counter() - started) * 1e3
        found: dict[str, list[float]] = {way: [] for way in WAYS}
        for name in ids:
            for way, read in WAYS.items():
                explanation = engine.explain(name)
                started = time.perf_counter()
                read(explanation)
                found[way].append((time.perf_counter() - started) * 1e3)
        return first, found


@pytest.fixture(scope="module")
def explained():
    with nba.Engine(catalog()) as engine:
        ids = decided(engine, 20)
        engine.explain(ids[0]).arrays()
        yield engine, ids


@pytest.mark.parametrize("way", WAYS)
def test_explain(benchmark, explained, way):
    engine, ids = explained
    turns = iter(ids * 10_000)
    benchmark.pedantic(lambda explanation: WAYS[way](explanation), setup=lambda: ((engine.explain(next(turns)),), {}),
                       rounds=5 if way.startswith("all") else 100)  # fmt: skip


def main() -> int:
    use_own_folder()
    first, found = measure()
    for way, times in found.items():
        print(f"{way}: median {statistics.median(times):.2f} ms, least {min(times):.2f} ms")
    print(f"the first arrays of a catalog, its rules compiled for this: {first:.0f} ms")
    return 0


if __name__ == "__main__":
    sys.exit(main())
