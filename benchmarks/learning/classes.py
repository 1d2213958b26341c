"""`python -m benchmarks.learning.classes`: one of K actions is right and a few numbers say which: `probit` beside `probit_full`.

The number: share of right actions over 3,000 interactions, mean of two worlds. In a world each action has a centre, N(0, 1.2^2) in each of D numbers,
and a customer stands a standard normal deviation around the centre of the action that is right.
Where it loses: facts that depend on each other in no way, and answers without noise; two worlds tell differences of about .02. Where answers are
noisy, or rows few, full covariance gains nothing (docs/decisions/0033-bools-as-one-feature.md).
"""

from __future__ import annotations

import sys
import time

import numpy as np

import nba_engine as nba

N_ROWS, WORLDS, SHAPES, MODELS = 3000, (1, 2), ((3, 4), (12, 6), (20, 8)), ("probit", "probit_full")


def right(model: str, n_actions: int, n_numbers: int, seed: int) -> float:
    """Share of right actions in one world."""
    rng = np.random.default_rng(seed)
    centres, labels = rng.normal(0.0, 1.2, (n_actions, n_numbers)), rng.integers(0, n_actions, N_ROWS)
    numbers = centres[labels] + rng.normal(size=(N_ROWS, n_numbers))
    facts, actions = [f"x{k}" for k in range(n_numbers)], [f"label {k}" for k in range(n_actions)]
    catalog = nba.Catalog.from_dict({"facts": dict.fromkeys(facts, "double"), "issues": {"all": {"groups": {"one": {}}}}, "model": model,
                                     "actions": [{"id": action, "issue": "all", "group": "one", "value": 1} for action in actions],
                                     "exploration": {"uniform_share": 0}})
    engine, n_right = nba.Engine(catalog, seed=seed, explained_decisions_max=10), 0
    for i, (row, label) in enumerate(zip(numbers.tolist(), labels.tolist(), strict=True)):
        decision = engine.decide(f"row {i}", facts=dict(zip(facts, row, strict=True)))
        is_right = decision.offers[0].action == actions[label]
        n_right += is_right
        engine.record(decision.id, "accepted" if is_right else "declined")
    return n_right / N_ROWS


def main() -> None:
    sys.stdout.write(f"| actions, numbers | {' | '.join(MODELS)} |\n|---|---|---|\n")
    for n_actions, n_numbers in SHAPES:
        cells = []
        for model in MODELS:
            start = time.perf_counter()
            share = np.mean([right(model, n_actions, n_numbers, seed) for seed in WORLDS])
            cells.append(f"{share:.3f} ({(time.perf_counter() - start) / N_ROWS / len(WORLDS) * 1e3:.1f} ms a row)")
        sys.stdout.write(f"| {n_actions}, {n_numbers} | {' | '.join(cells)} |\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
