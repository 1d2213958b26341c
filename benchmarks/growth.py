"""How the cost of one `decide` grows with actions, facts, rules and history. `python -m benchmarks.growth`.

Each sweep changes one thing, its points taking turns: actions (rules leave a fifth, nothing learned), facts (200 actions all open, beliefs taught),
clauses in each of 1,000 rules (a tenth of them ORs of two or three conditions; rules alone, from an encoded row), events in the subject's history
(1,000 actions, three contact policies that count them and are never filled).
Where it misleads: a sweep holds still what in a real catalog grows along; more facts usually come with more rules about them.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import nba_engine as nba
from benchmarks import setting, world
from benchmarks.measuring import Case, Timing, alternating
from nba_engine.rules.truth import Evaluation
from nba_engine.catalog.compiling import compile_plan
from nba_engine.contact.history import Contacts
from nba_engine.facts.vocabulary import Vocabulary
from tests.kernel_cache import use_own_folder

ACTIONS, FACTS, CLAUSES, EVENTS = (100, 300, 1_000, 3_000, 10_000), (10, 20, 40, 80), (1, 2, 5, 10, 20), (0, 5, 20, 100, 250)
Sweep = dict[int, Timing]


def measure(n_rounds: int = 5, n_calls: int = 100) -> dict[str, Sweep]:
    """What grows -> how much of it -> microseconds."""
    found = {}
    for name, sweep in (("actions", _actions), ("facts", _facts), ("clauses a rule", _rules), ("events in the history", _history)):
        with sweep() as cases:
            timings = alternating({str(n): case for n, case in cases.items()}, n_rounds, n_calls, n_calls)
        found[name] = {n: timings[str(n)] for n in cases}
    return found


def lines(found: dict[str, Sweep]) -> list[str]:
    """The table of docs/performance.md: a row for each point of a sweep, and how many times the sweep's first it is."""
    written = ["| what grows | how many | median | times the first |", "|---|---|---|---|"]
    for name, sweep in found.items():
        first = next(iter(sweep.values())).p50
        written += [f"| {name} | {n:,} | {timing.p50:.1f} us | {timing.p50 / first:.1f} |" for n, timing in sweep.items()]
    return written


def rules_alone(catalog: nba.Catalog, facts: list[dict[str, Any]]) -> Case:
    """Evaluating all rules from encoded rows, customers taking turns."""
    plan = compile_plan(catalog, Vocabulary(), Contacts().names, {})
    rows = [plan.encoder.encode(f, world.NOW * 1_000_000, "call", "inbound") for f in facts]
    evaluation = Evaluation(plan.index)
    return Case(lambda row: evaluation.run(row, lambda _: {}), lambda k: rows[k % len(rows)])


@contextmanager
def _actions() -> Iterator[dict[int, Case]]:
    with ExitStack() as stack:
        engines = {n: stack.enter_context(nba.Engine(setting.catalog(n))) for n in ACTIONS}
        yield {n: Case(setting.deciding(engine, setting.customers())) for n, engine in engines.items()}


@contextmanager
def _facts() -> Iterator[dict[int, Case]]:
    with ExitStack() as stack:
        engines = {n: stack.enter_context(nba.Engine(setting.open_catalog(200, n))) for n in FACTS}
        for n, engine in engines.items():
            setting.teach(engine, setting.open_customers(n))
        yield {n: Case(setting.deciding(engine, setting.open_customers(n))) for n, engine in engines.items()}


@contextmanager
def _rules() -> Iterator[dict[int, Case]]:
    made, r = world.make(1_000), random.Random(0)
    pool = [clause for rule in made.rules for clause in rule]

    def catalog(n: int) -> nba.Catalog:
        drawn = [world.joined(r.sample(pool, n), "cel") for _ in made.rules]
        actions = [{**action, "eligibility": [text]} for action, text in zip(made.catalog["actions"], drawn, strict=True)]
        return nba.Catalog.from_dict({**made.catalog, "actions": actions})

    yield {n: rules_alone(catalog(n), setting.customers()) for n in CLAUSES}


@contextmanager
def _history() -> Iterator[dict[int, Case]]:
    """Subjects of one number of events each, all in one engine."""
    n_subjects = 20
    facts = setting.customers()
    with nba.Engine(setting.catalog_with_policies(1_000)) as engine:
        for n in EVENTS:
            setting.teach(engine, facts, n * n_subjects, f"after-{n}", n_subjects)
        yield {n: Case(setting.deciding(engine, facts, 3, f"after-{n}", n_subjects)) for n in EVENTS}


def main() -> int:
    use_own_folder()
    sys.stdout.write("\n".join([*lines(measure()), ""]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
