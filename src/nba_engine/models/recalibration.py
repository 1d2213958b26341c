"""What an offer's propensity is corrected by: how outcomes of late compared with what the model had predicted of them.

On the logit scale, for each model of a catalog by itself, c being where the model's predictions of an action have stood of late:

    corrected = logit(p) + level + slope (logit(p) - c)        level ~ N(0, 0.05), slope ~ N(0, 0.1)

learned by one Bayesian logistic step an outcome from (p before it was learned, reward), all sums halved per 2,000 outcomes. Nothing learned is
no correction. Only what is reported is corrected; what is chosen goes by the model itself (docs/decisions/0018-recalibration.md).
**Source** D. Cox, "Two further applications of a model for binary regression", Biometrika 45, 1958; J. Platt 1999, "Probabilistic outputs for
support vector machines"; the step, an extended Kalman filter: W. Penny, S. Roberts, "Dynamic logistic regression", IJCNN 1999.
**Cost** O(1) an outcome and an offer, a kernel call each; 16 bytes an entity. See docs/maths/recalibration.md.
"""

from __future__ import annotations

import math
from copy import copy

import numpy as np
import numpy.typing as npt

from nba_engine.models.contract import Floats, Index
from nba_engine.numerics.kernel import kernel, scalar

HALF_LIFE = 2_000
"""Outcomes of a model after which one weighs half."""
LEVEL_VARIANCE, SLOPE_VARIANCE = 0.05, 0.1
CENTRE_WEIGHT = 10.0
"""Outcomes of its own from which an action's centre counts more than the model's."""
REACH, SLOPE_MIN = 3.0, -0.9
"""How far from the centre, in logits, an outcome speaks of the slope; and the lowest slope: at -1 all propensities would be one."""
P_MIN = 1e-6
LEVEL, SLOPE, CENTRE = 0, 1, 2

_TINY = 1e-300
_DECAY = 0.5 ** (1.0 / HALF_LIFE)


class Recalibration:
    """The corrections of a catalog's models.

    Parameters
    ----------
    family : int32[n_candidates], the number of each candidate's model
    action : int32[n_candidates], the entity of its action

    Attributes
    ----------
    sums : float64[n_families, 3, 2], of level, slope and centre: precision beyond the prior (centre: outcomes) and precision * mean
    centres : float64[n_entities, 2], of actions: outcomes and their logits summed up
    """

    __slots__ = ("_action", "_family", "centres", "sums")

    def __init__(self, family: Index, action: Index, n_families: int, n_entities: int) -> None:
        self._family, self._action = family, action
        self.sums: Floats = np.zeros((n_families, 3, 2))
        self.centres: Floats = np.zeros((n_entities, 2))

    def learn(self, candidates: Index, rewards: Floats, expected: Floats) -> None:
        """Compare n outcomes, float64[n] in [0, 1], with what their candidates' models `expected` float64[n], in this order."""
        _fill_learned(candidates, rewards, expected, self._family, self._action, self.sums, self.centres)

    def correct(self, candidates: Index, propensity: Floats) -> None:
        """Put corrected propensities in the place of the models', float64[n] in [0, 1]."""
        _fill_corrected(candidates, self._family, self._action, self.sums, self.centres, propensity)

    def moved(self, candidate: int, propensity: float, bounds: tuple[float, float]) -> tuple[float, float]:
        """The `bounds` of an interval around a model's `propensity`, their odds multiplied as the propensity's are."""
        corrected = np.array([propensity])
        self.correct(np.array([candidate], np.int32), corrected)
        p = float(corrected[0])
        ratio = p * (1.0 - propensity) / max((1.0 - p) * propensity, _TINY)
        low, high = (bound * ratio / (1.0 - bound + bound * ratio) for bound in bounds)
        return low, high

    def frozen(self) -> Recalibration:
        """One that corrects as this one does now."""
        found = copy(self)
        found.sums, found.centres = self.sums.copy(), self.centres.copy()
        return found

    @property
    def nbytes(self) -> int:
        """Bytes of its arrays."""
        return self.sums.nbytes + self.centres.nbytes + self._family.nbytes + self._action.nbytes


def families(parts: list[npt.NDArray[np.int32]], n_candidates: int) -> Index:
    """int32[n_candidates]: which of the `parts`, lists of candidates, each belongs to."""
    found = np.zeros(n_candidates, np.int32)
    for k, part in enumerate(parts):
        found[part] = k
    return found


@kernel
def _fill_learned(candidates, rewards, expected, family, action, sums, centres):
    for r in range(candidates.shape[0]):
        own, centre = sums[family[candidates[r]]], centres[action[candidates[r]]]
        logit = _logit(expected[r])
        x = _from_centre(logit, own, centre)
        level, slope = _mean(own, LEVEL, LEVEL_VARIANCE), _mean(own, SLOPE, SLOPE_VARIANCE)
        p = _expit(logit + level + max(slope, SLOPE_MIN) * x)
        x = min(max(x, -REACH), REACH)
        information, residual = p * (1.0 - p), rewards[r] - p
        for k in range(3):
            own[k, 0] *= _DECAY
            own[k, 1] *= _DECAY
        own[LEVEL, 0] += information
        own[LEVEL, 1] += information * level + residual
        own[SLOPE, 0] += information * x * x
        own[SLOPE, 1] += x * (information * x * slope + residual)
        own[CENTRE, 0] += 1.0
        own[CENTRE, 1] += logit
        centre[0] = centre[0] * _DECAY + 1.0
        centre[1] = centre[1] * _DECAY + logit


@kernel
def _fill_corrected(candidates, family, action, sums, centres, propensity):
    for i in range(candidates.shape[0]):
        own = sums[family[candidates[i]]]
        if own[CENTRE, 0] > 0.0:
            logit = _logit(propensity[i])
            x = _from_centre(logit, own, centres[action[candidates[i]]])
            propensity[i] = _expit(logit + _mean(own, LEVEL, LEVEL_VARIANCE) + max(_mean(own, SLOPE, SLOPE_VARIANCE), SLOPE_MIN) * x)


@scalar
def _mean(own, coefficient, variance):
    return own[coefficient, 1] / (1.0 / variance + own[coefficient, 0])


@scalar
def _from_centre(logit, own, centre):
    """How far it lies from its action's mean logit, which is drawn towards that of all the model's outcomes where there are few; 0 before any."""
    if own[CENTRE, 0] == 0.0:
        return 0.0
    return logit - (centre[1] + CENTRE_WEIGHT * own[CENTRE, 1] / own[CENTRE, 0]) / (centre[0] + CENTRE_WEIGHT)


@scalar
def _logit(p):
    p = min(max(p, P_MIN), 1.0 - P_MIN)
    return math.log(p) - math.log1p(-p)


@scalar
def _expit(x):
    return 1.0 / (1.0 + math.exp(-x))
