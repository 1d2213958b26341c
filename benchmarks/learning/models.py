"""`python -m benchmarks.learning.models [mushroom | statlog | bank | world | calls] [--rows n] [--models a,b]`: every model on the same data.

The numbers: cost (share of wrong actions over one pass, row order 1), captured uplift (`world`, world 1), log-loss and AUC of the propensity before
each outcome (`calls`: bank in call order, one action); and microseconds per row, choosing and learning, with the update's own share. Models as
catalogs name them, with their defaults. What it means: which model to try first on data like these. Where it loses: one row order, so costs closer
than a tenth are not told apart; `--rows` takes the first rows only and its costs are those of a short run; times are of this machine as it was.
"""

from __future__ import annotations

import argparse
import sys
import time

import numpy as np

from benchmarks.learning import play, sets, world
from benchmarks.learning.run import auc
from nba_engine.facts.features import Features
from nba_engine.models.contract import Model
from nba_engine.models.kinds import KINDS, Ground

SEED = 1
HEAD = "| model | set | rows | result | us a row | of it the update |\n|---|---|---|---|---|---|\n"


def made(kind: str, features: Features, n_actions: int) -> Model:
    """The model over actions of one group."""
    paths = play.one_group(n_actions)
    return KINDS[kind](Ground(features.names, paths, [("entity", str(e)) for e in range(int(paths.max()) + 1)]), {})


class Timed(play.Learner):
    """A learner that counts what its updates take."""

    seconds = 0.0

    def learn(self, i: int, action: int, reward: float) -> None:
        start = time.perf_counter()
        super().learn(i, action, reward)
        self.seconds += time.perf_counter() - start


def fresh(kind: str, rows: play.Rows, n_actions: int) -> Timed:
    """A learner that has seen nothing."""
    features = Features(rows.columns)
    return Timed(rows, features, made(kind, features, n_actions), n_actions)


def told(kind: str, name: str, n_rows: int | None) -> str:
    """One row of the table."""
    if name == "world":
        w = world.make(SEED)
        rows, rewards, order = play.world_rows(w.facts), (w.noise[:, None] < w.p_answer).astype(float), np.arange(len(w.noise))
    else:
        data = sets.read("bank" if name == "calls" else name)
        rows = play.encode(data.facts, data.types)
        rewards = np.eye(len(data.actions))[data.labels] if name != "calls" else data.labels[:, None].astype(float)
        order = np.arange(len(rewards)) if name == "calls" else np.random.default_rng(SEED).permutation(len(rewards))
    order = order[:n_rows]
    compiling = fresh(kind, rows, rewards.shape[1])
    compiling.predict(0)
    compiling.learn(0, 0, 1.0)
    compiling.predict(0)
    learner = fresh(kind, rows, rewards.shape[1])
    start = time.perf_counter()
    if name == "calls":
        propensity = np.zeros(len(order))
        for i in order.tolist():
            propensity[i] = learner.predict(i)[0][0]
            learner.learn(i, 0, float(rewards[i, 0]))
        y = rewards[order, 0]
        loss = -np.mean(y * np.log(propensity) + (1 - y) * np.log1p(-propensity))
        result = f"log-loss {loss:.4f}, AUC {auc(propensity, y)[0]:.4f}"
    else:
        chosen = play.play(learner, order, rewards, SEED)
        result = f"cost {1.0 - rewards[order, chosen].mean():.4f}"
        if name == "world":
            result = f"captured {w.captured(chosen):.3f}" if n_rows is None else f"converted {rewards[order, chosen].mean():.4f}"
    seconds = time.perf_counter() - start
    return f"| {kind} | {name} | {len(order):,} | {result} | {1e6 * seconds / len(order):.0f} | {1e6 * learner.seconds / len(order):.0f} |\n"


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("sets", nargs="*", default=["mushroom", "statlog", "bank", "world", "calls"])
    asked.add_argument("--rows", type=int)
    asked.add_argument("--models", default=",".join(KINDS))
    given = asked.parse_args()
    sys.stdout.write(HEAD)
    for name in given.sets:
        for kind in given.models.split(","):
            sys.stdout.write(told(kind, name, given.rows))
            sys.stdout.flush()


if __name__ == "__main__":
    main()
