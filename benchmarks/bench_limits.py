"""The worst catalogs that are accepted, and how long one decision on them takes: `python -m benchmarks.bench_limits`, a minute or two.

For each kind of condition that decisions cannot compile, a catalog is filled with as many different ones as CATALOG_STEPS_MAX lets in, and one
customer's facts are as long as the limits let rules read. The bound is BOUND_S: no accepted catalog, on no facts, may take longer to decide.
Measured is this thread's own processor time, so that it says the same on a busy machine. The number to look at is the microseconds a step: the
limits hold if none is far above one. Where it misleads: facts that are longer than the limits
are faster, because rules refuse them; conditions that are compiled cost a thousandth of this and are measured by bench_rules.py.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

import nba_engine as nba
from nba_engine.rules import check, parse
from nba_engine.rules.limits import CATALOG_STEPS_MAX, FACT_ITEMS_MAX, ITEMS_MAX, VALUE_LENGTH_MAX
from nba_engine.schema import parse_type
from tests.kernel_cache import use_own_folder

BOUND_S = 5.0
_FIRST = 100_000
"""Conditions are told apart by numbers of as many digits, so that all cost the same."""
FACTS = {"names": "list<string>", "numbers": "list<int>", "many": "list<int>", "others": "list<int>", "text": "string", "at": "timestamp"}
CONDITIONS = {
    "two lists, one inside the other": "numbers.exists(a, numbers.exists(b, a * b == -{}))",
    "four macros deep": "numbers.all(a, numbers.all(b, numbers.all(c, numbers.all(d, a + b + c + d > -{}))))",
    "one list, a short condition": "names.exists(n, n.startsWith('{}'))",
    "one list, dates in zones": "numbers.exists(n, at.getHours('Europe/Zurich') + n == -{})",
    "one list, lists made inside": "numbers.map(n, [n, n, n, n, n, n]) == [[{}]]",
    "a pattern that defeats the automaton": "text.matches('^([ab]*a[ab]{{60}}|[ab]*b[ab]{{61}})c{}$')",
    "a pattern, as people write them": "text.matches('^(gold|silver)-{}[0-9]+$')",
    "text functions in a row": "text.lowerAscii().reverse().replace('b', 'c').trim().contains('x{}')",
    "a text made as long as it may be": "(text.substring(0, 5000) + text.substring(5000)).endsWith('x{}')",
    "two long lists compared": "many == others || many == [{}]",
    "a long list searched": "-{} in many",
    "nothing but arithmetic, hidden in a macro": "numbers.exists(n, (n + 1) * (n + 2) * (n + 3) - n * n * n == {}1)",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Worst:
    """A catalog filled with one kind of condition, and the seconds of processor time that a decision took."""

    kind: str
    n_conditions: int
    n_steps: int
    seconds: float

    @property
    def us_per_step(self) -> float:
        return self.seconds * 1e6 / self.n_steps


def facts() -> dict[str, Any]:
    """As long as rules may read them, and such that no condition above is decided early."""
    text = ("abbabaab" * VALUE_LENGTH_MAX)[:VALUE_LENGTH_MAX]
    many = list(range(FACT_ITEMS_MAX))
    return {"names": ["abcdefgh"] * ITEMS_MAX, "numbers": list(range(ITEMS_MAX)), "many": many, "others": [*many[:-1], -1], "text": text,
            "at": "2026-11-22T09:30:00Z"}  # fmt: skip


def catalog(condition: str, n_steps: int = CATALOG_STEPS_MAX) -> tuple[nba.Catalog, int, int]:
    """As many actions as the steps let in, each with a condition of its own; how many that are, and their steps."""
    text = condition.format(_FIRST)
    each = sum(steps for _, steps in check(parse(text), {name: parse_type(type_) for name, type_ in FACTS.items()}, text).costly)
    n = max(1, n_steps // each - 1)
    actions = [{"id": f"a{i}", "eligibility": [condition.format(_FIRST + i)]} for i in range(n)]
    return nba.Catalog.from_dict({"facts": FACTS, "channels": {"call": {}}, "actions": actions}), n, n * each


def measure(n_steps: int = CATALOG_STEPS_MAX, n_decisions: int = 2) -> Iterator[Worst]:
    """Each kind in turn."""
    for kind, condition in CONDITIONS.items():
        made, n, total = catalog(condition, n_steps)
        with nba.Engine(made) as engine:
            engine.warm()
            times = []
            for _ in range(n_decisions):
                given, started = facts(), time.thread_time()
                engine.decide("somebody", channel="call", facts=given)
                times.append(time.thread_time() - started)
        yield Worst(kind, n, total, min(times))


@pytest.mark.parametrize("kind", CONDITIONS)
def test_worst(benchmark, kind):
    """A hundredth of a worst catalog of each kind."""
    made, _, total = catalog(CONDITIONS[kind], CATALOG_STEPS_MAX // 100)
    with nba.Engine(made) as engine:
        benchmark.pedantic(lambda: engine.decide("somebody", channel="call", facts=facts()), rounds=3)
    benchmark.extra_info["steps"] = total


def main() -> int:
    use_own_folder()
    print("| filled with | conditions | steps at worst | one decision | us a step |\n|---|---|---|---|---|")
    slowest = 0.0
    for worst in measure():
        slowest = max(slowest, worst.seconds)
        print(f"| {worst.kind} | {worst.n_conditions:,} | {worst.n_steps:,} | {worst.seconds:.2f} s | {worst.us_per_step:.2f} |", flush=True)
    print(f"\nThe slowest took {slowest:.2f} s; the bound is {BOUND_S:.0f} s.")
    return int(slowest > BOUND_S)


if __name__ == "__main__":
    sys.exit(main())
