"""Where a microsecond goes: the stages of one `decide`, each timed inside whole decisions. `python -m benchmarks.stages`.

One stage at a time is wrapped by a clock, stages taking turns and customers rotating within each turn, so that caches are as cold as in service: a
stage timed in a loop of its own is up to three times faster. 1,000 actions, 40 facts, a fifth eligible, three contact policies, five answers in every
history, beliefs taught. A stage's time is the median over decisions; what is left of the whole is "everything else".
Where it misleads: the clock around a stage costs 0.1 us, and medians do not add up exactly.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any

import nba_engine as nba
from benchmarks import setting
from tests.kernel_cache import use_own_folder

STAGES = (
    ("facts: dict to encoded row", "nba_engine.facts.encoding", "Encoder.encode"),
    ("rules: which of them hold", "nba_engine.rules.truth", "Evaluation.run"),
    ("availability and the tiers of rules", "nba_engine.decision", "_fill_eligible"),
    ("consent and contact history", "nba_engine.decision", "_close"),
    ("value, lever, cost", "nba_engine.decision", "_value_candidates"),
    ("beliefs: features and propensities", "nba_engine.beliefs", "Scorer.score"),
    ("priorities, win probabilities, slate, draw", "nba_engine.decision", "draw_slates"),
    ("offers as records", "nba_engine.decision", "_offers_of"),
    ("kept for explain and record", "nba_engine.engine", "place"),
)
"""(what it does, module, attribute as the caller finds it): siblings, none inside another. One that is no longer there is left out and named."""

WHOLE, REST = "the whole `decide`", "everything else: checks, ids, the lock, the Decision"
N_SUBJECTS = setting.N_CUSTOMERS


def measure(n_rounds: int = 10, n_calls: int = 200) -> dict[str, float]:
    """Stage -> median microseconds, in the order of the funnel, then `REST` and `WHOLE`."""
    facts = setting.customers()
    with nba.Engine(setting.catalog_with_policies(1_000)) as engine:
        engine.warm()
        setting.teach(engine, facts, 5 * N_SUBJECTS, "subject", N_SUBJECTS)
        decide = setting.deciding(engine, facts, n_subjects=N_SUBJECTS)
        wholes, spent = list[float](), {what: list[float]() for what, module, attribute in STAGES if found(module, attribute)}
        for k in range(n_calls):
            decide(k)
        for _ in range(n_rounds):
            wholes += _whole(decide, n_calls)
            for what, module, attribute in STAGES:
                if what in spent:
                    spent[what] += _stage(decide, n_calls, module, attribute)
    medians = {what: statistics.median(times) for what, times in spent.items()}
    whole = statistics.median(wholes)
    return medians | {REST: whole - sum(medians.values()), WHOLE: whole}


def lines(measured: dict[str, float]) -> list[str]:
    """The table of docs/performance.md."""
    rows = [f"| {what} | {us:.1f} us | {us / measured[WHOLE]:.0%} |" for what, us in measured.items()]
    missing = [what for what, _, _ in STAGES if what not in measured]
    left_out = ["", f'Not found, so within "everything else": {", ".join(missing)}.'] if missing else []
    return ["| stage | median | share |", "|---|---|---|", *rows, *left_out]


def _whole(decide: Callable[[int], Any], n_calls: int) -> list[float]:
    times = []
    for k in range(n_calls):
        started = time.perf_counter_ns()
        decide(k)
        times.append((time.perf_counter_ns() - started) / 1e3)
    return times


def _stage(decide: Callable[[int], Any], n_calls: int, module: str, attribute: str) -> list[float]:
    """Microseconds a decision spends in one stage, which may be called several times or not at all."""
    spent, times = [0], list[float]()
    with _clocked(module, attribute, spent):
        for k in range(n_calls):
            spent[0] = 0
            decide(k)
            times.append(spent[0] / 1e3)
    return times


@contextmanager
def _clocked(module: str, attribute: str, spent: list[int]) -> Iterator[None]:
    owner, name = _place(module, attribute)
    original = owner.__dict__[name]

    def timed(*arguments: Any, **named: Any) -> Any:
        started = time.perf_counter_ns()
        answer = original(*arguments, **named)
        spent[0] += time.perf_counter_ns() - started
        return answer

    setattr(owner, name, timed)
    try:
        yield
    finally:
        setattr(owner, name, original)


def _place(module: str, attribute: str) -> tuple[Any, str]:
    owner: Any = import_module(module)
    *classes, name = attribute.split(".")
    for one in classes:
        owner = getattr(owner, one)
    return owner, name


def found(module: str, attribute: str) -> bool:
    """Whether a stage is where `STAGES` says."""
    try:
        owner, name = _place(module, attribute)
    except (ImportError, AttributeError):
        return False
    return name in owner.__dict__


def main() -> int:
    use_own_folder()
    sys.stdout.write("\n".join([*lines(measure()), ""]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
