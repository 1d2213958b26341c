"""Full-covariance Gaussian beliefs, one for the last entity of every path, and the model that two likelihoods share.

    eta = x . c,   c ~ N(mean, covariance),   precision = prior + sum over outcomes of u u^T,   precision . mean = prior's + sum of shifts

`u` and the shifts are integers (2**-16 and 2**-24), so sums come out the same in any order, an update can be taken back exactly, and the
precision stays positive definite whatever is taken back. Mean and covariance are functions of these sums alone, computed again where an entity is
read after it has learned. The prior mean stands on the bias: it is what the relatives' rate says (rates.py). **Cost** scoring O(active^2) per
candidate; the first scoring after an update O(seen^3), seen the features that the entity has met; 16 bytes per entity and pair of features.
**Source** the conjugate normal linear model (Gelman et al., Bayesian Data Analysis, 3rd edition, section 14.8). See docs/maths/probit_full.md.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Mapping
from copy import copy
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt

from nba_engine.models import rates
from nba_engine.models.contract import OUTCOME, Copied, Floats, Index, Offsets, Receipt, State, entities_of
from nba_engine.models.half_life import HalfLife, Stamp, scaled
from nba_engine.models.one_by_one import OneByOne
from nba_engine.numerics.kernel import kernel

FULL_BYTES_MAX = 2**30
"""What the tables of all actions of a catalog with full covariance may take."""
ROOT_SCALE, SHIFT_SCALE = 2.0**16, 2.0**24

_INT32_MAX = 2**31 - 1
_NO_FEATURES = np.zeros(0, np.int32)


def bytes_needed(n_learners: int, n_features: int) -> int:
    """Bytes of the tables of `n_learners` actions (treatments where an action has several) over `n_features` features."""
    return 16 * n_learners * n_features * n_features


class Scratch:
    """What scoring remembers of the rows scored last: their features."""

    __slots__ = ("index",)

    def __init__(self) -> None:
        self.index = np.zeros((0, 0), np.int32)


class FullGaussian(OneByOne):
    """A model whose belief about each leaf of the paths is one Gaussian over all features; parameters as those of `Probit`."""

    variance: ClassVar[float]
    """Of every coefficient before the first outcome."""
    bias_variance: ClassVar[float]
    axes: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "counts": ("entity", ""), "outer": ("listed", "feature", "feature"), "shift": ("listed", "feature"), "entities": ("listed",),
        "clock": ("",), "version": ("",)}
    _sums_named = ("_counts", "_outer", "_shift")

    def __init__(self, n_features: int, paths: Index, n_entities: int, half_life: HalfLife | None = None) -> None:
        self._half_life = half_life
        self._paths = np.ascontiguousarray(paths, dtype=np.int32)
        self._path_entities = [entities_of(path) for path in self._paths]
        self._counts = rates.no_counts(n_entities)
        self._listed = np.zeros(0, np.int32)
        self._slot_of = np.full(n_entities, -1, np.int32)
        self._prior = np.full(n_features, self.variance)
        self._prior[0] = self.bias_variance
        self._outer = np.zeros((0, n_features, n_features), np.int64)
        self._shift = np.zeros((0, n_features), np.int64)
        self._gain = np.zeros(self._outer.shape)
        self._own_mean = np.zeros(self._shift.shape)
        self._stale = np.zeros(0, bool)
        self._list(np.unique([int(entities[-1]) for entities in self._path_entities if entities.size]))

    @abstractmethod
    def _bias_means(self, rate: Floats) -> Floats:
        """The prior mean of the bias where the relatives' rate is float64[m]."""

    @abstractmethod
    def _lesson(self, mean: float, variance: float, reward: float) -> tuple[float, float]:
        """(information, target): a reward adds information x x^T to the precision and target x to precision . mean; `mean` and `variance` of eta."""

    @abstractmethod
    def _read(self, eta: Floats, rate: Floats, mean_out: Floats, deviation_out: Floats) -> None:
        """Propensity and deviation from eta float64[2, m], its mean and variance."""

    def scratch(self, n_rows: int) -> Scratch:
        """Remembers the rows scored last."""
        return Scratch()

    def score(self, scratch: Scratch, index: Index, value: Floats, n_active: Offsets, offsets: Offsets, candidates: Index, mean_out: Floats,
              deviation_out: Floats) -> None:
        """Write propensity and its standard deviation for each candidate of each row."""
        scratch.index = index
        self._score(index, _NO_FEATURES, value, n_active, offsets, candidates[: offsets[-1]], mean_out, deviation_out)

    def score_with(self, scratch: Scratch, features: Index, value: Floats, n_active: Offsets, offsets: Offsets, candidates: Index,
                   mean_out: Floats) -> None:
        """Propensities for the rows scored last, each row's candidates with one more active feature of value 1 (-1: none)."""
        self._score(scratch.index, features, value, n_active, offsets, candidates[: offsets[-1]], mean_out, np.empty(len(candidates)))

    def _score(self, index: Index, features: Index, value: Floats, n_active: Offsets, offsets: Offsets, candidates: Index, mean_out: Floats,
               deviation_out: Floats) -> None:
        rate = self._relatives(candidates)
        eta = self._eta(index, features, value, n_active, offsets, candidates, rate)
        self._read(eta, rate, mean_out[: len(rate)], deviation_out[: len(rate)])

    def _relatives(self, candidates: Index) -> Floats:
        return rates.rates(self._counts, self._paths, candidates, self._unit / rates.SCALE)[2]

    def _eta(self, index: Index, features: Index, value: Floats, n_active: Offsets, offsets: Offsets, candidates: Index, rate: Floats) -> Floats:
        slots = self._slots[candidates]
        if self._stale.any():
            for slot in np.unique(slots[slots >= 0]):
                self._refresh(slot)
        eta = np.empty((2, len(candidates)))
        _fill_eta(index, value, n_active, offsets, features, slots, self._prior, self._gain, self._own_mean, self._bias_means(rate), eta[0], eta[1])
        return eta

    def _refresh(self, slot: int) -> None:
        """Bring mean and covariance of one belief in step with its sums. `gain` is covariance minus prior: 0 where nothing was learned."""
        if not self._stale[slot]:
            return
        outer, gain = self._outer[slot], self._gain[slot]
        met = np.flatnonzero(np.diagonal(gain)), np.flatnonzero(np.diagonal(outer))
        gain[np.ix_(met[0], met[0])] = 0.0
        seen = met[1]
        covariance = outer[np.ix_(seen, seen)] * (self._unit / ROOT_SCALE**2)
        covariance[np.diag_indices(len(seen))] += 1.0 / self._prior[seen]
        _fill_inverse(covariance, np.empty(len(seen)))
        self._own_mean[slot] = 0.0
        shift = self._shift[slot, seen] * (self._unit / SHIFT_SCALE)
        self._own_mean[slot, seen] = (covariance * shift).sum(axis=1)
        covariance[np.diag_indices(len(seen))] -= self._prior[seen]
        gain[np.ix_(seen, seen)] = covariance
        self._stale[slot] = False

    def take_over(self, before: Self) -> bool:
        """Go on with the tables of a model that is given up."""
        if not np.array_equal(self._listed, before._listed) or (self._counts.shape, self._outer.shape) != (before._counts.shape, before._outer.shape):
            return False
        for name in ("_counts", "_outer", "_shift", "_gain", "_own_mean", "_stale", "_half_life", "version"):
            setattr(self, name, getattr(before, name))
        return True

    def frozen(self) -> Self:
        """A model that scores as this one does now, whatever is learned meanwhile; it cannot learn."""
        for slot in np.flatnonzero(self._stale):
            self._refresh(slot)
        found = copy(self)
        found._counts, found._gain, found._own_mean, found._stale = (a.copy() for a in (self._counts, self._gain, self._own_mean, self._stale))
        found._half_life = copy(self._half_life)
        return found

    def _learned(self, index: Index, value: Floats, n_active: int, candidate: int, reward: float, stamp: Stamp) -> Receipt:
        """`u` and shift of every active feature; the receipt's last feature stands for the counts."""
        counted = rates.in_fixed_point(reward, stamp[0])
        candidates, entities, read = np.array([candidate], np.int32), self._path_entities[candidate], np.empty((2, 1))
        rate = self._relatives(candidates)
        eta = self._eta(index[None], _NO_FEATURES, value[None], np.array([n_active]), np.array([0, 1]), candidates, rate)
        self._read(eta, rate, read[0], read[1])
        self.expected = float(read[0, 0])
        information, target = self._lesson(float(eta[0, 0]), float(eta[1, 0]), reward)
        table = np.zeros((2 + entities.size, n_active + 1), np.int32)
        x, weight = value[:n_active], stamp[0] / OUTCOME
        table[0, :-1] = index[:n_active]
        table[1, :-1] = np.clip(np.rint(math.sqrt(information * weight) * x * ROOT_SCALE), -_INT32_MAX, _INT32_MAX)
        table[-1, :-1] = np.clip(np.rint(target * weight * x * SHIFT_SCALE), -_INT32_MAX, _INT32_MAX)
        table[-1, -1] = counted
        return Receipt(entities, table, 0, *stamp)

    def _add(self, receipt: Receipt, sign: int, since: float) -> None:
        active = receipt.index[:-1]
        slot = self._slot_of[receipt.entities[-1]]
        root = receipt.deltas[0, :-1].astype(np.int64)
        counted, reward = (sign * scaled(np.array([receipt.counted, receipt.deltas[-1, -1]]), since)).tolist()
        self._outer[slot][np.ix_(active, active)] += sign * scaled(root[:, None] * root, since)
        self._shift[slot, active] += sign * scaled(receipt.deltas[-1, :-1].astype(np.int64), since)
        rates.add(self._counts, receipt.entities, counted, reward)
        self._stale[slot] = True

    def _reread(self) -> None:
        self._stale[:] = True

    @property
    def nbytes(self) -> int:
        """16 bytes per belief and pair of features, and little else."""
        return self._outer.nbytes + self._gain.nbytes + self._shift.nbytes + self._own_mean.nbytes + self._counts.nbytes + self._paths.nbytes

    def state(self, copied: Copied = np.copy) -> State:
        """`counts` int64[n_entities, 2]; of the beliefs that learned something `entities` int32[k], `outer` int64[k, n_features, n_features] and
        `shift` int64[k, n_features]; `version`, and `clock` where it forgets; copies."""
        learned = np.flatnonzero(np.diagonal(self._outer, axis1=1, axis2=2).any(axis=1))
        learned = learned[np.argsort(self._listed[learned])]
        return {"counts": copied(self._counts), "entities": self._listed[learned], "outer": self._outer[learned], "shift": self._shift[learned],
                "version": np.array([self.version], dtype=np.int64), **self._clock()}

    def load(self, state: Mapping[str, npt.NDArray[Any]]) -> None:
        """Take over what `state` gave; entities that no path names keep their beliefs too."""
        n_features = len(self._prior)
        if state["counts"].shape != self._counts.shape or state["outer"].shape[1:] != (n_features, n_features):
            raise ValueError(f"beliefs over {state['counts'].shape[0]} entities and {state['outer'].shape[1]} features do not fit; "
                             f"{len(self._counts)} and {n_features} are needed")
        self._list(state["entities"][self._slot_of[state["entities"]] < 0])
        self._counts[:] = state["counts"]
        slots = self._slot_of[state["entities"]]
        self._outer[:], self._shift[:] = 0, 0
        self._outer[slots], self._shift[slots] = state["outer"], state["shift"]
        self.version = int(state["version"][0])
        self._load_clock(state)

    def _list(self, entities: npt.NDArray[Any]) -> None:
        """Give beliefs of their own to more entities."""
        n, n_features = len(entities), len(self._prior)
        if not n:
            return
        self._slot_of[entities] = len(self._listed) + np.arange(n)
        self._listed = np.append(self._listed, entities.astype(np.int32))
        square, line = (n, n_features, n_features), (n, n_features)
        self._outer = np.concatenate([self._outer, np.zeros(square, np.int64)]) if len(self._outer) else np.zeros(square, np.int64)
        self._gain = np.concatenate([self._gain, np.zeros(square)]) if len(self._gain) else np.zeros(square)
        self._shift = np.concatenate([self._shift, np.zeros(line, np.int64)])
        self._own_mean = np.concatenate([self._own_mean, np.zeros(line)])
        self._stale = np.concatenate([self._stale, np.zeros(n, bool)])
        self._slots = np.array([self._slot_of[e[-1]] if e.size else -1 for e in self._path_entities], np.int32)


@kernel
def _fill_eta(index, value, n_active, offsets, features, slots, prior, gain, own_mean, bias_mean, mean_out, variance_out):
    """Mean and variance of eta, the k-th candidate of a row with one more feature `features[k]` of value 1 (-1 or none: as the row is)."""
    for r in range(offsets.size - 1):
        for c in range(offsets[r], offsets[r + 1]):
            k, slot = c - offsets[r], slots[c]
            more = features[k] if k < features.size else np.int32(-1)
            mean, variance, tilt = 0.0, 0.0, 0.0
            for i in range(n_active[r] + (more >= 0)):
                f, x = (more, 1.0) if i == n_active[r] else (index[r, i], value[r, i])
                variance += x * x * prior[f]
                if slot < 0:
                    continue
                row, inner = gain[slot, f], 0.0
                for j in range(n_active[r]):
                    inner += value[r, j] * row[index[r, j]]
                if more >= 0:
                    inner += row[more]
                mean += x * own_mean[slot, f]
                tilt += x * row[0]
                variance += x * inner
            # the prior mean of the bias times its prior precision, through the covariance
            mean += (tilt / prior[0] + value[r, 0]) * bias_mean[c]
            mean_out[c], variance_out[c] = mean, max(variance, 0.0)


@kernel
def _fill_inverse(matrix, column):
    """Invert a positive definite matrix f64[n, n] in place by sweeping each pivot in turn; reads the lower triangle, `column` f64[n] is scratch."""
    n = matrix.shape[0]
    for k in range(n):
        inverse = 1.0 / matrix[k, k]
        for j in range(n):
            column[j] = matrix[k, j] if j < k else matrix[j, k]
        column[k] = 0.0
        for i in range(n):
            factor = column[i] * inverse
            if factor != 0.0:
                row = matrix[i]
                for j in range(i + 1):
                    row[j] -= factor * column[j]
        for j in range(n):
            if j < k:
                matrix[k, j] = column[j] * inverse
            elif j > k:
                matrix[j, k] = column[j] * inverse
        matrix[k, k] = -inverse
    for i in range(n):
        for j in range(i + 1):
            matrix[i, j] = -matrix[i, j]
            matrix[j, i] = matrix[i, j]
