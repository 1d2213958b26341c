"""Hierarchical Bayesian probit, learned online: Gaussian beliefs over sparse features, updated by assumed-density filtering.

    eta = sum over entities e of the path and active features f of value[f] * coefficient[f, e]
    P(positive) = Phi(eta), coefficients independent N(mean, variance)

The variance of eta is not the sum of the coefficients' variances, which forgets that one outcome teaches their sum: see docs/maths/probit.md.
**Source** Graepel, Quinonero Candela, Borchert, Herbrich 2010, "Web-scale Bayesian click-through rate prediction for sponsored search
advertising in Microsoft's Bing search engine", ICML, section 3, with beta = 1. A reward r between 0 and 1 counts as a positive with share
r and a negative with share 1 - r of the log evidence, so that the propensity settles at the mean reward.
**Cost** scoring O(active features * entities), contiguous; an update O(active features * levels). Measured by benchmarks/bench_models.py.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from nba_engine.models import posterior
from nba_engine.models.contract import LEVELS, Floats, Index, Receipt, State, entities_of, positions
from nba_engine.numerics.kernel import kernel, scalar
from nba_engine.numerics.normal import normal_cdf, normal_pdf

_RECEIPT_MAX = 2**31 - 1


@dataclass(frozen=True, slots=True)
class Prior:
    """What is believed before the first outcome.

    variance : of one coefficient, summed over the levels of a path
    shares : how the levels (global, issue, group, action, treatment) share it; those absent from a path leave theirs to its last level
    bias_mean, bias_variance : of the global bias. Wide, so that the base rate is learned first and by all together
    """

    variance: float = 0.15
    shares: tuple[float, float, float, float, float] = (0.02, 0.01, 0.03, 0.74, 0.2)
    bias_mean: float = 0.0
    bias_variance: float = 1.0


class Probit:
    """The default propensity model.

    Parameters
    ----------
    n_features : of the encoder; feature 0 is the bias
    paths : int32[n_candidates, 5], the entity per level, -1 none
    n_entities : at least one more than the largest in `paths`; the surplus keeps beliefs of entities that have left
    """

    def __init__(self, n_features: int, paths: Index, n_entities: int, prior: Prior = Prior()) -> None:
        self.version = 0
        self._paths = np.ascontiguousarray(paths, dtype=np.int32)
        self._entities = [entities_of(path) for path in self._paths]
        self._prior = _prior_of(self._paths, n_entities, prior)
        self._sums = np.zeros((n_features, n_entities, 2), dtype=np.int64)
        self._table = np.zeros((n_features, 2, n_entities), dtype=np.float32)
        self._totals = np.zeros((2, n_entities), dtype=np.float32)
        posterior.refresh(self._prior, self._sums, self._table)

    def score(self, index: Index, value: Floats, n_active: int, candidates: Index, mean_out: Floats, deviation_out: Floats) -> None:
        """Write propensity and its standard deviation (delta method: phi(m / c) s / c, c = sqrt(1 + s^2)) for each candidate."""
        _fill_totals(index, value, n_active, self._table, self._totals)
        _fill_propensity(value, n_active, self._totals, self._prior, self._paths, candidates, mean_out, deviation_out)

    def update(self, index: Index, value: Floats, n_active: int, candidate: int, reward: float) -> Receipt:
        """Learn one presented candidate's reward in [0, 1]."""
        if not 0.0 <= reward <= 1.0:
            raise ValueError(f"the reward is {reward}; the model needs one between 0 and 1")
        entities = self._entities[candidate]
        deltas = np.empty((2, n_active, entities.size), dtype=np.int32)
        active = index[:n_active].copy()
        _fill_receipt(active, value, entities, self._table, self._prior, float(reward), deltas)
        posterior.add(self._prior, active, entities, deltas, 1, self._sums, self._table)
        self.version += 1
        return Receipt(active, entities, deltas)

    def take_back(self, receipt: Receipt) -> None:
        """Subtract what `update` added."""
        posterior.add(self._prior, receipt.index, receipt.entities, receipt.deltas, -1, self._sums, self._table)
        self.version += 1

    def state(self) -> State:
        """`sums` int64[n_features, n_entities, 2] in units of 2**-24 and `version`; copies."""
        return {"sums": self._sums.copy(), "version": np.array([self.version], dtype=np.int64)}

    def load(self, state: Mapping[str, npt.NDArray[Any]]) -> None:
        """Take over what `state` or `carried` gave."""
        if state["sums"].shape != self._sums.shape:
            raise ValueError(f"beliefs of shape {state['sums'].shape} do not fit; {self._sums.shape} (features, entities, 2) is needed")
        self._sums[:] = state["sums"]
        self.version = int(state["version"][0])
        posterior.refresh(self._prior, self._sums, self._table)


def carried(
    state: Mapping[str, npt.NDArray[Any]],
    old_features: list[Any],
    old_entities: list[Any],
    new_features: list[Any],
    new_entities: list[Any],
) -> State:
    """The state for another catalog version: beliefs move by name (feature, entity), what is new starts from its prior.

    To keep what leaves, append its names to the new lists; they are surplus entities of the next model.
    """
    feature_of, entity_of = positions(old_features, new_features), positions(old_entities, new_entities)
    sums = np.zeros((len(new_features), len(new_entities), 2), dtype=np.int64)
    old_f, old_e = np.nonzero(feature_of >= 0)[0], np.nonzero(entity_of >= 0)[0]
    sums[np.ix_(feature_of[old_f], entity_of[old_e])] = state["sums"][np.ix_(old_f, old_e)]
    return {"sums": sums, "version": state["version"] + 1}


def _prior_of(paths: Index, n_entities: int, prior: Prior) -> posterior.Prior:
    """float64[5, n_entities]; an entity that no path names gets the precision 1 of a place that is not used."""
    table = np.ones((5, n_entities))
    table[posterior.BIAS_SHIFT] = 0.0
    for path in paths:
        levels = np.nonzero(path >= 0)[0]
        for level in levels:
            share = prior.shares[level]
            if level == levels[-1]:
                share = 1.0 - sum(prior.shares[other] for other in levels[:-1])
            table[[posterior.BIAS_PRECISION, posterior.PRECISION], path[level]] = 1.0 / (prior.variance * share)
    used = np.unique(paths[:, 0][paths[:, 0] >= 0])
    table[posterior.BIAS_PRECISION, used] = 1.0 / prior.bias_variance
    table[posterior.BIAS_SHIFT, used] = prior.bias_mean / prior.bias_variance
    table[posterior.BIAS_VARIANCE] = 1.0 / table[posterior.BIAS_PRECISION]
    table[posterior.VARIANCE] = 1.0 / table[posterior.PRECISION]
    return table


@kernel
def _fill_totals(index, value, n_active, table, totals):
    """Mean and variance of every entity's part of eta: whole rows of the table, four features at a time, so that the loops are SIMD."""
    n_entities = totals.shape[1]
    mean, variance = totals[0], totals[1]
    totals[:] = np.float32(0.0)
    whole = n_active - n_active % 4
    for i in range(0, whole, 4):
        w, x, y, z = np.float32(value[i]), np.float32(value[i + 1]), np.float32(value[i + 2]), np.float32(value[i + 3])
        a, b, c, d = table[index[i], 0], table[index[i + 1], 0], table[index[i + 2], 0], table[index[i + 3], 0]
        for e in range(n_entities):
            mean[e] += (w * a[e] + x * b[e]) + (y * c[e] + z * d[e])
        w, x, y, z = w * w, x * x, y * y, z * z
        a, b, c, d = table[index[i], 1], table[index[i + 1], 1], table[index[i + 2], 1], table[index[i + 3], 1]
        for e in range(n_entities):
            variance[e] += (w * a[e] + x * b[e]) + (y * c[e] + z * d[e])
    for i in range(whole, n_active):
        w, a, b = np.float32(value[i]), table[index[i], 0], table[index[i], 1]
        for e in range(n_entities):
            mean[e] += w * a[e]
            variance[e] += w * w * b[e]


@kernel
def _fill_propensity(value, n_active, totals, prior, paths, candidates, mean_out, deviation_out):
    length = 0.0
    for i in range(n_active):
        length += value[i] * value[i]
    for i in range(candidates.shape[0]):
        mean = 0.0
        variance = 0.0
        for level in range(paths.shape[1]):
            entity = paths[candidates[i], level]
            if entity >= 0:
                mean += np.float64(totals[0, entity])
                variance = _variance_below(variance, np.float64(totals[1, entity]), value[0], length, prior, entity)
        spread = math.sqrt(1.0 + variance)
        mean_out[i] = normal_cdf(mean / spread)
        deviation_out[i] = normal_pdf(mean / spread) * math.sqrt(variance) / spread


@kernel
def _fill_receipt(index, value, entities, table, prior, reward, deltas):
    """One outcome's step in natural parameters, in units of 2**-24: every active coefficient gets the information about eta."""
    mean, variance = _eta(index, value, entities, table, prior)
    spread = math.sqrt(1.0 + variance)
    t = mean / spread
    up, down = _slope(t), _slope(-t)
    gradient = (reward * up - (1.0 - reward) * down) / spread
    curvature = (reward * up * (up + t) + (1.0 - reward) * down * (down - t)) / (1.0 + variance)
    information = curvature / (1.0 - curvature * variance)
    for i in range(index.shape[0]):
        x = value[i]
        precision = x * x * information
        for level in range(entities.shape[0]):
            mean_was = np.float64(table[index[i], 0, entities[level]])
            variance_was = np.float64(table[index[i], 1, entities[level]])
            deltas[0, i, level] = _fixed(precision)
            deltas[1, i, level] = _fixed(precision * (mean_was + variance_was * x * gradient) + x * gradient)


@scalar
def _eta(index, value, entities, table, prior):
    """Mean and variance of one candidate's linear predictor."""
    length = 0.0
    for i in range(index.shape[0]):
        length += value[i] * value[i]
    mean = 0.0
    variance = 0.0
    for level in range(entities.shape[0]):
        entity = entities[level]
        diagonal = 0.0
        for i in range(index.shape[0]):
            mean += value[i] * table[index[i], 0, entity]
            diagonal += value[i] * value[i] * table[index[i], 1, entity]
        variance = _variance_below(variance, diagonal, value[0], length, prior, entity)
    return mean, variance


@scalar
def _variance_below(above, diagonal, bias, length, prior, entity):
    """Variance of eta down to this entity: what is above plus its own prior, narrowed by what it has learned about eta.

    `diagonal` is the sum of its variances, `length` that of the squared values, `bias` the first of them. See docs/maths/probit.md.
    """
    at_prior = bias * bias * prior[posterior.BIAS_VARIANCE, entity] + (length - bias * bias) * prior[posterior.VARIANCE, entity]
    information = length * max(at_prior - diagonal, 0.0) / (at_prior * diagonal)
    return (above + at_prior) / (1.0 + (above + at_prior) * information)


@scalar
def _slope(t):
    """v(t) = phi(t) / Phi(t), the derivative of log Phi; its asymptote where Phi runs out of digits."""
    if t < -30.0:
        return -t - 1.0 / t
    return normal_pdf(t) / normal_cdf(t)


@scalar
def _fixed(number):
    """`number` in units of 2**-24, to the nearest, held within int32 (+/- 128)."""
    return np.int32(min(max(np.rint(number * posterior.SCALE), -_RECEIPT_MAX), _RECEIPT_MAX))
