"""`python -m benchmarks.learning.crossing [numbers | texts | mixed]`: customers in similar situations, in worlds that no additive model can learn.

Six actions, ten facts (five normal numbers, five texts of four values), 20,000 interactions. Two facts turn one another's effect around, for
some actions one way and for others the other way; the rest matters little. The model chooses by itself (play.py), three times: without crosses,
with the right cross declared, and looking for it. The number: what looking for it gains over doing without, as a share of what declaring gains,
of the summed mean rewards of 8 worlds, which leaves it a standard error of .08. Behind it: after how many interactions the right pair was
found, and how many pairs were found besides.
Where it loses: one pair in each world, of strong effect, found once and for all.
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

from benchmarks.learning import play
from nba_engine.facts.features import Features
from nba_engine.facts.watching import STOCK_EVERY, Watch
from nba_engine.models.contract import carried
from nba_engine.models.probit import Probit
from nba_engine.schema import DOUBLE, STRING, Type

N, N_ACTIONS, N_FACTS, STRENGTH, BASE = 20_000, 6, 10, 1.2, -2.0
SEEDS = (1, 2, 3, 4, 5, 6, 7, 8)
PAIRS = {"numbers": (0, 2), "texts": (1, 3), "mixed": (0, 1)}


def world(seed: int, pair: tuple[int, int]) -> tuple[dict[str, Any], dict[str, Type], np.ndarray]:
    """(facts by name, their types, propensities float64[N, N_ACTIONS]): even facts are numbers, odd ones texts."""
    rng = np.random.default_rng(seed)
    facts, types, effects = {}, {}, []
    for f in range(N_FACTS):
        if f % 2 == 0:
            x = rng.normal(size=N)
            facts[f"x{f}"], types[f"x{f}"] = x, DOUBLE
            effects.append(np.sign(x) if seed % 2 else np.clip(x, -2.0, 2.0))
        else:
            value = rng.integers(0, 4, size=N)
            facts[f"x{f}"], types[f"x{f}"] = [f"v{v}" for v in value], STRING
            effects.append(np.where(value < 2, 1.0, -1.0))
    signs = rng.choice([-1.0, 1.0], size=N_ACTIONS)
    signs[:2] = 1.0, -1.0
    alone = np.stack(effects, axis=1) @ (rng.normal(size=(N_FACTS, N_ACTIONS)) * 0.1)
    together = STRENGTH * (effects[pair[0]] * effects[pair[1]])[:, None] * signs * rng.uniform(0.6, 1.0, N_ACTIONS)
    return facts, types, 1.0 / (1.0 + np.exp(-(BASE + together + alone + 0.2 * rng.normal(size=N_ACTIONS))))


class Watching(play.Learner):
    """A learner that looks for crosses, as beliefs do."""

    def __init__(self, rows: play.Rows, features: Features, model: Probit, n_actions: int) -> None:
        super().__init__(rows, features, model, n_actions)
        self.watch, self.found = Watch(features), {}

    def learn(self, i: int, action: int, reward: float) -> None:
        super().learn(i, action, reward)
        self.watch.feed(self._index, self._value, self._n_active, np.array([action]), np.array([reward]), np.array([self.model.expected]))
        if self.watch.due == STOCK_EVERY:
            pair = self.watch.judge({frozenset(pair) for pair in self.features.crosses})
            if pair is not None:
                self.found[frozenset(pair)] = self.watch.n_seen
                self._cross(pair)

    def _cross(self, pair: tuple[str, str]) -> None:
        before, state, watch, found = self.features.names, self.model.state(), self.watch, self.found
        features, entities = self.features.crossed(*pair), list(range(len(state["sums"])))
        model = play.probit(features, play.one_group(len(self._candidates)))
        model.load(carried(state, Probit.axes, before, entities, features.names, entities))
        self.__init__(self.rows, features, model, len(self._candidates))
        self.watch, self.found = watch, found
        watch.read(features.names)


def rewards(seed: int, pair: tuple[int, int]) -> tuple[np.ndarray, int, int]:
    """Mean reward without, with the cross declared, and looking; interactions until it was found, pairs found besides."""
    facts, types, p = world(seed, pair)
    rows, names = play.encode(facts, types), (f"x{pair[0]}", f"x{pair[1]}")
    answers, found = (np.random.default_rng(50 + seed).random(p.shape) < p).astype(float), []
    for kind, crosses in ((play.Learner, ()), (play.Learner, (names,)), (Watching, ())):
        features = Features(rows.columns, crosses=crosses)
        learner = kind(rows, features, play.probit(features, play.one_group(N_ACTIONS)), N_ACTIONS)
        chosen = play.play(learner, np.arange(N), answers, seed)
        found.append(p[np.arange(N), chosen].mean())
    return np.array(found), learner.found.get(frozenset(names), N), len(learner.found.keys() - {frozenset(names)})


def main(names: list[str]) -> None:
    total = np.zeros(3)
    for name in names:
        seen = [rewards(seed, PAIRS[name]) for seed in SEEDS]
        sums = sum(found for found, _, _ in seen)
        total += sums
        without, declared, found = sums / len(SEEDS)
        sys.stdout.write(f"{name}: mean reward without {without:.4f}, declared {declared:.4f}, found {found:.4f}; share of the gain "
                         f"{(found - without) / (declared - without):.2f}; found after {[at for _, at, _ in seen]}, "
                         f"others {[n for _, _, n in seen]}\n")
        sys.stdout.flush()
    sys.stdout.write(f"all: share of the gain {(total[2] - total[0]) / (total[1] - total[0]):.2f}\n")


if __name__ == "__main__":
    main(sys.argv[1:] or list(PAIRS))
