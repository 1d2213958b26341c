"""`python -m benchmarks.learning.through_engine [mushroom | statlog | bank | calls]`: the same sets through `Engine.decide` and `record`.

The number: the share of wrong actions over one pass, default settings but `uniform_share: 0`, raw columns as facts, actions of value 1, mean of
3 row orders; `calls`: AUC of `offer.propensity` read before `record`, bank's calls in call order, one action. Where it loses: see sets.py.
"""

from __future__ import annotations

import sys
import time

import numpy as np

import nba_engine as nba
from benchmarks.learning import sets
from benchmarks.learning.run import BARS, SEEDS, auc


def engine_for(data: sets.ClassificationSet, actions: list[str], seed: int) -> nba.Engine:
    """An engine whose actions are `actions`, each worth 1, in one group."""
    catalog = {
        "facts": {name: type_.kind for name, type_ in data.types.items()},
        "issues": {"all": {"groups": {"one": {}}}},
        "actions": [{"id": action, "issue": "all", "group": "one", "value": 1} for action in actions],
        "exploration": {"uniform_share": 0},
    }
    return nba.Engine(nba.Catalog.from_dict(catalog), seed=seed, explained_decisions_max=10)


def cost(name: str) -> float:
    """Mean share of wrong actions over three row orders."""
    data = sets.read(name)
    names = [f"label {action}" for action in data.actions]
    costs = []
    for seed in SEEDS:
        engine, n_wrong = engine_for(data, names, seed), 0
        for i in np.random.default_rng(seed).permutation(len(data.labels)).tolist():
            decision = engine.decide(f"row {i}", facts=data.row(i))
            right = decision.offers[0].action == names[data.labels[i]]
            n_wrong += not right
            engine.record(decision.id, "accepted" if right else "declined")
        costs.append(n_wrong / len(data.labels))
    return float(np.mean(costs))


def calls() -> tuple[float, float]:
    """AUC of the propensity before each outcome: whole run, second half."""
    data = sets.read("bank")
    engine, propensity = engine_for(data, ["call"], 0), np.zeros(len(data.labels))
    for i, label in enumerate(data.labels):
        decision = engine.decide(f"row {i}", facts=data.row(i))
        propensity[i] = decision.offers[0].propensity
        engine.record(decision.id, "accepted" if label else "declined")
    half = len(data.labels) // 2
    return auc(propensity, data.labels), auc(propensity[half:], data.labels[half:])


def main(names: list[str]) -> None:
    for name in names:
        start = time.perf_counter()
        figures = "AUC {:.4f}, second half {:.4f}".format(*calls()) if name == "calls" else f"cost {cost(name):.4f}"
        sys.stdout.write(f"{name} through the engine: {figures}; bar {BARS[name]:.4f}; {time.perf_counter() - start:.0f} s\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1:] or ["mushroom", "statlog", "bank", "calls"])
