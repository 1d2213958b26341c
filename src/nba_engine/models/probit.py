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
from copy import copy
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from nba_engine.models import posterior
from nba_engine.models.contract import Floats, Index, Offsets, Receipt, State, entities_of, positions
from nba_engine.numerics.kernel import kernel, scalar
from nba_engine.numerics.normal import cdf_and_pdf, normal_cdf, normal_pdf

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
        self._sums = np.zeros((n_entities, n_features, 2), dtype=np.int64)
        self._packed = posterior.scoring_copy(n_features, n_entities)
        posterior.refresh(self._prior, self._sums, self._packed)

    def scratch(self, n_rows: int) -> tuple[npt.NDArray[np.float32], Floats]:
        """Arrays for scoring up to `n_rows` rows at once, one thread at a time: 8 bytes a row and entity."""
        n_columns = self._packed.shape[2]
        return np.zeros((n_rows, 2, n_columns), dtype=np.float32), np.zeros((2, n_columns - 1))

    def score(self, scratch: tuple[npt.NDArray[np.float32], Floats], index: Index, value: Floats, n_active: Offsets, offsets: Offsets,
              candidates: Index, mean_out: Floats, deviation_out: Floats) -> None:
        """Write propensity and its standard deviation (delta method: phi(m / c) s / c, c = sqrt(1 + s^2)) for each candidate of each row."""
        totals, below = scratch
        _fill_scores(index, value, n_active, offsets, self._packed, self._prior, totals, self._paths, candidates, below, mean_out, deviation_out)

    def score_with(self, scratch: tuple[npt.NDArray[np.float32], Floats], features: Index, value: Floats, n_active: Offsets, offsets: Offsets,
                   candidates: Index, mean_out: Floats) -> None:
        """Propensities float64[m] for the rows scored last, each row's candidates with one more active feature of value 1 (-1: none)."""
        _fill_propensity_with(features, value, n_active, offsets, self._packed, scratch[0], self._prior, self._paths, candidates, mean_out)

    def take_over(self, before: Probit) -> bool:
        """Go on with the tables of a model that is given up; False where an entity's prior has changed, since the scoring copy depends on it."""
        if not np.array_equal(self._prior, before._prior) or self._sums.shape != before._sums.shape:
            return False
        self._sums, self._packed, self.version = before._sums, before._packed, before.version
        return True

    def frozen(self) -> Probit:
        """A model that scores as this one does now, whatever is learned meanwhile; it cannot learn."""
        found = copy(self)
        found._packed = self._packed.copy()
        return found

    def update(self, index: Index, value: Floats, n_active: int, candidate: int, reward: float) -> Receipt:
        """Learn one presented candidate's reward in [0, 1]."""
        if not 0.0 <= reward <= 1.0:
            raise ValueError(f"the reward is {reward}; the model needs one between 0 and 1")
        entities = self._entities[candidate]
        deltas = np.empty((2, n_active, entities.size), dtype=np.int32)
        active = index[:n_active].copy()
        beliefs = np.empty((2, n_active, entities.size))
        _fill_update(active, value, entities, self._prior, float(reward), self._sums, self._packed, beliefs, deltas)
        self.version += 1
        return Receipt(active, entities, deltas)

    def update_rows(self, index: Index, value: Floats, n_active: Offsets, candidates: Index, rewards: Floats) -> None:
        """Learn n outcomes one after the other; the scoring copy follows at the end. Cost: O(features * entities) besides the updates."""
        n_levels = self._paths.shape[1]
        _fill_updates(index, value, n_active, candidates, rewards, self._paths, self._prior, self._sums, np.empty(n_levels, np.int32),
                      np.empty((2, index.shape[1], n_levels)))
        posterior.refresh(self._prior, self._sums, self._packed)
        self.version += len(candidates)

    def take_back(self, receipt: Receipt) -> None:
        """Subtract what `update` added."""
        posterior.add(self._prior, receipt.index, receipt.entities, receipt.deltas, -1, self._sums, self._packed)
        self.version += 1

    @property
    def nbytes(self) -> int:
        """20 bytes per feature and entity, and 40 per entity."""
        return self._sums.nbytes + self._packed.nbytes + self._prior.nbytes + self._paths.nbytes

    def state(self) -> State:
        """`sums` int64[n_entities, n_features, 2] in units of 2**-24 and `version`; copies."""
        return {"sums": self._sums.copy(), "version": np.array([self.version], dtype=np.int64)}

    def load(self, state: Mapping[str, npt.NDArray[Any]]) -> None:
        """Take over what `state` or `carried` gave."""
        if state["sums"].shape != self._sums.shape:
            raise ValueError(f"beliefs of shape {state['sums'].shape} do not fit; {self._sums.shape} (entities, features, 2) is needed")
        self._sums[:] = state["sums"]
        self.version = int(state["version"][0])
        posterior.refresh(self._prior, self._sums, self._packed)


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
    sums = np.zeros((len(new_entities), len(new_features), 2), dtype=np.int64)
    if old_features == new_features and old_entities == new_entities[: len(old_entities)]:  # the usual reload adds at most some actions
        sums[: len(old_entities)] = state["sums"]
        return {"sums": sums, "version": state["version"] + 1}
    feature_of, entity_of = positions(old_features, new_features), positions(old_entities, new_entities)
    old_f, old_e = np.nonzero(feature_of >= 0)[0], np.nonzero(entity_of >= 0)[0]
    sums[np.ix_(entity_of[old_e], feature_of[old_f])] = state["sums"][np.ix_(old_e, old_f)]
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
def _fill_scores(index, value, n_active, offsets, packed, prior, totals, paths, candidates, below, mean_out, deviation_out):
    """For each row the totals of every column, then every candidate's propensity."""
    n_columns = posterior.n_columns(packed)
    for r in range(offsets.size - 1):
        a, b = offsets[r], offsets[r + 1]
        _fill_totals(index[r], value[r], n_active[r], packed, totals[r, :, :n_columns])
        _fill_propensity(value[r], n_active[r], packed, totals[r], prior, paths, candidates[a:b], below, mean_out[a:b], deviation_out[a:b])


@kernel
def _fill_totals(index, value, n_active, packed, totals):
    """Of every column's part of eta the mean, and the sum of its shares of variance but for the bias, which has a prior of its own.

    Whole packed rows, four features at a time, so that the loops are SIMD.
    """
    n_columns = totals.shape[1]
    mean, share = totals[0], totals[1]
    totals[:] = np.float32(0.0)
    whole = n_active - (n_active - 1) % 4
    for i in range(1, whole, 4):
        w, x, y, z = np.float32(value[i]), np.float32(value[i + 1]), np.float32(value[i + 2]), np.float32(value[i + 3])
        a, b, c, d = index[i], index[i + 1], index[i + 2], index[i + 3]
        for e in range(n_columns):
            mean[e] += (w * np.float32(packed[a, 0, e]) + x * np.float32(packed[b, 0, e])) + (
                y * np.float32(packed[c, 0, e]) + z * np.float32(packed[d, 0, e]))
        for e in range(n_columns):
            wa, xb = w * np.float32(packed[a, 1, e]), x * np.float32(packed[b, 1, e])
            yc, zd = y * np.float32(packed[c, 1, e]), z * np.float32(packed[d, 1, e])
            share[e] += (wa * wa + xb * xb) + (yc * yc + zd * zd)
    for i in range(whole, n_active):
        w, a = np.float32(value[i]), packed[index[i]]
        for e in range(n_columns):
            mean[e] += w * np.float32(a[0, e])
            share[e] += (w * np.float32(a[1, e])) * (w * np.float32(a[1, e]))
    w, a = np.float32(value[0]), packed[0]
    unit, square = np.float32(posterior.MEAN_UNIT), np.float32(posterior.DEVIATION_UNIT**2)
    for e in range(n_columns):
        mean[e] = unit * (mean[e] + w * np.float32(a[0, e]))
        share[e] *= square


@kernel
def _fill_propensity(value, n_active, packed, totals, prior, paths, candidates, below, mean_out, deviation_out):
    """Add up each candidate's path. What lies above its last entity is shared by many and kept in `below` f64[2, n_entities]: mean, variance."""
    bias = value[0] * value[0]
    rest = 0.0
    for i in range(1, n_active):
        rest += value[i] * value[i]
    below[1, :] = -1.0
    for i in range(candidates.shape[0]):
        mean, variance, entity = 0.0, 0.0, -1
        for level in range(paths.shape[1]):
            following = paths[candidates[i], level]
            if following < 0:
                continue
            if entity >= 0:
                if below[1, entity] < 0.0:
                    below[0, entity], below[1, entity] = _down_to(entity, -1, mean, variance, bias, rest, packed, totals, prior)
                mean, variance = below[0, entity], below[1, entity]
            entity = following
        if entity >= 0:
            mean, variance = _down_to(entity, -1, mean, variance, bias, rest, packed, totals, prior)
        mean_out[i], deviation_out[i] = _propensity(mean, variance)


@scalar
def _down_to(entity, more, mean, variance, bias, rest, packed, totals, prior):
    """Mean and variance of eta down to `entity`, from those above it, with one more active feature of value 1 (-1: none).

    `bias` and `rest`: the squared values of the bias and of all other features, summed.
    """
    column = posterior.column_of(packed, entity)
    own, share, active = np.float64(totals[0, column]), np.float64(totals[1, column]), rest
    if more >= 0:
        own += posterior.MEAN_UNIT * packed[more, 0, column]
        share += (posterior.DEVIATION_UNIT * packed[more, 1, column]) ** 2
        active += 1.0
    of_bias, of_others = bias * prior[posterior.BIAS_VARIANCE, entity], prior[posterior.VARIANCE, entity]
    diagonal = of_bias * (posterior.DEVIATION_UNIT * packed[0, 1, column]) ** 2 + of_others * share
    return mean + own, _variance_below(variance, diagonal, of_bias + of_others * active, bias + active)


@scalar
def _propensity(mean, variance):
    """(Phi(mean / c), phi(mean / c) * deviation / c) with c = sqrt(1 + variance): the propensity and, by the delta method, its deviation."""
    inverse = 1.0 / (1.0 + variance)
    p, density = cdf_and_pdf(mean * math.sqrt(inverse))
    return p, density * math.sqrt(variance * inverse)


@kernel
def _fill_propensity_with(features, value, n_active, offsets, packed, totals, prior, paths, candidates, mean_out):
    """Each candidate's propensity with one more active feature of value 1, `features[k]` for the k-th of its row; -1 for none."""
    for r in range(offsets.size - 1):
        bias = value[r, 0] * value[r, 0]
        rest = 0.0
        for i in range(1, n_active[r]):
            rest += value[r, i] * value[r, i]
        for i in range(offsets[r], offsets[r + 1]):
            mean, variance = 0.0, 0.0
            for level in range(paths.shape[1]):
                entity = paths[candidates[i], level]
                if entity >= 0:
                    mean, variance = _down_to(entity, features[i - offsets[r]], mean, variance, bias, rest, packed, totals[r], prior)
            mean_out[i] = _propensity(mean, variance)[0]


@kernel
def _fill_update(index, value, entities, prior, reward, sums, packed, beliefs, deltas):
    """The step of one outcome, and that step taken."""
    _fill_receipt(index, value, entities, prior, sums, reward, beliefs, deltas)
    posterior._fill_sums(prior, index, entities, deltas, 1, sums, packed)


@kernel
def _fill_updates(index, value, n_active, candidates, rewards, paths, prior, sums, entities, beliefs):
    """Row after row the step of its outcome, taken at once: the arithmetic of `_fill_receipt`, to the bit."""
    for r in range(candidates.shape[0]):
        n_levels = 0
        for level in range(paths.shape[1]):
            if paths[candidates[r], level] >= 0:
                entities[n_levels] = paths[candidates[r], level]
                n_levels += 1
        mean, variance = _fill_eta(index[r, : n_active[r]], value[r], entities[:n_levels], prior, sums, beliefs)
        gradient, information = _step(mean, variance, rewards[r])
        for i in range(n_active[r]):
            x = value[r, i]
            precision = x * x * information
            for level in range(n_levels):
                entity, feature = entities[level], index[r, i]
                shift = precision * (beliefs[0, i, level] + beliefs[1, i, level] * x * gradient) + x * gradient
                sums[entity, feature, 0] += np.int64(_fixed(precision))
                sums[entity, feature, 1] += np.int64(_fixed(shift))


@kernel
def _fill_receipt(index, value, entities, prior, sums, reward, beliefs, deltas):
    """One outcome's step in natural parameters, in units of 2**-24: every active coefficient gets the information about eta.

    `beliefs` f64[2, n_active, n_levels] takes mean and variance of each coefficient, which are read once.
    """
    mean, variance = _fill_eta(index, value, entities, prior, sums, beliefs)
    gradient, information = _step(mean, variance, reward)
    for i in range(index.shape[0]):
        x = value[i]
        precision = x * x * information
        for level in range(entities.shape[0]):
            deltas[0, i, level] = _fixed(precision)
            deltas[1, i, level] = _fixed(precision * (beliefs[0, i, level] + beliefs[1, i, level] * x * gradient) + x * gradient)


@scalar
def _step(mean, variance, reward):
    """(gradient, information) of one outcome's log evidence about eta, whose belief is N(mean, variance)."""
    spread = math.sqrt(1.0 + variance)
    t = mean / spread
    up, down = _slope(t), _slope(-t)
    gradient = (reward * up - (1.0 - reward) * down) / spread
    curvature = (reward * up * (up + t) + (1.0 - reward) * down * (down - t)) / (1.0 + variance)
    return gradient, curvature / (1.0 - curvature * variance)


@kernel
def _fill_eta(index, value, entities, prior, sums, beliefs):
    """Mean and variance of one candidate's linear predictor, and of every coefficient in it."""
    length = 0.0
    for i in range(index.shape[0]):
        length += value[i] * value[i]
        for level in range(entities.shape[0]):
            beliefs[0, i, level], beliefs[1, i, level] = posterior.belief(prior, sums, index[i], entities[level])
    bias = value[0] * value[0]
    mean, variance = 0.0, 0.0
    for level in range(entities.shape[0]):
        diagonal = 0.0
        for i in range(index.shape[0]):
            mean += value[i] * beliefs[0, i, level]
            diagonal += value[i] * value[i] * beliefs[1, i, level]
        entity = entities[level]
        at_prior = bias * prior[posterior.BIAS_VARIANCE, entity] + (length - bias) * prior[posterior.VARIANCE, entity]
        variance = _variance_below(variance, diagonal, at_prior, length)
    return mean, variance


@scalar
def _variance_below(above, diagonal, at_prior, length):
    """Variance of eta down to an entity: what is above plus the entity's own prior, narrowed by what it has learned about eta.

    `at_prior` and `diagonal` are the sums of its variances at the prior and now, `length` that of the squared values. See docs/maths/probit.md.
    """
    whole = above + at_prior
    # whole / (1 + whole * information), information = length * (at_prior - diagonal) / (at_prior * diagonal), with one division
    product = at_prior * diagonal
    return whole * product / (product + whole * length * max(at_prior - diagonal, 0.0))


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
