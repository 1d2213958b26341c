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
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from nba_engine.models import inheriting, posterior
from nba_engine.models.contract import Floats, Index, Offsets, Receipt, State, entities_of
from nba_engine.models.prior import Prior, prior_table
from nba_engine.numerics.kernel import kernel, scalar
from nba_engine.numerics.normal import cdf_and_pdf, normal_cdf, normal_pdf

_RECEIPT_MAX = 2**31 - 1


class Probit:
    """The default propensity model.

    Parameters
    ----------
    n_features : of the encoder; feature 0 is the bias
    paths : int32[n_candidates, 5], the entity per level, -1 none
    n_entities : at least one more than the largest in `paths`; the surplus keeps beliefs of entities that have left
    """

    axes: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "sums": ("entity", "feature", ""), "entities": ("",), "given": ("listed", "feature"), "narrowed": ("listed", ""), "version": ("",)}

    def __init__(self, n_features: int, paths: Index, n_entities: int, prior: Prior = Prior()) -> None:
        self.version, self.expected = 0, 0.5
        self._paths = np.ascontiguousarray(paths, dtype=np.int32)
        self._entities = [entities_of(path) for path in self._paths]
        self._first_prior = prior_table(self._paths, n_entities, prior)
        self._prior = self._first_prior.copy()
        self._given: dict[int, npt.NDArray[np.float32]] = {}
        self._sums = np.zeros((n_entities, n_features, 2), dtype=np.int64)
        self._packed = posterior.scoring_copy(n_features, n_entities)
        self._is_behind = True

    def scratch(self, n_rows: int) -> tuple[npt.NDArray[np.float32], Floats]:
        """Arrays for scoring up to `n_rows` rows at once, one thread at a time: 8 bytes a row and entity."""
        n_columns = self._packed.shape[2]
        return np.zeros((n_rows, 2, n_columns), dtype=np.float32), np.zeros((2, n_columns - 1))

    def score(self, scratch: tuple[npt.NDArray[np.float32], Floats], index: Index, value: Floats, n_active: Offsets, offsets: Offsets,
              candidates: Index, mean_out: Floats, deviation_out: Floats) -> None:
        """Write propensity and its standard deviation (delta method: phi(m / c) s / c, c = sqrt(1 + s^2)) for each candidate of each row."""
        if self._is_behind:
            self._catch_up()
        totals, below = scratch
        _fill_scores(index, value, n_active, offsets, self._packed, self._prior, totals, self._paths, candidates, below, mean_out, deviation_out)

    def score_with(self, scratch: tuple[npt.NDArray[np.float32], Floats], features: Index, value: Floats, n_active: Offsets, offsets: Offsets,
                   candidates: Index, mean_out: Floats) -> None:
        """Propensities float64[m] for the rows scored last, each row's candidates with one more active feature of value 1 (-1: none)."""
        _fill_propensity_with(features, value, n_active, offsets, self._packed, scratch[0], self._prior, self._paths, candidates, mean_out)

    def take_over(self, before: Probit) -> bool:
        """Go on with the tables of a model that is given up; False where an entity's prior has changed, since the scoring copy depends on it."""
        if not np.array_equal(self._first_prior, before._first_prior) or self._sums.shape != before._sums.shape:
            return False
        self._sums, self._packed, self.version = before._sums, before._packed, before.version
        self._prior, self._given, self._is_behind = before._prior, before._given, before._is_behind
        return True

    def frozen(self) -> Probit:
        """A model that scores as this one does now, whatever is learned meanwhile; it cannot learn."""
        self._catch_up()
        found = copy(self)
        found._packed, found._prior = self._packed.copy(), self._prior.copy()
        return found

    def spread(self, index: Index, value: Floats, n_active: int, candidate: int) -> float:
        """The root of the sum of the coefficients' variances: it covers where the narrower one of `score` does not (docs/maths/probit.md)."""
        active, entities = index[:n_active], self._entities[candidate][:, None]
        prior = np.where(active == 0, self._prior[posterior.BIAS_PRECISION, entities], self._prior[posterior.PRECISION, entities])
        return float(np.sqrt((value[:n_active] ** 2 / (prior + self._sums[entities, active, 0] / posterior.SCALE)).sum()))

    def inherit(self) -> None:
        """Let every entity that no outcome has taught start from what its siblings have learned, with a prior of its own: models/inheriting.py."""
        found = self._siblings().inheritances()
        for entity, start in found.items():
            self._narrow(entity, 1.0 / start.bias_variance, 1.0 / start.variance)
            given = (start.mean / start.variance).astype(np.float32)
            given[0] = start.mean[0] / start.bias_variance
            self._given[entity] = given
            self._sums[entity, :, 1] = np.rint(given * np.float64(posterior.SCALE)).astype(np.int64)
        if found:
            self._is_behind = True
            self.version += 1

    def _siblings(self) -> inheriting.Siblings:
        return inheriting.Siblings(self._paths, self._sums, self._given, self._first_prior[posterior.VARIANCE])

    def _narrow(self, entity: int, bias_precision: float, precision: float) -> None:
        """Give an entity a prior of its own; its means stand in the sums."""
        rows = [posterior.BIAS_PRECISION, posterior.PRECISION, posterior.BIAS_VARIANCE, posterior.VARIANCE]
        self._prior[rows, entity] = bias_precision, precision, 1.0 / bias_precision, 1.0 / precision

    def update(self, index: Index, value: Floats, n_active: int, candidate: int, reward: float) -> Receipt:
        """Learn one presented candidate's reward in [0, 1]."""
        if not 0.0 <= reward <= 1.0:
            raise ValueError(f"the reward is {reward}; the model needs one between 0 and 1")
        entities = self._entities[candidate]
        deltas = np.empty((2, n_active, entities.size), dtype=np.int32)
        active = index[:n_active].copy()
        beliefs, expected = np.empty((2, n_active, entities.size)), np.empty(1)
        _fill_update(active, value, entities, self._prior, float(reward), self._sums, self._packed, beliefs, deltas, expected)
        self.expected = expected.item()
        self.version += 1
        return Receipt(active, entities, deltas)

    def update_rows(self, index: Index, value: Floats, n_active: Offsets, candidates: Index, rewards: Floats,
                    expected_out: Floats | None = None) -> None:
        """Learn n outcomes one after the other; the scoring copy follows when it is read next, at O(features * entities)."""
        n_levels = self._paths.shape[1]
        expected = np.empty(len(candidates)) if expected_out is None else expected_out
        _fill_updates(index, value, n_active, candidates, rewards, self._paths, self._prior, self._sums, np.empty(n_levels, np.int32),
                      np.empty((2, index.shape[1], n_levels)), expected)
        self._is_behind = True
        self.version += len(candidates)

    def _catch_up(self) -> None:
        """Bring the scoring copy in step with what was learned by rows or inherited."""
        posterior.refresh(self._prior, self._sums, self._packed)
        self._is_behind = False

    def take_back(self, receipt: Receipt) -> None:
        """Subtract what `update` added."""
        posterior.add(self._prior, receipt.index, receipt.entities, receipt.deltas, -1, self._sums, self._packed)
        self.version += 1

    @property
    def nbytes(self) -> int:
        """20 bytes per feature and entity, 4 more for an entity that has inherited, and 80 per entity."""
        given = sum(row.nbytes for row in self._given.values())
        return self._sums.nbytes + self._packed.nbytes + 2 * self._prior.nbytes + self._paths.nbytes + given

    def state(self) -> State:
        """`sums` int64[n_entities, n_features, 2] in units of 2**-24; of the n `entities` int32[n] that have inherited, `given` float32[n,
        n_features], the part of precision * mean that is in the sums, and `narrowed` float64[n, 2], the precisions of bias and others; `version`.
        Copies.
        """
        heirs = sorted(self._given)
        given = np.array([self._given[entity] for entity in heirs], np.float32).reshape(-1, self._sums.shape[1])
        narrowed = self._prior[[posterior.BIAS_PRECISION, posterior.PRECISION]][:, heirs].T.copy()
        return {"sums": self._sums.copy(), "entities": np.array(heirs, np.int32), "given": given, "narrowed": narrowed,
                "version": np.array([self.version], dtype=np.int64)}

    def load(self, state: Mapping[str, npt.NDArray[Any]]) -> None:
        """Take over what `state` or `contract.carried` gave."""
        if state["sums"].shape != self._sums.shape:
            raise ValueError(f"beliefs of shape {state['sums'].shape} do not fit; {self._sums.shape} (entities, features, 2) is needed")
        self._sums[:] = state["sums"]
        self._prior[:] = self._first_prior
        self._given = dict(zip(state["entities"].tolist(), state["given"].copy(), strict=True))
        for entity, narrowed in zip(self._given, state["narrowed"].tolist(), strict=True):
            self._narrow(entity, *narrowed)
        self.version = int(state["version"][0])
        self._is_behind = True


@kernel
def _fill_scores(index, value, n_active, offsets, packed, prior, totals, paths, candidates, below, mean_out, deviation_out):
    """For each row the totals of every column, then every candidate's propensity."""
    n_columns = posterior.n_columns(packed)
    for r in range(offsets.size - 1):
        a, b = offsets[r], offsets[r + 1]
        _fill_totals(index[r], value[r], n_active[r], packed, n_columns, totals[r])
        _fill_propensity(value[r], n_active[r], packed, totals[r], prior, paths, candidates[a:b], below, mean_out[a:b], deviation_out[a:b])


@kernel
def _fill_totals(index, value, n_active, packed, n_columns, totals):
    """Of every column's part of eta the mean, and the sum of its shares of variance but for the bias, which has a prior of its own.

    Whole packed rows, four features at a time, so that the loops are SIMD.
    """
    mean, share = totals[0], totals[1]  # whole rows: a part of them would not be known to lie side by side, and the loops not be SIMD
    for e in range(n_columns):
        mean[e], share[e] = np.float32(0.0), np.float32(0.0)
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
def _fill_update(index, value, entities, prior, reward, sums, packed, beliefs, deltas, expected):
    """The step of one outcome, and that step taken."""
    _fill_receipt(index, value, entities, prior, sums, reward, beliefs, deltas, expected)
    posterior._fill_sums(prior, index, entities, deltas, 1, sums, packed)


@kernel
def _fill_updates(index, value, n_active, candidates, rewards, paths, prior, sums, entities, beliefs, expected):
    """Row after row the step of its outcome, taken at once: the arithmetic of `_fill_receipt`, to the bit."""
    for r in range(candidates.shape[0]):
        n_levels = 0
        for level in range(paths.shape[1]):
            if paths[candidates[r], level] >= 0:
                entities[n_levels] = paths[candidates[r], level]
                n_levels += 1
        mean, variance = _fill_eta(index[r, : n_active[r]], value[r], entities[:n_levels], prior, sums, beliefs)
        expected[r] = normal_cdf(mean / math.sqrt(1.0 + variance))
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
def _fill_receipt(index, value, entities, prior, sums, reward, beliefs, deltas, expected):
    """One outcome's step in natural parameters, in units of 2**-24: every active coefficient gets the information about eta.

    `beliefs` f64[2, n_active, n_levels] takes mean and variance of each coefficient, which are read once; `expected` f64[1] the propensity.
    """
    mean, variance = _fill_eta(index, value, entities, prior, sums, beliefs)
    expected[0] = normal_cdf(mean / math.sqrt(1.0 + variance))
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
