"""Whether a propensity's interval holds the truth, in two kinds of world; run by `python -m benchmarks.learning.calibration coverage`.

Outcomes are of actions chosen at random, so that nothing depends on how they are chosen; the intervals are those of `explain(...).interval`, of
customers that come later. Own kind: coefficients drawn from the model's prior over its own features; other kind: the contact centre of centre.py.
"""

from __future__ import annotations

import numpy as np
from scipy.special import ndtr

from benchmarks.learning import centre, play
from nba_engine.facts.columns import Column
from nba_engine.facts.features import Features
from nba_engine.models.contract import Model
from nba_engine.models.interval import interval
from nba_engine.models.probit import Prior
from nba_engine.schema import DOUBLE, STRING, Fact

N_ACTIONS, N_NEW = 20, 200
SEEDS = (1, 2, 3)


def measure(*, own_kind: bool, n: int, level: float = 0.95) -> tuple[float, float]:
    """Share of intervals that hold the true propensity, and their mean length, after `n` outcomes; mean of three worlds."""
    found = [_world(seed, own_kind, n, level) for seed in SEEDS]
    return float(np.mean([held for held, _ in found])), float(np.mean([length for _, length in found]))


def _world(seed: int, own_kind: bool, n: int, level: float) -> tuple[float, float]:
    shape = centre.Shape("coverage", n_actions=N_ACTIONS)
    world = centre.make(seed, shape, n + N_NEW)
    columns, values, states = rows(world)
    features, paths = Features(columns), play.one_group(N_ACTIONS)
    index, value, n_active = observed(features, columns, values, states)
    p = _own_kind(seed, features.n_features, paths, index, value) if own_kind else world.p.astype(float)
    model = play.probit(features, paths)
    actions = np.random.default_rng(seed).integers(N_ACTIONS, size=n).astype(np.int32)
    rewards = (world.noise[:n] < p[np.arange(n), actions]).astype(float)
    model.update_rows(index[:n], value[:n], n_active[:n], actions, rewards)
    bounds = _intervals(model, index[n:], value[n:], n_active[n:], level)
    low, high = bounds[..., 0], bounds[..., 1]
    return float(((low <= p[n:]) & (p[n:] <= high)).mean()), float((high - low).mean())


def rows(world: centre.Centre) -> tuple[list[Column], np.ndarray, np.ndarray]:
    """Columns, values int64[n, n_columns] and states uint8[n, n_columns] of a world's customers, as the encoder makes them."""
    types = dict.fromkeys(centre.NUMBERS, DOUBLE) | dict.fromkeys(centre.TEXTS, STRING)
    columns = [Column(name, type_, Fact(name, type_)) for name, type_ in types.items()]
    numbers = np.ascontiguousarray(np.nan_to_num(world.numbers)).view(np.int64)
    missing = np.concatenate([2 * np.isnan(world.numbers), np.zeros(world.texts.shape)], axis=1)
    return columns, np.ascontiguousarray(np.concatenate([numbers, world.texts + 1], axis=1)), missing.astype(np.uint8)


def observed(features: Features, columns: list[Column], values: np.ndarray, states: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The rows' active features, each encoded after the scaling took it in: index int32[n, a], value float64[n, a], n_active int64[n]."""
    n = len(values)
    index, value, n_active = np.zeros((n, features.active_max), np.int32), np.zeros((n, features.active_max)), np.zeros(n, np.int64)
    offsets = np.zeros((n, len(columns) + 1), np.int32)
    features.fill_observed(values, states, np.zeros(0, np.int32), offsets, np.ones(n, np.int64), index, value, n_active)
    return index, value, n_active


def _own_kind(seed: int, n_features: int, paths: np.ndarray, index: np.ndarray, value: np.ndarray) -> np.ndarray:
    """True propensities float64[n, n_actions] under coefficients drawn from the prior."""
    rng, prior, p = np.random.default_rng([seed, 1]), Prior(), np.zeros((len(index), len(paths)))
    shares = np.array([*prior.shares[:3], prior.shares[3] + prior.shares[4]])  # no treatments: their share falls to the action
    above = rng.normal(size=n_features) * np.sqrt(prior.variance * shares[:3].sum())
    above[0] = rng.normal(prior.bias_mean, np.sqrt(prior.bias_variance))
    for a in range(len(paths)):
        own = above + rng.normal(size=n_features) * np.sqrt(prior.variance * shares[3])
        p[:, a] = ndtr((own[index] * value).sum(axis=1))
    return p


def _intervals(model: Model, index: np.ndarray, value: np.ndarray, n_active: np.ndarray, level: float) -> np.ndarray:
    """float64[n, n_actions, 2]: every action's interval for each customer."""
    n = len(index)
    mean, deviation = np.zeros(n * N_ACTIONS), np.zeros(n * N_ACTIONS)
    candidates = np.tile(np.arange(N_ACTIONS, dtype=np.int32), n)
    index, value, n_active = (np.ascontiguousarray(x) for x in (index, value, n_active))
    model.score(model.scratch(n), index, value, n_active, np.arange(n + 1) * N_ACTIONS, candidates, mean, deviation)
    found = [interval(mean[k], deviation[k], level, model.spread(index[k // N_ACTIONS], value[k // N_ACTIONS], int(n_active[k // N_ACTIONS]), int(c)))
             for k, c in enumerate(candidates)]
    return np.array(found).reshape(n, N_ACTIONS, 2)
