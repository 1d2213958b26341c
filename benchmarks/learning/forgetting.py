"""`python -m benchmarks.learning.forgetting [kind ...]`: what a half-life earns where the world changes, and what it costs where it does not.

The small-data world (world.py: 20 actions, 20 facts, logistic answers), 20,000 interactions a minute apart. In the changing world the actions swap
their answers half way: the first takes those of the last, and so on. The model chooses by itself (play.py). The number: share of the possible
uplift that is captured, mean of 4 worlds, over all, over the last half, and over the 2,500 interactions that follow the change. `late`: every
outcome is told with its time, but up to 500 interactions late and in any order.
Where it loses: one change, sudden and of everything; a slow drift or one of a single action is not played.
"""

from __future__ import annotations

import sys

import numpy as np

from benchmarks.learning import play
from benchmarks.learning import world as worlds
from nba_engine.facts.features import Features
from nba_engine.models.kinds import KINDS, Ground

MINUTE_US, LATE = 60_000_000, 500
N, CHANGE, SOON = worlds.N_INTERACTIONS, worlds.N_INTERACTIONS // 2, 2_500
HALF_LIVES = (None, 20_000, 10_000, 5_000, 2_500, 1_000)
"""In interactions; None is none."""
SEEDS = (1, 2, 3, 4)


class Timed(play.Learner):
    """A learner that is told when each customer was asked; outcomes wait for up to `late` interactions and come in any order."""

    late = 0

    def learn(self, i: int, action: int, reward: float) -> None:
        self._waiting = [*getattr(self, "_waiting", ()), (i, action, reward)]
        if i % (self.late or 1) == 0:
            order = np.random.default_rng(i).permutation(len(self._waiting))
            for k in order.tolist():
                self._take(*self._waiting[k])
            self._waiting = []

    def _take(self, i: int, action: int, reward: float) -> None:
        self.features.observe(self.rows.values[i], self.rows.states[i])
        self.model.update(self._index[0], self._value[0], self.fill(i), action, reward, i * MINUTE_US)


def captured(kind: str, seed: int, half_life: int | None, changes: bool, late: int) -> list[float]:
    """Share of the uplift over all, over the last half, soon after its start."""
    world = worlds.make(seed)
    p = world.p_answer.copy()
    if changes:
        p[CHANGE:] = p[CHANGE:, ::-1]
    rows, paths = play.world_rows(world.facts), play.one_group(worlds.N_ACTIONS)
    features = Features(rows.columns)
    ground = Ground(features.names, paths, [("entity", str(e)) for e in range(int(paths.max()) + 1)])
    model = KINDS[kind](ground, {} if half_life is None else {"half_life_us": half_life * MINUTE_US})
    learner = Timed(rows, features, model, worlds.N_ACTIONS)
    learner.late = late
    chosen = play.play(learner, np.arange(N), (world.noise[:, None] < p).astype(float), seed)
    earned, blind, best = p[np.arange(N), chosen], p.mean(axis=1), p.max(axis=1)
    return [float((earned[part] - blind[part]).sum() / (best[part] - blind[part]).sum()) for part in (
        slice(None), slice(CHANGE, None), slice(CHANGE, CHANGE + SOON))]


def main(kinds: list[str]) -> None:
    for kind in kinds:
        for half_life in HALF_LIVES:
            told = []
            for changes, late in ((True, 0), (True, LATE), (False, 0)):
                means = np.mean([captured(kind, seed, half_life, changes, late) for seed in SEEDS], axis=0)
                told.append(f"{('changes, late' if late else 'changes') if changes else 'stands'} " + " ".join(f"{mean:.3f}" for mean in means))
            sys.stdout.write(f"{kind}, half-life {half_life or 'forever'}: {'; '.join(told)}\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1:] or ["probit", "beta_bernoulli"])
