"""What correcting propensities does to their log-loss in simulated worlds; run by `python -m benchmarks.learning.calibration worlds`.

The encoder, the default model and the correction (models/recalibration.py) without an engine around them; Thompson x0.3 on propensity * value, each
prediction of the chosen action compared with its answer, before and after correction, over the whole run from nothing. Where it loses: one action an
interaction, answers at once.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from benchmarks.learning import centre, coverage, play, world
from nba_engine.facts.features import Features
from nba_engine.models.recalibration import Recalibration

SEEDS = (1, 2, 3)
N_CHANGE = 16_000


@dataclass(frozen=True, slots=True)
class Played:
    """A world to play: rows, p float[n, n_actions] of a positive, value float64[n_actions], noise float64[n]: positive where noise < p."""

    rows: play.Rows
    p: np.ndarray
    value: np.ndarray
    noise: np.ndarray


def worlds(seed: int) -> Iterator[tuple[str, Played]]:
    """Name and world, all of one seed."""
    small = world.make(seed)
    yield "small-data world, 20 actions", Played(play.world_rows(small.facts), small.p_answer, np.ones(world.N_ACTIONS), small.noise)
    many = centre.make(seed, n=20_000)
    yield "contact centre, 100 actions", Played(play.Rows(*coverage.rows(many)), many.p, many.value, many.noise)
    rare = centre.make(seed, centre.Shape("rare", n_actions=5), 50_000)
    p_rare = np.minimum(rare.p * (0.002 / rare.p.mean(axis=0)), 1.0)
    yield "rare, 5 actions at .2 %", Played(play.Rows(*coverage.rows(rare)), p_rare, np.ones(5), rare.noise)
    for name, factor in (("odds fall to .3", 0.3), ("odds rise to 2.5", 2.5), ("preferences reverse", 0.0)):
        yield f"change, {name}, 5 actions", _changing(seed, factor)


def _changing(seed: int, factor: float) -> Played:
    """Logistic answers over five facts; in the middle the odds are multiplied by `factor`, or every preference turns round (0)."""
    rng = np.random.default_rng(seed)
    facts, taste, level = rng.normal(size=(N_CHANGE, 5)), rng.normal(0, 0.4, (5, 5)), np.log(0.05 / 0.95) + rng.normal(0, 0.4, 5)
    after = np.arange(N_CHANGE)[:, None] >= N_CHANGE // 2
    logit = level + facts @ taste * np.where(after & (factor == 0.0), -1.0, 1.0) + np.where(after & (factor > 0.0), np.log(factor or 1.0), 0.0)
    return Played(play.world_rows(facts), 1.0 / (1.0 + np.exp(-logit)), np.ones(5), rng.random(N_CHANGE))


def compared(played: Played, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """float64[n] each: the model's propensity of what was chosen, the corrected one, and whether it was accepted."""
    n, n_actions = played.p.shape
    features, paths = Features(played.rows.columns), play.one_group(n_actions)
    learner = play.Learner(played.rows, features, play.probit(features, paths), n_actions)
    correction = Recalibration(np.zeros(n_actions, np.int32), paths[:, 3].copy(), 1, int(paths.max()) + 1)
    draws = np.random.default_rng(seed)
    own, corrected, accepted = np.zeros(n), np.zeros(n), np.zeros(n)
    for i in range(n):
        mean, deviation = learner.predict(i)
        action = int(np.argmax(played.value * (mean + play.POSTERIOR_SCALE * deviation * draws.normal(size=n_actions))))
        one = slice(i, i + 1)
        own[i], chosen = mean[action], np.array([action], np.int32)
        corrected[i], accepted[i] = own[i], played.noise[i] < played.p[i, action]
        correction.correct(chosen, corrected[one])
        correction.learn(chosen, accepted[one], own[one])
        learner.learn(i, action, accepted[i])
    return own, corrected, accepted
