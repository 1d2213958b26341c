"""What a reload costs. `python -m benchmarks.reload [ACTIONS]`: from a mapping (YAML already read) to a compiled plan, 5 rules an action.

Printed are seconds, by the clock and of this thread's own processor time, for the first catalog and for the same one with 10 rules changed; the same
through `Engine.reload`, which also makes the beliefs' tables; and the most memory that the process ever held. Rules that were read before are
found by their text, with all that they say of themselves; what remains is validating the mapping, giving conditions their slots, laying out the
tables and compiling contact policies. Three turns, the least of which counts: one in two meets a full collection of Python's garbage (70 ms).
Where it misleads: constants are all different, as in no real catalog; rules shared by many actions are read once.
"""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Callable
from typing import Any

import nba_engine as nba
from benchmarks import rule_world, world
from nba_engine.catalog.compiling import compile_plan
from nba_engine.contact.history import Contacts
from nba_engine.facts.vocabulary import Vocabulary

N_RULES, N_CHANGED, N_TURNS = 5, 10, 3


def catalog(n_actions: int, n_changed: int = 0) -> dict[str, Any]:
    """General rules with constants of their own, each clause a rule, filled up to five; `n_changed` of them with other constants."""
    actions = []
    for i, made in enumerate(rule_world.rules(n_actions, general=True, shared=False)):
        texts = [world.joined([[part[0] for part in clause]], "cel") for clause in made]
        texts += [f"f0 >= {i * N_RULES + k}" for k in range(N_RULES - len(texts))]
        if i < n_changed:
            texts[0] = f"f2 < {i + 1} || f4 > {i}.5"
        actions.append({"id": f"action-{i}", "issue": "sales", "group": f"group-{i % 20}", "value": 5.0, "eligibility": texts})
    return {"name": "reload", "version": str(n_changed), "facts": {name: str(type_) for name, type_ in rule_world.TYPES.items()},
            "channels": {"call": {}}, "outcomes": {"accepted": {"reward": 1}},
            "issues": {"sales": {"groups": {f"group-{g}": {} for g in range(20)}}}, "actions": actions}  # fmt: skip


def compiled(made: nba.Catalog) -> None:
    """By nobody used before."""
    compile_plan(made, Vocabulary(), Contacts().names, {})


def measure(written: dict[str, Any], use: Callable[[nba.Catalog], object] = compiled) -> tuple[float, float]:
    """Seconds by the clock and of this thread."""
    started, own = time.perf_counter(), time.thread_time()
    use(nba.Catalog.from_dict(written))
    return time.perf_counter() - started, time.thread_time() - own


def main(n_actions: int = 1_000) -> int:
    measure(catalog(3))
    first = catalog(n_actions)
    _tell(n_actions, "the first time", [measure(first)])
    turns = [catalog(n_actions, N_CHANGED * (k + 2)) for k in range(N_TURNS)]
    _tell(n_actions, f"{N_CHANGED} rules changed", [measure(written) for written in turns])
    _tell(n_actions, "nothing changed", [measure(turns[-1]) for _ in range(N_TURNS)])
    with nba.Engine(nba.Catalog.from_dict(turns[-1])) as engine:
        turns = [catalog(n_actions, N_CHANGED * (k + N_TURNS + 2)) for k in range(N_TURNS)]
        _tell(n_actions, f"{N_CHANGED} rules changed, Engine.reload", [measure(written, engine.reload) for written in turns])
    sys.stdout.write(f"at most {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MB\n")
    return 0


def _tell(n_actions: int, what: str, turns: list[tuple[float, float]]) -> None:
    clock_s, own_s = map(min, zip(*turns, strict=True))
    sys.stdout.write(f"{n_actions:,} actions x {N_RULES} rules, {what}: {clock_s:.2f} s, own processor time {own_s:.2f} s\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:2])))
