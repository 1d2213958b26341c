"""`python -m benchmarks.learning.run [mushroom | statlog | bank | world | amounts | related | calls]`: how well the model learns, against the bars.

The numbers: cost is the share of wrong actions over one pass, mean of 3 row orders; `world` is the share of the possible uplift captured
over 20,000 interactions, mean of 3 worlds (`amounts`: the same worlds, each fact told as a log-normal amount, exp of 1.2 times it; `related`: four
groups of actions that share 70 % of their slopes' variance; no bars); `calls` is the AUC of the propensity, before each update, of the bank's calls
in call order.
Where it loses: see sets.py and world.py; three orders tell differences of about a tenth of a cost, not less.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

import numpy as np

from benchmarks.learning import play, sets, world
from benchmarks.learning.through_engine import auc
from nba_engine.facts.features import Features

SEEDS = (1, 2, 3)
BARS = {"mushroom": 0.0062, "statlog": 0.0070, "bank": 0.1012, "world": 0.57, "amounts": float("nan"), "related": float("nan"), "calls": 0.797}


def cost(name: str, paths_of=play.one_group) -> float:
    """Mean cost of one classification set over three row orders."""
    data = sets.read(name)
    rows = play.encode(data.facts, data.types)
    rewards = np.eye(len(data.actions))[data.labels]
    costs = []
    for seed in SEEDS:
        order = np.random.default_rng(seed).permutation(len(data.labels))
        features = Features(rows.columns)
        learner = play.Learner(rows, features, play.probit(features, paths_of(len(data.actions))), len(data.actions))
        chosen = play.play(learner, order, rewards, seed)
        costs.append(float(np.mean(chosen != data.labels[order])))
    return float(np.mean(costs))


def captured(paths_of=play.one_group, related: float = 0.0, told: Callable[[np.ndarray], np.ndarray] = np.asarray) -> float:
    """Mean share of the possible uplift over three small-data worlds, whose facts stand in the rows as `told` makes them."""
    shares = []
    for seed in SEEDS:
        w = world.make(seed, related=related)
        rows = play.world_rows(told(w.facts))
        features = Features(rows.columns)
        learner = play.Learner(rows, features, play.probit(features, paths_of(world.N_ACTIONS)), world.N_ACTIONS)
        chosen = play.play(learner, np.arange(len(w.noise)), (w.noise[:, None] < w.p_answer).astype(float), seed)
        shares.append(w.captured(chosen))
    return float(np.mean(shares))


def calls() -> tuple[float, float]:
    """AUC of the propensity before each update, bank calls in call order with one action: whole run, second half."""
    data = sets.read("bank")
    rows = play.encode(data.facts, data.types)
    features = Features(rows.columns)
    learner = play.Learner(rows, features, play.probit(features, play.one_group(1)), 1)
    propensity = np.zeros(len(data.labels))
    for i, label in enumerate(data.labels):
        propensity[i] = learner.predict(i)[0][0]
        learner.learn(i, 0, float(label))
    half = len(data.labels) // 2
    return auc(propensity, data.labels)[0], auc(propensity[half:], data.labels[half:])[0]


def main(names: list[str]) -> None:
    for name in names:
        start = time.perf_counter()
        if name == "world":
            figures = f"captured {captured():.3f} (own groups {captured(play.own_groups):.3f})"
        elif name == "amounts":
            figures = f"captured {captured(told=lambda facts: np.exp(1.2 * facts)):.3f}"
        elif name == "related":
            groups = captured(lambda n: play.few_groups(n, world.N_GROUPS), related=0.7)
            figures = f"captured {groups:.3f} (one group {captured(related=0.7):.3f})"
        elif name == "calls":
            figures = "AUC {:.4f}, second half {:.4f}".format(*calls())
        else:
            figures = f"cost {cost(name):.4f} (own groups {cost(name, play.own_groups):.4f})"
        sys.stdout.write(f"{name}: {figures}; bar {BARS[name]:.4f}; {time.perf_counter() - start:.0f} s\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1:] or list(BARS))
