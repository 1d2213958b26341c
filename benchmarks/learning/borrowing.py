"""`python -m benchmarks.learning.borrowing`: how soon a new action is as good as it will get, beside a model that knows nothing else.

Twenty actions of one group share their slopes over 20 facts (or a part of them) and have offsets of their own; they learn from 20,000 outcomes of
a uniform choice. Then a 21st of the same kind is added, as by a reload, and shown to customers at random. The number: impressions until the reward
that it would earn, if offered to the tenth of 4,000 other customers that its propensities favour, reaches 90 % of what it earns after 20,000,
counted from what a blind choice earns; mean of 5 worlds, up to which both are the same. `isolated` is the same model without the twenty.
Where it loses: all actions are alike in nature, none has seen less than another, nothing drifts.
"""

from __future__ import annotations

import sys

import numpy as np

from benchmarks.learning import play
from nba_engine.facts.features import Features
from nba_engine.models.contract import carried
from nba_engine.models.probit import Probit

N_ACTIONS, N_FACTS, N_WARM, N_NEW, N_JUDGED = 20, 20, 20_000, 20_000, 4_000
CHECKS = np.unique(np.geomspace(10, N_NEW, 45).astype(int))
SEEDS = (1, 2, 3, 4, 5)


def world(seed: int, shared: float) -> tuple[np.ndarray, np.ndarray]:
    """(facts float64[n, N_FACTS], propensities float64[n, N_ACTIONS + 1]); `shared` is the part of the slopes' variance in common."""
    rng = np.random.default_rng(seed)
    facts = rng.normal(size=(N_WARM + N_NEW + N_JUDGED, N_FACTS))
    common, own = rng.normal(size=N_FACTS), rng.normal(size=(N_FACTS, N_ACTIONS + 1))
    slopes = (np.sqrt(shared) * common[:, None] + np.sqrt(1.0 - shared) * own) * 0.25
    return facts, 1.0 / (1.0 + np.exp(2.5 - facts @ slopes - 0.5 * rng.normal(size=N_ACTIONS + 1)))


def curve(seed: int, shared: float, alone: bool) -> tuple[np.ndarray, float]:
    """(reward of the new action at each of CHECKS impressions, reward of a blind choice), in expected answers."""
    facts, p = world(seed, shared)
    answers = (np.random.default_rng(1000 + seed).random(p.shape) < p).astype(float)
    rows, rng = play.world_rows(facts), np.random.default_rng(2000 + seed)
    features, paths = Features(rows.columns), play.one_group(N_ACTIONS + 1)
    first = Probit(features.n_features, paths[:N_ACTIONS], int(paths.max()))
    learner = play.Learner(rows, features, first, N_ACTIONS)
    if not alone:
        for i in range(N_WARM):
            action = int(rng.integers(N_ACTIONS))
            learner.learn(i, action, answers[i, action])
    learner.model = joined(first, paths)
    judged, found = np.arange(N_WARM + N_NEW, len(facts)), []
    for n in range(N_NEW + 1):
        if n in CHECKS:
            order = np.argsort(-propensities(learner, judged), kind="stable")[: len(judged) // 10]
            found.append(p[judged[order], N_ACTIONS].mean())
        if n < N_NEW:
            learner.learn(N_WARM + n, N_ACTIONS, answers[N_WARM + n, N_ACTIONS])
    return np.array(found), float(p[judged, N_ACTIONS].mean())


def joined(before: Probit, paths: np.ndarray) -> Probit:
    """A model with one action more, as a reload makes it: the new one starts from its siblings."""
    state, n_entities = before.state(), int(paths.max()) + 1
    old, features = list(range(n_entities - 1)), list(range(state["sums"].shape[1]))
    model = Probit(len(features), paths, n_entities)
    model.load(carried(state, Probit.axes, features, old, features, [*old, n_entities - 1]))
    model.inherit()
    return model


def propensities(learner: play.Learner, judged: np.ndarray) -> np.ndarray:
    """The new action's propensity for the customers `judged`."""
    index = np.zeros((len(judged), learner.features.active_max), np.int32)
    value, n_active = np.zeros(index.shape), np.zeros(len(judged), np.int64)
    learner.features.fill(learner.rows.values[judged], learner.rows.states[judged], learner._no_codes,
                          np.zeros((len(judged), len(learner.rows.columns) + 1), np.int32), index, value, n_active)
    mean, deviation = np.zeros(len(judged)), np.zeros(len(judged))
    learner.model.score(learner.model.scratch(len(judged)), index, value, n_active, np.arange(len(judged) + 1),
                        np.full(len(judged), N_ACTIONS, np.int32), mean, deviation)
    return mean


def impressions(found: np.ndarray, blind: float, final: float) -> int:
    """The first of CHECKS at which nine tenths of the way from a blind choice to `final` is made for good."""
    below = np.nonzero(found - blind < 0.9 * (final - blind))[0]
    return 0 if not len(below) else int(CHECKS[min(below[-1] + 1, len(CHECKS) - 1)])


def main() -> None:
    for shared in (1.0, 0.8, 0.5, 0.0):
        needed = []
        for seed in SEEDS:
            (borrowed, blind), (isolated, _) = curve(seed, shared, alone=False), curve(seed, shared, alone=True)
            final = float(isolated[-1])
            needed.append((impressions(borrowed, blind, final), impressions(isolated, blind, final), borrowed[0] / final, isolated[0] / final))
        mine, alone, first, first_alone = np.mean(needed, axis=0)
        sys.stdout.write(f"{shared:.0%} of the slopes' variance shared: {mine:.0f} impressions, isolated {alone:.0f}, ratio {mine / alone:.2f}; "
                         f"after 10: {first:.2f} of the final reward, isolated {first_alone:.2f}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
