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

from nba_engine.models import filtering, inheriting, posterior, widths
from nba_engine.models.contract import Copied, Floats, Index, Offsets, Receipt, State, entities_of
from nba_engine.models.half_life import ALWAYS, HalfLife, loaded, scaled
from nba_engine.models.prior import Prior, prior_table
from nba_engine.numerics.kernel import kernel, scalar
from nba_engine.numerics.normal import table_cdf, table_pdf

_NODE = 0.5 - math.sqrt(1.0 / 12.0)
"""The first of the two nodes of Gauss and Legendre in [0, 1]."""


class Probit:
    """The default propensity model.

    Parameters
    ----------
    n_features : of the encoder; feature 0 is the bias
    paths : int32[n_candidates, 5], the entity per level, -1 none
    n_entities : at least one more than the largest in `paths`; the surplus keeps beliefs of entities that have left
    half_life : None where nothing is forgotten
    """

    axes: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "sums": ("entity", "feature", ""), "entities": ("listed",), "given": ("listed", "feature"), "narrowed": ("listed", ""), "clock": ("",),
        "version": ("",)}

    def __init__(self, n_features: int, paths: Index, n_entities: int, prior: Prior = Prior(), half_life: HalfLife | None = None) -> None:
        self.version, self.expected, self._half_life = 0, 0.5, half_life
        # With the gaps in front: a candidate's own entity stands last, the one above it before that.
        self._paths = np.take_along_axis(paths.astype(np.int32), np.argsort(paths >= 0, axis=1, kind="stable"), axis=1)
        self._entities = [entities_of(path) for path in self._paths]
        self._own = entities_of(np.unique(self._paths[:, -1]))
        self._first_prior = prior_table(paths, n_entities, prior)
        self._prior = self._first_prior.copy()
        self._given: dict[int, npt.NDArray[np.float32]] = {}
        self._nothing = np.zeros(n_features, np.float32)
        self._tree: inheriting.Tree | None = None
        self._sums = np.zeros((n_entities, n_features, 2), dtype=np.int64)
        self._packed = posterior.scoring_copy(n_features, n_entities)
        self._is_behind = True
        self._work = np.empty((4, self._paths.shape[1], 0))  # scratch of an update, as long as rows turn out to be

    def scratch(self, n_rows: int) -> tuple[npt.NDArray[np.float32], Floats]:
        """Arrays for scoring up to `n_rows` rows at once, one thread at a time: 8 bytes a row and entity, 32 more an entity."""
        n_columns = self._packed.shape[2]
        return np.zeros((n_rows, 2, n_columns), dtype=np.float32), np.zeros((4, n_columns))

    def score(self, scratch: tuple[npt.NDArray[np.float32], Floats], index: Index, value: Floats, n_active: Offsets, offsets: Offsets,
              candidates: Index, mean_out: Floats, deviation_out: Floats) -> None:
        """Write each row's candidates' propensities, the mean of Phi(eta), and its standard deviation, for eta ~ N(m, s^2)."""
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
        self._prior, self._given, self._half_life = before._prior, before._given, before._half_life
        self._is_behind = before._is_behind or not np.array_equal(self._paths, before._paths)  # families may be others now
        return True

    def frozen(self) -> Probit:
        """A model that scores as this one does now, whatever is learned meanwhile; it cannot learn."""
        if self._is_behind:
            self._catch_up()
        found = copy(self)
        found._packed, found._prior = self._packed.copy(), self._prior.copy()
        return found

    def spread(self, index: Index, value: Floats, n_active: int, candidate: int) -> float:
        """The root of the sum of the coefficients' variances: it covers where the narrower one of `score` does not (docs/maths/probit.md)."""
        active, entities = index[:n_active], self._entities[candidate][:, None]
        prior = np.where(active == 0, self._prior[posterior.BIAS_PRECISION, entities], self._prior[posterior.PRECISION, entities])
        return float(np.sqrt((value[:n_active] ** 2 / (prior + self._sums[entities, active, 0] * self._unit)).sum()))

    def inherit(self, stock: int | None = 0) -> None:
        """Let entities that no outcome has taught start from what their siblings have learned, with a prior of their own: models/inheriting.py."""
        for heirs, start in self._siblings().inheritances(stock):
            given = (start.mean / start.variance).astype(np.float32)
            given[0] = start.mean[0] / start.bias_variance
            self._narrow(heirs, 1.0 / start.bias_variance, 1.0 / start.variance)
            self._given.update(dict.fromkeys(heirs.tolist(), given))
            self._sums[heirs, :, 1] = self._in_sums(given)
            if not self._is_behind:
                posterior.refresh_alike(self._prior, self._sums, heirs, self._packed)
            self.version += 1
        if stock:
            self._widen(stock)

    def _widen(self, stock: int) -> None:
        """Let candidates' own coefficients scatter as far as what was learned says (models/widths.py). Who has inherited keeps the prior that came
        with it; who scatters further than at first stands among the heirs, with nothing given."""
        variance = self._first_prior[posterior.VARIANCE]
        for looked_at, entities in widths.due(self._own, self._sums[:, 0, 0], stock):
            factor = widths.factor(sum(widths.evidence(*(self._sums[entity].T * self._unit), variance[entity]) for entity in looked_at))
            for entity in entities.tolist():
                given, first = self._given.get(entity), self._first_prior[:, entity]
                if given is not None and given.any() or factor == 1.0 and given is None:
                    continue
                self._given[entity] = self._nothing
                if factor == 1.0:
                    del self._given[entity]
                self._narrow(entity, first[posterior.BIAS_PRECISION], first[posterior.PRECISION] / factor)
                if not self._is_behind:
                    posterior.refresh_alike(self._prior, self._sums, np.array([entity], np.int32), self._packed)
                self.version += 1

    def _siblings(self) -> inheriting.Siblings:
        if self._tree is None:
            self._tree = inheriting.Tree(self._paths, self._first_prior[posterior.VARIANCE])
        return inheriting.Siblings(self._tree, self._sums, self._given, self._first_prior[posterior.VARIANCE], self._unit)

    def _in_sums(self, given: npt.NDArray[np.float32]) -> npt.NDArray[np.int64]:
        """What an entity has inherited, as it stands in its sums: it does not age, so it grows there as they are read as less."""
        return np.rint(given / np.float64(self._unit)).astype(np.int64)

    @property
    def _unit(self) -> float:
        return 1.0 / posterior.SCALE if self._half_life is None else self._half_life.unit / posterior.SCALE

    def advance(self, at_us: int) -> None:
        """Let time pass: once in a sixteenth of the half-life all is read as of then, O(features * entities)."""
        before = self._unit
        factor = None if self._half_life is None else self._half_life.advance(at_us)
        if factor is not None:
            self._age(before, factor)

    def _age(self, before: float, factor: float) -> None:
        """Multiply what was learned, which was read in units of `before`; the scoring copy follows when it is read next."""
        if (before, factor) != (self._unit, 1.0):
            for entity, given in self._given.items():
                self._sums[entity, :, 1] -= np.rint(given / before).astype(np.int64)
            if factor != 1.0:
                self._sums[:] = scaled(self._sums, factor)
            for entity, given in self._given.items():
                self._sums[entity, :, 1] += self._in_sums(given)
        self._prior[posterior.UNIT] = self._unit
        self._is_behind = True

    def _narrow(self, entities: int | Index, bias_precision: float, precision: float) -> None:
        """Give entities a prior of their own; their means stand in the sums."""
        own = {posterior.BIAS_PRECISION: bias_precision, posterior.PRECISION: precision, posterior.BIAS_VARIANCE: 1.0 / bias_precision,
               posterior.VARIANCE: 1.0 / precision}
        for row, number in own.items():
            self._prior[row, entities] = number

    def update(self, index: Index, value: Floats, n_active: int, candidate: int, reward: float, at_us: int = 0) -> Receipt:
        """Learn one presented candidate's reward in [0, 1]."""
        if not 0.0 <= reward <= 1.0:
            raise ValueError(f"the reward is {reward}; the model needs one between 0 and 1")
        stamp = ALWAYS
        if self._half_life is not None:
            self.advance(at_us)
            stamp = self._half_life.stamp(at_us)
        entities = self._entities[candidate]
        table = np.empty((2 + entities.size, n_active), np.int32)
        if self._work.shape[2] < n_active:
            self._work = np.empty((4, self._paths.shape[1], len(index)))
        self.expected = filtering._fill_update(index, value, entities, self._prior, float(reward), float(stamp[0]), self._sums, self._packed,
                                               self._work, table)
        self.version += 1
        return Receipt(entities, table, 0, *stamp)

    def update_rows(self, index: Index, value: Floats, n_active: Offsets, candidates: Index, rewards: Floats,
                    expected_out: Floats | None = None, at_us: Offsets | None = None) -> None:
        """Learn n outcomes one after the other; the scoring copy follows when it is read next, at O(features * entities)."""
        n, n_levels = len(candidates), self._paths.shape[1]
        expected, scales = np.empty(n) if expected_out is None else expected_out, np.full(n, posterior.SCALE)
        entities = np.empty(n_levels, np.int32)
        if self._work.shape[2] < index.shape[1]:
            self._work = np.empty((4, n_levels, index.shape[1]))
        times = np.zeros(n, np.int64) if at_us is None else at_us
        for part in self._half_life.runs(times) if self._half_life is not None else (slice(n),):
            if self._half_life is not None:
                self.advance(int(times[part.start]))
                scales[part] = [self._half_life.stamp(t)[0] for t in times[part].tolist()]
            filtering._fill_updates(index[part], value[part], n_active[part], candidates[part], rewards[part], scales[part], self._paths,
                                    self._prior, self._sums, entities, self._work, expected[part])
        self._is_behind = True
        self.version += n

    def _catch_up(self) -> None:
        """Bring the scoring copy in step with what was learned by rows or inherited."""
        posterior.refresh(self._prior, self._sums, self._packed)
        families: dict[int, list[int]] = {}
        for entity, given in self._given.items():
            if self._sums[entity, 0, 0] == 0:
                families.setdefault(id(given), []).append(entity)
        for heirs in families.values():
            posterior.refresh_alike(self._prior, self._sums, np.array(heirs, np.int32), self._packed)
        self._is_behind = False

    def take_back(self, receipt: Receipt) -> None:
        """Subtract what `update` added."""
        since = 1.0 if self._half_life is None else self._half_life.since(receipt.epoch)
        deltas = receipt.deltas if since == 1.0 else np.rint(receipt.deltas * since).astype(np.int32)
        posterior.add(self._prior, receipt.index, receipt.entities, deltas, -1, self._sums, self._packed)
        self.version += 1

    @property
    def nbytes(self) -> int:
        """20 bytes per feature and entity, 4 more for what a family has inherited, and 80 per entity."""
        given = sum({id(row): row.nbytes for row in self._given.values()}.values())
        return self._sums.nbytes + self._packed.nbytes + 2 * self._prior.nbytes + self._paths.nbytes + given

    def state(self, copied: Copied = np.copy) -> State:
        """`sums` int64[n_entities, n_features, 2] in units of 2**-24; of the n `entities` int32[n] with a prior of their own, `given` float32[n,
        n_features], the part of precision * mean that is in the sums, and `narrowed` float64[n, 2], the precisions of bias and others; `version`,
        and `clock` where it forgets. Copies.
        """
        heirs = sorted(self._given)
        given = np.array([self._given[entity] for entity in heirs], np.float32).reshape(-1, self._sums.shape[1])
        narrowed = self._prior[[posterior.BIAS_PRECISION, posterior.PRECISION]][:, heirs].T.copy()
        return {"sums": copied(self._sums), "entities": np.array(heirs, np.int32), "given": given, "narrowed": narrowed,
                "version": np.array([self.version], dtype=np.int64), **({} if self._half_life is None else {"clock": self._half_life.state()})}

    def load(self, state: Mapping[str, npt.NDArray[Any]]) -> None:
        """Take over what `state` or `contract.carried` gave."""
        if state["sums"].shape != self._sums.shape:
            raise ValueError(f"beliefs of shape {state['sums'].shape} do not fit; {self._sums.shape} (entities, features, 2) is needed")
        self._sums[:] = state["sums"]
        self._prior[:] = self._first_prior
        alike: dict[bytes, npt.NDArray[np.float32]] = {}
        self._given = {}
        for entity, given, narrowed in zip(state["entities"].tolist(), state["given"], state["narrowed"], strict=True):
            self._given[entity] = alike.setdefault(given.tobytes() + narrowed.tobytes(), given.copy())
            self._narrow(entity, *narrowed.tolist())
        self.version = int(state["version"][0])
        factor = loaded(self._half_life, state.get("clock"))
        self._age(self._unit * factor, factor)


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
    """Every candidate's propensity and its deviation, as many candidates at a time as `below` has columns."""
    bias, rest, size = value[0] * value[0], 0.0, below.shape[1]
    for i in range(1, n_active):
        rest += value[i] * value[i]
    below[1, :] = -1.0
    below[0, -1] = below[1, -1] = 0.0
    for a in range(0, candidates.shape[0], size):
        b = min(a + size, candidates.shape[0])
        mean, variance = below[2, : b - a], below[3, : b - a]
        _fill_predictors(bias, rest, packed, totals, prior, paths, candidates[a:b], below, mean, variance)
        _fill_moments(mean, variance, mean_out[a:b], deviation_out[a:b])


@kernel
def _fill_predictors(bias, rest, packed, totals, prior, paths, candidates, below, mean_out, variance_out):
    """Mean and variance of eta down each candidate's path. What many share is worked out once: that down to each entity, in `below`; its last column
    is for none."""
    last = paths.shape[1] - 1
    for i in range(candidates.shape[0]):
        entity, above = paths[candidates[i], last], paths[candidates[i], last - 1]
        if below[1, above] < 0.0:
            _fill_above(paths[candidates[i]], bias, rest, packed, totals, prior, below)
        mean_out[i], variance_out[i] = below[0, above], below[1, above]
        if entity >= 0:
            mean_out[i], variance_out[i] = _down_to(entity, -1, below[0, above], below[1, above], bias, rest, packed, totals, prior)


@kernel
def _fill_moments(mean, variance, mean_out, deviation_out):
    """Mean and standard deviation of Phi(eta) under eta ~ N(mean, variance), of many at once: the loop is SIMD.

    The variance is 2 T(t, 1) - 2 T(t, 1 / root), T the integral of Owen 1956 and root = sqrt(1 + 2 variance), by two nodes of Gauss and Legendre:
    the deviation is off by 3 % at most within |t| <= 4.
    """
    for i in range(mean.shape[0]):
        t = min(max(-8.0, mean[i] / math.sqrt(1.0 + variance[i])), 8.0)
        root = math.sqrt(1.0 + 2.0 * variance[i])
        reach = 2.0 * variance[i] / (root * (root + 1.0))  # 1 - 1 / root
        far, near = 1.0 - _NODE * reach, 1.0 - (1.0 - _NODE) * reach
        of_far, of_near = 1.0 + far * far, 1.0 + near * near
        inside = (table_pdf(t * far) * of_near + table_pdf(t * near) * of_far) / (of_far * of_near)
        mean_out[i], deviation_out[i] = table_cdf(t), math.sqrt(reach * table_pdf(t) * inside)


@kernel
def _fill_above(path, bias, rest, packed, totals, prior, below):
    """Mean and variance down to each entity of a path but the last, those not known yet."""
    mean, variance = 0.0, 0.0
    for level in range(path.shape[0] - 1):
        entity = path[level]
        if entity >= 0:
            if below[1, entity] < 0.0:
                below[0, entity], below[1, entity] = _down_to(entity, -1, mean, variance, bias, rest, packed, totals, prior)
            mean, variance = below[0, entity], below[1, entity]


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
    return mean + own, filtering._variance_below(variance, diagonal, of_bias + of_others * active, bias + active)


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
            mean_out[i] = table_cdf(mean / math.sqrt(1.0 + variance))
