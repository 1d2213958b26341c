"""Hierarchical Bayesian probit, learned online: Gaussian beliefs over sparse features, updated by assumed-density filtering.

    eta = sum over entities e of the path and active features f of value[f] * coefficient[f, e]
    P(positive) = Phi(eta), coefficients independent N(mean, variance)

**Source** Graepel, Quinonero Candela, Borchert, Herbrich 2010, "Web-scale Bayesian click-through rate prediction for sponsored search
advertising in Microsoft's Bing search engine", ICML, section 3, with beta = 1. A reward r between 0 and 1 counts as a positive with share
r and a negative with share 1 - r of the log evidence, so that the propensity settles at the mean reward.
**Cost** at 100 active features: scoring about 8 us for 200 of 1,000 actions, an update about 3 us. See docs/maths/probit.md.
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

    variance: float = 0.1
    shares: tuple[float, float, float, float, float] = (0.2, 0.1, 0.2, 0.3, 0.2)
    bias_mean: float = -1.0
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
        self.overlap = 1.0
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
        active = value[:n_active]
        _fill_propensity(self._totals, self._prior, self.overlap, float(active @ active), self._paths, candidates, mean_out, deviation_out)

    def update(self, index: Index, value: Floats, n_active: int, candidate: int, reward: float) -> Receipt:
        """Learn one presented candidate's reward in [0, 1]."""
        if not 0.0 <= reward <= 1.0:
            raise ValueError(f"the reward is {reward}; the model needs one between 0 and 1")
        entities = self._entities[candidate]
        deltas = np.empty((2, n_active, entities.size), dtype=np.int32)
        active = index[:n_active].copy()
        _fill_receipt(active, value, entities, self._table, float(reward), deltas)
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
    """float64[3, n_entities]; an entity that no path names gets the precision 1 of a place that is not used."""
    table = np.ones((3, n_entities))
    table[posterior.BIAS_SHIFT] = 0.0
    for path in paths:
        levels = np.nonzero(path >= 0)[0]
        for level in levels:
            share = prior.shares[level]
            if level == levels[-1]:
                share = 1.0 - sum(prior.shares[other] for other in levels[:-1])
            table[:, path[level]] = 1.0 / (prior.variance * share), 0.0, 1.0 / (prior.variance * share)
    used = np.unique(paths[:, 0][paths[:, 0] >= 0])
    table[posterior.BIAS_PRECISION, used] = 1.0 / prior.bias_variance
    table[posterior.BIAS_SHIFT, used] = prior.bias_mean / prior.bias_variance
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
def _fill_propensity(totals, prior, overlap, length, paths, candidates, mean_out, deviation_out):
    for i in range(candidates.shape[0]):
        mean = 0.0
        variance = 0.0
        for level in range(paths.shape[1]):
            entity = paths[candidates[i], level]
            if entity >= 0:
                mean += np.float64(totals[0, entity])
                variance = _joint_variance(variance, np.float64(totals[1, entity]), prior[:, entity], overlap, length)
        spread = math.sqrt(1.0 + variance)
        mean_out[i] = normal_cdf(mean / spread)
        deviation_out[i] = normal_pdf(mean / spread) * math.sqrt(variance) / spread


@scalar
def _joint_variance(above, variance, prior, overlap, length):
    before = 1.0 / prior[0] + (length - 1.0) / prior[2]
    q = 1.0 + overlap * (length - 1.0)
    seen = max(q / variance - q / before, 0.0)
    return 1.0 / (1.0 / (above + before) + seen)


@kernel
def _fill_receipt(index, value, entities, table, reward, deltas):
    """Natural-parameter steps of equations (9) to (11), blended over both labels, in units of 2**-24."""
    mean = 0.0
    variance = 1.0
    for i in range(index.shape[0]):
        x = value[i]
        for level in range(entities.shape[0]):
            mean += x * table[index[i], 0, entities[level]]
            variance += x * x * table[index[i], 1, entities[level]]
    spread = math.sqrt(variance)
    t = mean / spread
    up, down = _slope(t), _slope(-t)
    gradient = (reward * up - (1.0 - reward) * down) / spread
    curvature = (reward * up * (up + t) + (1.0 - reward) * down * (down - t)) / variance
    for i in range(index.shape[0]):
        x = value[i]
        for level in range(entities.shape[0]):
            mean_was = np.float64(table[index[i], 0, entities[level]])
            variance_was = np.float64(table[index[i], 1, entities[level]])
            step = x * x * curvature / (1.0 - x * x * curvature * variance_was)
            deltas[0, i, level] = _fixed(step)
            deltas[1, i, level] = _fixed(step * (mean_was + variance_was * x * gradient) + x * gradient)


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
