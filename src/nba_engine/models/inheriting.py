"""Where an entity without outcomes starts: what its siblings have learned, by empirical Bayes.

The coefficients that siblings (the other children of its parent on a path) have learned say how alike they are: for each feature they are taken
to scatter with variance `spread` around a mean of their own, which is N(0, `common`). Both variances are those under which what was learned is
likely, averaged over a grid; so relatives that agree hand down their mean with a narrow prior, and relatives that do not hand down only their scale.
**Source** the normal hierarchical model, e.g. Efron and Morris 1975, "Data analysis using Stein's estimator and its generalizations", JASA 70.
**Cost** O(siblings * features that they met * grid) per family, at most `SIBLINGS_MAX` siblings: about 1 ms at 32 siblings and 700 features. Families
take turns, so that no outcome pays for all of them.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from nba_engine.models.contract import Index
from nba_engine.models.posterior import SCALE, Sums
from nba_engine.numerics.kernel import kernel

SIBLINGS_MAX = 32
"""Siblings that are asked, those with the most outcomes first; of each of them, as many of its children at most as `NEPHEWS_MAX`."""
NEPHEWS_MAX = 8
KNOWN_MIN = 10.0
"""Siblings whose bias is known with less precision, some 20 outcomes at even odds and 80 at 2 %, hand nothing down: those that were tried first were
tried for being dear, and that few accepted them says little of the others."""
FAMILIES_AT_ONCE = 2

_SPREADS = np.array([1.0, 0.5, 0.25, 0.12, 0.06, 0.03, 0.015])
_COMMONS = np.array([0.0, 0.03, 0.06, 0.12, 0.25, 0.5, 1.0, 2.0])
_BIAS_SPREADS = np.array([8.0, 4.0, 2.0, 1.0, 0.5, 0.25, 0.12])
_BIAS_COMMON = 4.0
_LARGE = 1e150
_DEFAULT_WEIGHT = 0.5
"""Both grids are in units of the variance that the entity would have otherwise; that this default holds gets half of the prior probability."""

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Inheritance:
    """What an entity starts from: `mean` float64[n_features], feature 0 the bias; variance of the bias and of every other coefficient."""

    mean: Floats
    bias_variance: float
    variance: float


class Tree:
    """Who is whose child on the paths int32[n, 5] of one model.

    `parent` int32[n_entities], -1 for those without; `children` and `families`, (parent, a prior variance, the entities of that kind), are worked
    out when first asked for.
    """

    def __init__(self, paths: Index, variance: Floats) -> None:
        self._variance = variance
        self.parent = np.full(len(variance), -1, np.int32)
        above = np.full(len(paths), -1, np.int32)
        for level in paths.T:
            here = level >= 0
            self.parent[level[here]] = above[here]
            above = np.where(here, level, above)

    @cached_property
    def children(self) -> dict[int, Index]:
        """parent -> its children, int32[n] in order."""
        order = np.argsort(self.parent, kind="stable").astype(np.int32)
        parents, first = np.unique(self.parent[order], return_index=True)
        return {p: own for p, own in zip(parents.tolist(), np.split(order, first[1:]), strict=True) if p >= 0}

    @cached_property
    def families(self) -> list[tuple[int, float, Index]]:
        return [(parent, float(variance), own[self._variance[own] == variance]) for parent, own in self.children.items()
                for variance in np.unique(self._variance[own])]

    def served(self, stock: int) -> list[tuple[int, float, Index]]:
        """The families whose turn it is at this stock-taking (from 1)."""
        return self.families[turn(len(self.families), stock, FAMILIES_AT_ONCE)]


def turn(n: int, stock: int, at_once: int) -> slice:
    """Which of n it is the turn of at this stock-taking (from 1): each once from one power of two to the next, at most `at_once` at a time."""
    doubled = 1 << (stock.bit_length() - 1)
    n_turns = -(-n // min(-(-n // doubled), at_once)) if n else 1
    first = stock - doubled if n_turns <= doubled else stock % n_turns
    return slice(first, None, n_turns) if first < n_turns else slice(0)


@dataclass(slots=True)
class Siblings:
    """The members of one model's tree, and what they have learned.

    sums int64[n_entities, n_features, 2]; given: entity -> float32[n_features], the part of its precision * mean that it inherited; variance
    float64[n_entities]: of one coefficient where nothing is inherited; unit: what a 1 in the sums counts
    """

    tree: Tree
    sums: Sums
    given: dict[int, npt.NDArray[np.float32]]
    variance: Floats
    unit: float = 1.0 / SCALE

    @property
    def _precisions(self) -> npt.NDArray[np.int64]:
        """What tells who has been taught, and how much: an outcome is in an entity's sums or in those of a child, and adds to the precision of the
        bias. A view: most stock-takings ask for a few entities, and each lies in memory of its own."""
        return self.sums[:, 0, 0]

    def inheritances(self, stock: int | None = 0) -> Iterator[tuple[Index, Inheritance]]:
        """The heirs of each family with at least two siblings that know something, and what they start from: entities below another that no outcome
        has taught.

        `stock` as `contract.Model.inherit` says.
        """
        for parent, variance, members in self.tree.families if not stock else self.tree.served(stock):
            heirs = members[self._precisions[members] == 0]
            if not len(heirs) or (stock is None and all(heir in self.given for heir in heirs.tolist())):
                continue
            known = self._taught_children(parent, SIBLINGS_MAX, KNOWN_MIN)
            if len(known) >= 2:
                yield heirs, _inheritance(*self._effects(known), variance)

    def _taught_children(self, parent: int, n_max: int, known_min: float = 0.0) -> list[int]:
        """Those with the most outcomes first; of a bias known with this precision at least."""
        own = self.tree.children.get(parent)
        if own is None:
            return []
        taught = own[self._precisions[own] > known_min / self.unit]
        return taught[np.argsort(-self._precisions[taught], kind="stable")[:n_max]].tolist()

    def _effects(self, entities: list[int]) -> tuple[Floats, Floats]:
        """(precision, precision * mean) float64[n, n_features] of what outcomes say that each entity adds to its parent's predictor: its own
        coefficients and the mean of its children's, whose scatter is taken as their prior has it."""
        sums = self.sums[entities]
        precision, shift = sums[:, :, 0] * self.unit, sums[:, :, 1] * self.unit
        for k, entity in enumerate(entities):
            mean = shift[k] / (precision[k] + 1.0 / self.variance[entity])
            if entity in self.given:
                shift[k] -= self.given[entity]
            taught = self._taught_children(entity, NEPHEWS_MAX)
            if taught:
                below, below_shift = self._effects(taught)
                weight = 1.0 / (1.0 + below * self.variance[taught][:, None])
                precision[k] = (weight * below).sum(axis=0)
                shift[k] = precision[k] * mean + (weight * below_shift).sum(axis=0)
        return precision, shift


def _inheritance(precision: Floats, shift: Floats, variance: float) -> Inheritance:
    """What siblings with these likelihoods, float64[n, n_features] each, hand down to an entity of prior variance `variance`."""
    # An outcome's information is counted at each feature of its row; dividing by the rows' mean squared length counts it once.
    length = max(float(precision.sum() / precision[:, 0].sum()), 1.0)
    met = np.flatnonzero(precision[:, 1:].any(axis=0)) + 1
    rest, rest_shift = precision[:, met], shift[:, met]
    spread, common = _likely(rest, rest_shift, variance * _SPREADS, variance * _COMMONS, length)
    mean = np.zeros(precision.shape[1])
    mean[met], left = _common(rest, rest_shift, spread, common)
    seen = rest.sum(axis=0)
    bias_spread, _ = _likely(precision[:, :1], shift[:, :1], variance * _BIAS_SPREADS, np.array([variance * _BIAS_COMMON]), 1.0)
    bias, bias_left = _common(precision[:, :1], shift[:, :1], bias_spread, variance * _BIAS_COMMON)
    doubt = float((seen * left).sum() / seen.sum()) if len(met) else common
    mean[0] = bias[0]
    return Inheritance(mean, bias_spread + float(bias_left[0]), spread + doubt)


def _likely(precision: Floats, shift: Floats, spreads: Floats, commons: Floats, length: float) -> tuple[float, float]:
    """Posterior means of spread and common over the grid; its first place is the default: that spread and nothing in common."""
    evidence = _evidence(precision, shift, spreads, commons) / length
    weight = np.full(evidence.shape, (1.0 - _DEFAULT_WEIGHT) / evidence.size)
    weight[0, 0] += _DEFAULT_WEIGHT
    weight *= np.exp(evidence - evidence.max())
    weight /= weight.sum()
    return float(spreads @ weight.sum(axis=1)), float(weight.sum(axis=0) @ commons)


def _evidence(precision: Floats, shift: Floats, spreads: Floats, commons: Floats) -> Floats:
    """Log marginal likelihood of the siblings' coefficients for each of `spreads` and `commons`, up to what depends on no variance."""
    evidence, work = np.empty((len(spreads), len(commons))), np.empty((4, precision.shape[1]))
    _fill_evidence(np.ascontiguousarray(precision), np.ascontiguousarray(shift), spreads, commons, work, evidence)
    return evidence


@kernel
def _fill_evidence(precision, shift, spreads, commons, work, evidence):
    """`precision` and `shift` f64[n, n_features], n at most SIBLINGS_MAX, so that a product of theirs does not overflow; `work` f64[4, n_features] is
    scratch. Features lie side by side: the inner loop is SIMD."""
    along, total, own, product = work[0], work[1], work[2], work[3]
    for s in range(spreads.shape[0]):
        spread, alone = spreads[s], 0.0
        along[:], total[:], own[:], product[:] = 0.0, 0.0, 0.0, 1.0
        for k in range(precision.shape[0]):
            weight, toward = precision[k], shift[k]
            for f in range(along.shape[0]):
                scale = 1.0 + weight[f] * spread
                held = toward[f] / scale
                along[f] += weight[f] / scale
                total[f] += held
                own[f] += toward[f] * held
                product[f] *= scale
        for f in range(along.shape[0]):
            alone += spread * own[f] - math.log(product[f])
        for c in range(commons.shape[0]):
            together, scales = 0.0, 1.0
            for f in range(along.shape[0]):
                scale = 1.0 + commons[c] * along[f]
                together += commons[c] * total[f] * total[f] / scale
                scales *= scale
                if scales > _LARGE:
                    together, scales = together - math.log(scales), 1.0
            evidence[s, c] = 0.5 * (alone + together - math.log(scales))


def _common(precision: Floats, shift: Floats, spread: float, common: float) -> tuple[Floats, Floats]:
    """Posterior mean and variance of each feature's common part, float64[n_features] each."""
    held = 1.0 / (1.0 + precision * spread)
    weight, total = (precision * held).sum(axis=0), (shift * held).sum(axis=0)
    return common * total / (1.0 + common * weight), common / (1.0 + common * weight)
