"""Where an entity without outcomes starts: what its siblings have learned, by empirical Bayes.

The coefficients that siblings (the other children of its parent on a path) have learned say how alike they are: for each feature they are taken
to scatter with variance `spread` around a mean of their own, which is N(0, `common`). Both variances are those under which what was learned is
likely, averaged over a grid; so relatives that agree hand down their mean with a narrow prior, and relatives that do not hand down only their scale.
**Source** the normal hierarchical model, e.g. Efron and Morris 1975, "Data analysis using Stein's estimator and its generalizations", JASA 70.
**Cost** O(siblings * features * grid) per parent, at most `SIBLINGS_MAX` siblings; numpy, off the decision path.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from nba_engine.models.contract import Index
from nba_engine.models.posterior import SCALE, Sums

SIBLINGS_MAX = 32
"""Siblings that are asked, those with the most outcomes first; of each of them, as many of its children at most as `NEPHEWS_MAX`."""
NEPHEWS_MAX = 8

_SPREADS = np.array([1.0, 0.5, 0.25, 0.12, 0.06, 0.03, 0.015])
_COMMONS = np.array([0.0, 0.03, 0.06, 0.12, 0.25, 0.5, 1.0, 2.0])
_BIAS_SPREADS = np.array([8.0, 4.0, 2.0, 1.0, 0.5, 0.25, 0.12])
_BIAS_COMMON = 4.0
_DEFAULT_WEIGHT = 0.5
"""Both grids are in units of the variance that the entity would have otherwise; that this default holds gets half of the prior probability."""

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Inheritance:
    """What an entity starts from: `mean` float64[n_features], feature 0 the bias; variance of the bias and of every other coefficient."""

    mean: Floats
    bias_variance: float
    variance: float


@dataclass(slots=True)
class Siblings:
    """The family tree of one model, and what its members have learned.

    paths int32[n, 5]; sums int64[n_entities, n_features, 2]; given: entity -> float32[n_features], the part of its precision * mean that it
    inherited; variance float64[n_entities]: of one coefficient where nothing is inherited
    """

    paths: Index
    sums: Sums
    given: dict[int, npt.NDArray[np.float32]]
    variance: Floats
    _children: dict[int, list[int]] = field(init=False)
    _parent: dict[int, int] = field(init=False)

    def __post_init__(self) -> None:
        self._children, self._parent = {}, {}
        for path in np.unique(self.paths, axis=0):
            members = path[path >= 0].tolist()
            for parent, child in zip(members[:-1], members[1:], strict=True):
                if child not in self._parent:
                    self._parent[child] = parent
                    self._children.setdefault(parent, []).append(child)

    def heirs(self) -> list[int]:
        """Entities below another that no outcome has taught."""
        return [entity for entity in self._parent if not self._taught(entity)]

    def inheritances(self) -> dict[int, Inheritance]:
        """For every heir with at least two taught siblings what it starts from; those of one parent start alike."""
        found: dict[int, Inheritance] = {}
        families: dict[tuple[int, float], Inheritance | None] = {}
        for entity in self.heirs():
            family = self._parent[entity], float(self.variance[entity])
            if family not in families:
                taught = self._taught_children(family[0], SIBLINGS_MAX)
                families[family] = None if len(taught) < 2 else _inheritance(*self._effects(taught), family[1])
            inheritance = families[family]
            if inheritance is not None:
                found[entity] = inheritance
        return found

    def _taught(self, entity: int) -> bool:
        """Whether an outcome is in its sums or in those of a child; each adds to the precision of the bias."""
        return bool(self.sums[entity, 0, 0])

    def _taught_children(self, parent: int, n_max: int) -> list[int]:
        taught = [child for child in self._children.get(parent, ()) if self._taught(child)]
        return sorted(taught, key=lambda child: (-int(self.sums[child, 0, 0]), child))[:n_max]

    def _effects(self, entities: list[int]) -> tuple[Floats, Floats]:
        """(precision, precision * mean) float64[n, n_features] of what outcomes say that each entity adds to its parent's predictor."""
        found = [self._effect(entity) for entity in entities]
        return np.stack([precision for precision, _ in found]), np.stack([shift for _, shift in found])

    def _effect(self, entity: int) -> tuple[Floats, Floats]:
        """An entity's own coefficients and the mean of its children's, whose scatter is taken as their prior has it."""
        precision, shift = self.sums[entity, :, 0] / SCALE, self.sums[entity, :, 1] / SCALE - self.given.get(entity, 0.0)
        taught = self._taught_children(entity, NEPHEWS_MAX)
        if not taught:
            return precision, shift
        below, below_shift = self._effects(taught)
        weight = 1.0 / (1.0 + below * self.variance[taught][:, None])
        mean = self.sums[entity, :, 1] / SCALE / (precision + 1.0 / self.variance[entity])
        together = (weight * below).sum(axis=0)
        return together, together * mean + (weight * below_shift).sum(axis=0)


def _inheritance(precision: Floats, shift: Floats, variance: float) -> Inheritance:
    """What siblings with these likelihoods, float64[n, n_features] each, hand down to an entity of prior variance `variance`."""
    rest, rest_shift = precision[:, 1:], shift[:, 1:]
    # An outcome's information is counted at each feature of its row; dividing by the rows' mean squared length counts it once.
    length = max(float(precision.sum() / precision[:, 0].sum()), 1.0)
    spread, common = _likely(rest, rest_shift, variance * _SPREADS, variance * _COMMONS, length)
    mean, left = _common(rest, rest_shift, spread, common)
    seen = rest.sum(axis=0)
    bias_spread, _ = _likely(precision[:, :1], shift[:, :1], variance * _BIAS_SPREADS, np.array([variance * _BIAS_COMMON]), 1.0)
    bias, bias_left = _common(precision[:, :1], shift[:, :1], bias_spread, variance * _BIAS_COMMON)
    doubt = float((seen * left).sum() / seen.sum()) if seen.any() else common
    return Inheritance(np.concatenate([bias, mean]), bias_spread + float(bias_left[0]), spread + doubt)


def _likely(precision: Floats, shift: Floats, spreads: Floats, commons: Floats, length: float) -> tuple[float, float]:
    """Posterior means of spread and common over the grid; its first place is the default: that spread and nothing in common."""
    evidence = np.array([_evidence(precision, shift, spread, commons) for spread in spreads]) / length
    weight = np.full(evidence.shape, (1.0 - _DEFAULT_WEIGHT) / evidence.size)
    weight[0, 0] += _DEFAULT_WEIGHT
    weight *= np.exp(evidence - evidence.max())
    weight /= weight.sum()
    return float(spreads @ weight.sum(axis=1)), float(weight.sum(axis=0) @ commons)


def _evidence(precision: Floats, shift: Floats, spread: float, commons: Floats) -> Floats:
    """Log marginal likelihood of the siblings' coefficients for each of `commons`, up to what depends on no variance."""
    spread_alone = 1.0 + precision * spread
    held = shift / spread_alone
    own = 0.5 * spread * np.vdot(shift, held) - 0.5 * np.log(spread_alone).sum()
    weight, total = (precision / spread_alone).sum(axis=0), held.sum(axis=0)
    scale = 1.0 + commons[:, None] * weight
    return own + 0.5 * ((commons[:, None] * (total * total)) / scale - np.log(scale)).sum(axis=1)


def _common(precision: Floats, shift: Floats, spread: float, common: float) -> tuple[Floats, Floats]:
    """Posterior mean and variance of each feature's common part, float64[n_features] each."""
    held = 1.0 / (1.0 + precision * spread)
    weight, total = (precision * held).sum(axis=0), (shift * held).sum(axis=0)
    return common * total / (1.0 + common * weight), common / (1.0 + common * weight)
