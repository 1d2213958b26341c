"""`python -m benchmarks.learning.fixed_point`: what integer beliefs cost in quality and time, against plain float64.

The float64 twin is the default model with its sums held in float64 and its receipts not rounded. The numbers: largest difference of any
propensity along one stream of outcomes that both learn, and the time to add and take back a receipt in either arithmetic, in the same run.
Where it loses: one stream of 20,000 outcomes; rounding errors of a random walk grow with the square root of the number of outcomes.
"""

from __future__ import annotations

import statistics
import sys
import time

import numpy as np
from scipy.stats import norm

from benchmarks.learning import play, world
from nba_engine.facts.features import Features
from nba_engine.models import posterior
from nba_engine.models.filtering import _slope, _variance_below
from nba_engine.numerics.kernel import kernel, scalar


@kernel
def _fill_exact(index, value, entities, table, prior, reward, sums):
    """The update of models/probit.py without rounding, added to `sums` float64 and the float64 `table` in one pass."""
    mean, variance = _eta(index, value, entities, table, prior)
    spread = np.sqrt(1.0 + variance)
    t = mean / spread
    up, down = _slope(t), _slope(-t)
    gradient = (reward * up - (1.0 - reward) * down) / spread
    curvature = (reward * up * (up + t) + (1.0 - reward) * down * (down - t)) / (1.0 + variance)
    information = curvature / (1.0 - curvature * variance)
    for i in range(index.shape[0]):
        x = value[i]
        for level in range(entities.shape[0]):
            _add(index[i], entities[level], x, x * x * information, gradient, prior, sums, table)


@scalar
def _eta(index, value, entities, table, prior):
    """Mean and variance of the linear predictor from a table of (mean, variance) per coefficient."""
    length, mean, variance = 0.0, 0.0, 0.0
    for i in range(index.shape[0]):
        length += value[i] * value[i]
    bias = value[0] * value[0]
    for level in range(entities.shape[0]):
        entity, diagonal = entities[level], 0.0
        for i in range(index.shape[0]):
            mean += value[i] * table[index[i], 0, entity]
            diagonal += value[i] * value[i] * table[index[i], 1, entity]
        at_prior = bias * prior[posterior.BIAS_VARIANCE, entity] + (length - bias) * prior[posterior.VARIANCE, entity]
        variance = _variance_below(variance, diagonal, at_prior, length)
    return mean, variance


@scalar
def _add(feature, entity, x, precision, gradient, prior, sums, table):
    sums[feature, entity, 0] += precision
    sums[feature, entity, 1] += precision * (table[feature, 0, entity] + table[feature, 1, entity] * x * gradient) + x * gradient
    row = 0 if feature == 0 else 2
    shift = prior[1, entity] if feature == 0 else 0.0
    table[feature, 1, entity] = 1.0 / (prior[row, entity] + sums[feature, entity, 0])
    table[feature, 0, entity] = (shift + sums[feature, entity, 1]) * table[feature, 1, entity]


def main() -> None:
    w = world.make(1)
    rows = play.world_rows(w.facts)
    features = Features(rows.columns)
    paths = play.one_group(world.N_ACTIONS)
    model, exact = play.probit(features, paths), play.probit(features, paths)
    sums = np.zeros((exact._sums.shape[1], exact._sums.shape[0], 2))
    table = np.zeros((sums.shape[0], 2, sums.shape[1]))
    table[:, 1] = exact._prior[posterior.VARIANCE]
    table[0] = exact._prior[posterior.BIAS_SHIFT] * exact._prior[posterior.BIAS_VARIANCE], exact._prior[posterior.BIAS_VARIANCE]
    learner = play.Learner(rows, features, model, world.N_ACTIONS)
    rng = np.random.default_rng(0)
    differences, fixed_us, float_us = [], [], []
    for i in range(len(w.noise)):
        action = int(rng.integers(world.N_ACTIONS))
        reward = float(w.noise[i] < w.p_answer[i, action])
        features.observe(rows.values[i], rows.states[i])
        n = learner.fill(i)
        index, value = learner._index[0, :n].copy(), learner._value[0]
        start = time.perf_counter()
        model.update(index, value, n, action, reward)
        middle = time.perf_counter()
        _fill_exact(index, value, model._entities[action], table, exact._prior, reward, sums)
        float_us.append(1e6 * (time.perf_counter() - middle))
        fixed_us.append(1e6 * (middle - start))
        if i % 100 == 0:
            mean, _ = learner.predict(i)
            differences.append(float(np.max(np.abs(mean - _propensities(index, value, paths, table, exact._prior)))))
    report = (
        f"largest difference of a propensity {max(differences):.1e} (at the end {differences[-1]:.1e})\n"
        f"update with receipt, int64 sums, int16 copy: {statistics.median(fixed_us):.1f} us; "
        f"float64, no receipt: {statistics.median(float_us):.1f} us\n"
        f"largest sum {np.abs(model._sums).max() / posterior.SCALE:.0f} of {2**63 / posterior.SCALE:.1e}\n"
    )
    sys.stdout.write(report)


def _propensities(index, value, paths, table, prior) -> np.ndarray:
    found = []
    for path in paths:
        mean, variance = _eta(index, value, path[path >= 0], table, prior)
        found.append(norm.cdf(mean / np.sqrt(1.0 + variance)))
    return np.array(found)


if __name__ == "__main__":
    main()
