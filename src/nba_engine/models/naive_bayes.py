"""Naive Bayes with adaptive bins, the model that analysts of this trade know: positives and negatives per predictor and bin, one set per action.

    log odds of a bin  l = log((positives + A p) / (negatives + A (1 - p))) - log(p / (1 - p)),   p the action's rate, A = 10 outcomes
    score = sum over predictors of l,     propensity = rate of the outcomes that had a score like this one

Bins adapt: neighbouring bins of a number count as one while either is thin or their rates do not differ, thin categories count together. The
last step, from scores to rates, is an isotonic regression over `N_SCORE_BINS` bins of the score, so dependent predictors cannot exaggerate.
**Source** Hand, Yu 2001, "Idiot's Bayes", International Statistical Review 69; Zadrozny, Elkan 2002, "Transforming classifier scores into accurate
multiclass probability estimates", KDD (isotonic). **Cost** a logarithm per active feature and candidate, and O(N_SCORE_BINS) per candidate; an
update O(active features + bins of the predictors met); 32 bytes per feature and entity. See docs/maths/naive_bayes.md.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from copy import copy
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from nba_engine.models import rates
from nba_engine.models.contract import Copied, Floats, Index, Offsets, Receipt, State, entities_of
from nba_engine.models.half_life import HalfLife, Stamp, scaled
from nba_engine.models.one_by_one import OneByOne
from nba_engine.numerics.kernel import kernel, scalar

N_SCORE_BINS = 64
SCORE_BINS_PER_UNIT = 10.0
"""Bins per unit of sign(score) log(1 + |score|)."""
STRENGTH = 10.0
"""Outcomes at the action's own rate that stand in every bin of a predictor beforehand."""
SCORE_STRENGTH, POOL_STRENGTH = 0.1, 4.0
"""The same for a bin of the score, and for the pool of such bins that is read."""
THIN = 20.0
"""Outcomes that a bin needs to stand alone."""
APART = 1.0
"""Standard errors by which the rates of neighbouring bins differ, or they count as one."""

_SCALE = rates.SCALE
_NO_FEATURES = np.zeros(0, np.int32)


class Scratch:
    """What scoring remembers of the rows scored last: their features; and room for one isotonic regression."""

    __slots__ = ("index", "pools")

    def __init__(self) -> None:
        self.index = np.zeros((0, 0), np.int32)
        self.pools = np.empty((3, N_SCORE_BINS))


class NaiveBayes(OneByOne):
    """A model of counts in bins.

    Parameters
    ----------
    names : (fact, bin) of each feature, feature 0 the bias; a fact's features stand together and are the bins of one predictor
    paths, n_entities : as those of `Probit`
    """

    axes: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "counts": ("entity", ""), "bins": ("entity", "feature", ""), "scores": ("entity", "", ""), "clock": ("",), "version": ("",)}
    _sums_named = ("_counts", "_bins", "_scores")

    def __init__(self, names: Sequence[tuple[str, str]], paths: Index, n_entities: int, half_life: HalfLife | None = None) -> None:
        self._half_life = half_life
        self._names = list(names)
        self._paths = np.ascontiguousarray(paths, dtype=np.int32)
        self._path_entities = [entities_of(path) for path in self._paths]
        self._leaves = np.array([e[-1] if e.size else 0 for e in self._path_entities], np.int32)
        self._predictor, self._spans = _predictors(self._names)
        self._below = _bins_below(self._names)
        self._counts = rates.no_counts(n_entities)
        self._bins = np.zeros((n_entities, len(names), 2), np.int64)
        self._scores = np.zeros((n_entities, N_SCORE_BINS, 2), np.int64)
        self._pooled = np.zeros((n_entities, len(names), 2))
        self._scratch = Scratch()

    def scratch(self, n_rows: int) -> Scratch:
        """Remembers the rows scored last."""
        return Scratch()

    def score(self, scratch: Scratch, index: Index, value: Floats, n_active: Offsets, offsets: Offsets, candidates: Index, mean_out: Floats,
              deviation_out: Floats) -> None:
        """Write propensity and its standard deviation, that of a Beta belief from the outcomes with a score like this, for each candidate."""
        scratch.index = index
        self._score(scratch, _NO_FEATURES, value, n_active, offsets, candidates[: offsets[-1]], mean_out, deviation_out)

    def score_with(self, scratch: Scratch, features: Index, value: Floats, n_active: Offsets, offsets: Offsets, candidates: Index,
                   mean_out: Floats) -> None:
        """Propensities for the rows scored last, each row's candidates with one more active feature of value 1 (-1: none)."""
        self._score(scratch, features, value, n_active, offsets, candidates[: offsets[-1]], mean_out, np.empty(len(candidates)))

    def _score(self, scratch: Scratch, features: Index, value: Floats, n_active: Offsets, offsets: Offsets, candidates: Index, mean_out: Floats,
               deviation_out: Floats) -> None:
        unit = self._unit / _SCALE
        leaves, rate = self._leaves[candidates], rates.rates(self._counts, self._paths, candidates, unit)[0]
        scores = np.empty(len(candidates))
        _fill_scores(scratch.index, value, n_active, offsets, features, leaves, self._predictor, self._below, self._pooled, rate, scores)
        _fill_propensities(scores, leaves, self._scores, unit, rate, scratch.pools, mean_out, deviation_out)

    def take_over(self, before: NaiveBayes) -> bool:
        """Go on with the tables of a model that is given up."""
        if self._bins.shape != before._bins.shape or not np.array_equal(self._spans, before._spans):
            return False
        self._counts, self._bins, self._scores, self._pooled = before._counts, before._bins, before._scores, before._pooled
        self._half_life, self.version = before._half_life, before.version
        return True

    def frozen(self) -> NaiveBayes:
        """A model that scores as this one does now, whatever is learned meanwhile; it cannot learn."""
        found = copy(self)
        found._counts, found._scores, found._pooled = self._counts.copy(), self._scores.copy(), self._pooled.copy()
        found._half_life = copy(self._half_life)
        return found

    def _learned(self, index: Index, value: Floats, n_active: int, candidate: int, reward: float, stamp: Stamp) -> Receipt:
        """Each active bin's share of the outcome; the receipt's last feature stands for the counts and for the bin of the score."""
        counted, entities = rates.in_fixed_point(reward, stamp[0]), self._path_entities[candidate]
        candidates, read, shares = np.array([candidate], np.int32), np.empty((2, 1)), np.zeros(n_active)
        self.score(self._scratch, index[None], value[None], np.array([n_active]), np.array([0, 1]), candidates, read[0], read[1])
        self.expected = float(read[0, 0])
        index = np.where(np.signbit(value[:n_active]), self._below[index[:n_active]], index[:n_active])
        _fill_shares(index, np.abs(value), self._predictor, shares)
        table = np.zeros((2 + entities.size, n_active + 1), np.int32)
        table[0, :-1], table[1, :-1], table[-1, :-1] = index, np.rint(shares * reward * stamp[0]), np.rint(shares * (1.0 - reward) * stamp[0])
        table[1, -1], table[-1, -1] = int(self._scratch.pools[0, 0]), counted
        return Receipt(entities, table, 0, *stamp)

    def _add(self, receipt: Receipt, sign: int, since: float) -> None:
        leaf, active = receipt.entities[-1], receipt.index[:-1]
        counted, reward = (sign * scaled(np.array([receipt.counted, receipt.deltas[-1, -1]]), since)).tolist()
        self._bins[leaf, active] += sign * scaled(receipt.deltas[[0, -1], :-1].T.astype(np.int64), since)
        self._scores[leaf, receipt.deltas[0, -1]] += (reward, counted - reward)
        rates.add(self._counts, receipt.entities, counted, reward)
        _fill_pooled(self._bins[leaf], self._unit / _SCALE, np.unique(self._predictor[active]), self._spans, self._pooled[leaf])

    def _reread(self) -> None:
        everything = np.arange(len(self._spans), dtype=np.int32)
        for leaf in range(len(self._bins)):
            _fill_pooled(self._bins[leaf], self._unit / _SCALE, everything, self._spans, self._pooled[leaf])

    def predictors(self, entity: int) -> dict[str, tuple[list[str], Floats, Floats]]:
        """Fact -> (its bins, positives float64[n_bins], negatives float64[n_bins]) of one action or treatment; bins.py reads them."""
        found: dict[str, tuple[list[str], Floats, Floats]] = {}
        for first, _, stop in self._spans.tolist():
            positives, negatives = (self._bins[entity, first:stop] * (self._unit / _SCALE)).T
            found[self._names[first][0]] = [name for _, name in self._names[first:stop]], positives, negatives
        return found

    @property
    def nbytes(self) -> int:
        """32 bytes per feature and entity, 1 kB per entity."""
        return self._bins.nbytes + self._pooled.nbytes + self._scores.nbytes + self._counts.nbytes + self._paths.nbytes

    def state(self, copied: Copied = np.copy) -> State:
        """`counts` int64[n_entities, 2], `bins` int64[n_entities, n_features, 2] and `scores` int64[n_entities, N_SCORE_BINS, 2] (positives,
        negatives) in units of 2**-24, `version`, and `clock` where it forgets; copies."""
        return {"counts": copied(self._counts), "bins": copied(self._bins), "scores": copied(self._scores),
                "version": np.array([self.version], dtype=np.int64), **self._clock()}

    def load(self, state: Mapping[str, npt.NDArray[Any]]) -> None:
        """Take over what `state` gave."""
        if state["bins"].shape != self._bins.shape:
            raise ValueError(f"bins of shape {state['bins'].shape} do not fit; {self._bins.shape} (entities, features, 2) is needed")
        self._counts[:], self._bins[:], self._scores[:] = state["counts"], state["bins"], state["scores"]
        self.version = int(state["version"][0])
        self._load_clock(state)


def _predictors(names: list[tuple[str, str]]) -> tuple[Index, Index]:
    """Each feature's predictor int32[n_features], -1 for what is no bin, and per predictor int32[n, 3]: first bin, first unordered bin, stop."""
    predictor, spans = np.full(len(names), -1, np.int32), list[list[int]]()
    for feature, (fact, bin_) in enumerate(names):
        if fact == "bias" or bin_ == "z" or bin_.startswith(("sin ", "cos ")):
            continue
        if not spans or spans[-1][2] != feature or names[feature - 1][0] != fact:
            spans.append([feature, feature, feature])
        spans[-1][1] += bin_.startswith("hat ")
        spans[-1][2] = feature + 1
        predictor[feature] = len(spans) - 1
    return predictor, np.array(spans, np.int32).reshape(-1, 3)


def _bins_below(names: list[tuple[str, str]]) -> Index:
    """int32[n_features]: the bin that a feature's negative value counts in, of a bool's `true` its `false`; the bias, which is no bin, for others."""
    return np.array([f - 1 if f and bin_ == "true" and names[f - 1] == (fact, "false") else 0 for f, (fact, bin_) in enumerate(names)], np.int32)


@kernel
def _fill_scores(index, value, n_active, offsets, features, leaves, predictor, below, pooled, rate, scores_out):
    """The sum of log odds; active bins of one predictor share it. The k-th candidate of a row has one more feature `features[k]` (-1: none)."""
    for r in range(offsets.size - 1):
        for c in range(offsets[r], offsets[r + 1]):
            own, p, total, part, share, last = pooled[leaves[c]], rate[c], 0.0, 0.0, 0.0, -1
            base = math.log(p / (1.0 - p))
            k = c - offsets[r]
            for i in range(n_active[r] + (k < features.size)):
                f, x = (features[k], 1.0) if i == n_active[r] else (index[r, i], value[r, i])
                if math.copysign(1.0, x) < 0.0:
                    f, x = below[f], -x
                which = predictor[f] if f >= 0 else -1
                if which < 0:
                    continue
                if which != last:
                    total += part / max(share, 1e-300)
                    part, share, last = 0.0, 0.0, which
                part += x * (math.log((own[f, 0] + STRENGTH * p) / (own[f, 1] + STRENGTH * (1.0 - p))) - base)
                share += x
            scores_out[c] = total + part / max(share, 1e-300)


@kernel
def _fill_propensities(scores, leaves, score_bins, unit, rate, pools, mean_out, deviation_out):
    """Isotonic regression of the rate on the bin of the score; `pools` f64[3, N_SCORE_BINS]: outcomes, positives, where each pool stops.

    Afterwards `pools[0, 0]` is the bin of the last candidate's score.
    """
    bin_of_score = 0
    for c in range(scores.shape[0]):
        bin_of_score, p, own, n = _bin_of(scores[c]), rate[c], score_bins[leaves[c]], 0
        for b in range(N_SCORE_BINS):
            positives = own[b, 0] * unit + SCORE_STRENGTH * p
            outcomes = own[b, 0] * unit + own[b, 1] * unit + SCORE_STRENGTH
            while n > 0 and pools[1, n - 1] * outcomes >= positives * pools[0, n - 1]:
                n -= 1
                outcomes, positives = outcomes + pools[0, n], positives + pools[1, n]
            pools[0, n], pools[1, n], pools[2, n] = outcomes, positives, b + 1
            n += 1
        k = 0
        while pools[2, k] <= bin_of_score:
            k += 1
        outcomes = pools[0, k] + POOL_STRENGTH
        mean_out[c] = (pools[1, k] + POOL_STRENGTH * p) / outcomes
        deviation_out[c] = math.sqrt(mean_out[c] * (1.0 - mean_out[c]) / (outcomes + 1.0))
    pools[0, 0] = bin_of_score


@scalar
def _bin_of(score):
    place = math.copysign(math.log1p(abs(score)), score) * SCORE_BINS_PER_UNIT
    return min(max(np.int64(math.floor(place)) + N_SCORE_BINS // 2, 0), N_SCORE_BINS - 1)


@kernel
def _fill_shares(index, value, predictor, shares):
    """How much of an outcome each active feature's bin takes: the bins of one predictor share 1, what is no bin takes 0."""
    start = 0
    for i in range(index.shape[0] + 1):
        if i < index.shape[0] and predictor[index[i]] == predictor[index[start]]:
            continue
        total = 0.0
        for j in range(start, i):
            total += max(value[j], 0.0)
        for j in range(start, i):
            if predictor[index[j]] >= 0 and total > 0.0:
                shares[j] = max(value[j], 0.0) / total
        start = i


@kernel
def _fill_pooled(bins, unit, which, spans, pooled):
    """Positives and negatives f64[n_features, 2] as they count for each bin of the predictors `which`, from `bins` int64[n_features, 2] in
    units of `unit`."""
    for w in which:
        if w < 0:
            continue
        first, nominal, stop = spans[w, 0], spans[w, 1], spans[w, 2]
        start, positives, negatives = first, 0.0, 0.0
        for f in range(first, nominal + 1):
            p, n = (bins[f, 0] * unit, bins[f, 1] * unit) if f < nominal else (0.0, 0.0)
            if f == nominal or (f > start and _apart(positives, negatives, p, n)):
                for g in range(start, f):
                    pooled[g, 0], pooled[g, 1] = positives, negatives
                start, positives, negatives = f, 0.0, 0.0
            positives, negatives = positives + p, negatives + n
        positives, negatives = 0.0, 0.0
        for f in range(nominal, stop):
            p, n = bins[f, 0] * unit, bins[f, 1] * unit
            if p + n < THIN:
                positives, negatives = positives + p, negatives + n
            pooled[f, 0], pooled[f, 1] = p, n
        for f in range(nominal, stop):
            if pooled[f, 0] + pooled[f, 1] < THIN:
                pooled[f, 0], pooled[f, 1] = positives, negatives


@scalar
def _apart(positives, negatives, p, n):
    """Whether two bins stand alone: neither is thin and their rates differ by more than chance."""
    a, b = positives + negatives, p + n
    if a < THIN or b < THIN:
        return False
    pooled = (positives + p) / (a + b)
    return abs(positives / a - p / b) > APART * math.sqrt(pooled * (1.0 - pooled) * (1.0 / a + 1.0 / b))
