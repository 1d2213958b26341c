"""What a reload costs. `python -m benchmarks.reload [ACTIONS]`: from a mapping (YAML already read) to a compiled plan, 5 rules an action.

Printed are seconds, by the clock and of this thread's own processor time, for the first catalog and for the same one with 10 rules changed. Rules
that were read before are found by their text; what remains is validating the mapping, laying out the tables and compiling contact policies.
Where it misleads: constants are all different, as in no real catalog; rules shared by many actions are read once.
"""

from __future__ import annotations

import sys
import time
from typing import Any

import nba_engine as nba
from benchmarks import rule_world, world
from nba_engine.catalog.compiling import compile_plan
from nba_engine.contact.history import Contacts
from nba_engine.facts.vocabulary import Vocabulary

N_RULES, N_CHANGED = 5, 10


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


def measure(written: dict[str, Any]) -> tuple[float, float]:
    """Seconds by the clock and of this thread."""
    started, own = time.perf_counter(), time.thread_time()
    compile_plan(nba.Catalog.from_dict(written), Vocabulary(), Contacts().names, {})
    return time.perf_counter() - started, time.thread_time() - own


def main(n_actions: int = 1_000) -> int:
    measure(catalog(3))
    first, changed = catalog(n_actions), catalog(n_actions, N_CHANGED)
    for what, written in (("the first time", first), ("10 rules changed", changed), ("nothing changed", changed)):
        clock_s, own_s = measure(written)
        sys.stdout.write(f"{n_actions:,} actions x {N_RULES} rules, {what}: {clock_s:.2f} s, own processor time {own_s:.2f} s\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:2])))
