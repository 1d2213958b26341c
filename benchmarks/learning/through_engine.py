"""`python -m benchmarks.learning.through_engine [mushroom | statlog | bank | world | calls]`: how good it is, through `Engine.decide` and `record`.

The numbers: share of wrong actions over one pass, mean of 3 row orders, each passed with four seeds of the engine's own draws; `world`: share of the
possible uplift captured over 20,000 interactions, mean of 12 worlds, since three alone have a standard error of .05; `calls`: AUC of
`offer.propensity` read before `record`, bank's calls in call order, one action, the interval by DeLong. Default settings but `uniform_share: 0`, raw
columns as facts, actions of value 1. All sets without a name: benchmarks/results/learning.md and README's table are written.
Where it loses: see sets.py and world.py. Between row orders costs differ by 1 % (bank) to 13 % (mushroom), within one, between seeds of draws,
by half of that; three orders are few.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import rankdata

import nba_engine as nba
from benchmarks.learning import sets, world
from benchmarks.report import fill

ORDERS, SEEDS, WORLDS = (1, 2, 3), (1, 2, 3, 4), range(1, 13)
RESULTS = Path(__file__).resolve().parents[1] / "results" / "learning.md"
NAMES = {"mushroom": "mushroom, cost", "statlog": "statlog shuttle (train), cost", "bank": "bank_additional without `duration`, cost",
         "world": "small-data world, uplift captured", "calls": "bank_additional in call order, AUC whole / second half"}
PEERS = {"mushroom": ".0057", "statlog": ".0420", "bank": ".1017", "world": ".61", "calls": ".792 / .813"}
BARS = {"mushroom": ".0062", "statlog": ".0070", "bank": ".1012", "world": ".57", "calls": ".797 / .817"}
AIMS = {"mushroom": ".0040", "statlog": ".0045", "bank": ".1004", "world": ".63", "calls": ".805 / .825"}
"""Peers: the best of Vowpal Wabbit, MABWiser and river, as measured before this project began."""


def engine_for(types: dict[str, str], actions: list[str], seed: int) -> nba.Engine:
    """An engine whose actions are `actions`, each worth 1, in one group; `types`: fact name -> CEL type."""
    catalog: dict[str, Any] = {
        "facts": types,
        "issues": {"all": {"groups": {"one": {}}}},
        "actions": [{"id": action, "issue": "all", "group": "one", "value": 1} for action in actions],
        "exploration": {"uniform_share": 0},
    }
    return nba.Engine(nba.Catalog.from_dict(catalog), seed=seed, explained_decisions_max=10)


def costs(name: str) -> list[float]:
    """Share of wrong actions in each of three row orders, mean of the engine's seeds."""
    data = sets.read(name)
    return [float(np.mean([_cost(data, order, seed) for seed in SEEDS])) for order in ORDERS]


def _cost(data: sets.ClassificationSet, order: int, seed: int) -> float:
    names = [f"label {action}" for action in data.actions]
    engine, n_wrong = engine_for(_types(data), names, seed), 0
    for i in np.random.default_rng(order).permutation(len(data.labels)).tolist():
        decision = engine.decide(f"row {i}", facts=data.row(i))
        right = decision.offers[0].action == names[data.labels[i]]
        n_wrong += not right
        engine.record(decision.id, "accepted" if right else "declined")
    return n_wrong / len(data.labels)


def captured() -> list[float]:
    """Share of the possible uplift captured in each world."""
    found, facts = [], [f"x{k}" for k in range(world.N_FACTS)]
    for seed in WORLDS:
        w, engine = world.make(seed), engine_for(dict.fromkeys(facts, "double"), [str(a) for a in range(world.N_ACTIONS)], seed)
        chosen = np.zeros(len(w.noise), dtype=np.int64)
        for i, row in enumerate(w.facts.tolist()):
            decision = engine.decide(f"customer {i}", facts=dict(zip(facts, row, strict=True)))
            chosen[i] = int(decision.offers[0].action)
            engine.record(decision.id, "accepted" if w.noise[i] < w.p_answer[i, chosen[i]] else "declined")
        found.append(float(w.captured(chosen)))
    return found


def calls() -> tuple[np.ndarray, np.ndarray]:
    """Propensity before each outcome, and the outcome, of all calls in call order."""
    data = sets.read("bank")
    engine, propensity = engine_for(_types(data), ["call"], 0), np.zeros(len(data.labels))
    for i, label in enumerate(data.labels):
        decision = engine.decide(f"row {i}", facts=data.row(i))
        propensity[i] = decision.offers[0].propensity
        engine.record(decision.id, "accepted" if label else "declined")
    return propensity, data.labels


def _types(data: sets.ClassificationSet) -> dict[str, str]:
    return {name: type_.kind for name, type_ in data.types.items()}


def auc(propensity: np.ndarray, positive: np.ndarray) -> tuple[float, float]:
    """Share of (positive, negative) pairs in the right order, ties half, and its standard deviation.

    Source: DeLong, DeLong, Clarke-Pearson 1988; each outcome's share of right pairs, from its ranks among all and among its own kind.
    """
    ranks, up = rankdata(propensity), positive == 1
    n, m = int(up.sum()), int((~up).sum())
    above = (ranks[up] - rankdata(propensity[up])) / m
    below = 1.0 - (ranks[~up] - rankdata(propensity[~up])) / n
    return float(above.mean()), float(np.sqrt(above.var(ddof=1) / n + below.var(ddof=1) / m))


def figure(name: str) -> tuple[str, str]:
    """What is measured of one set, and what it is the mean of."""
    if name == "calls":
        propensity, positive = calls()
        half = len(positive) // 2
        (whole, error), (second, second_error) = auc(propensity, positive), auc(propensity[half:], positive[half:])
        return f"{whole:.4f} / {second:.4f}", f"+/- {1.96 * error:.4f} / {1.96 * second_error:.4f}"
    found = captured() if name == "world" else costs(name)
    digits = 3 if name == "world" else 4
    return f"{np.mean(found):.{digits}f}", " ".join(f"{x:.{digits}f}" for x in found)


def main(names: list[str]) -> None:
    rows = ["| set | measured | by row order or world, or 95 % | best peer | bar | aim |", "|---|---|---|---|---|---|"]
    for name in names or NAMES:
        start = time.perf_counter()
        measured, parts = figure(name)
        rows.append(f"| {NAMES[name]} | {measured} | {parts} | {PEERS[name]} | {BARS[name]} | {AIMS[name]} |")
        sys.stdout.write(f"{rows[-1]} {time.perf_counter() - start:.0f} s\n")
        sys.stdout.flush()
    if not names:
        RESULTS.write_text("\n".join(["# How good", "", "Written by `python -m benchmarks.learning.through_engine`.", "", *rows, ""]), "utf-8")
        fill("README.md", "learned", rows)


if __name__ == "__main__":
    main(sys.argv[1:])
