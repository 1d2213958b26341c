"""How far actions' own coefficients scatter: further than the prior has it where what was learned says so, by empirical Bayes.

One prior variance serves every catalog, and where a label follows from the facts, or nearly, coefficients are larger than it expects: it then pulls
them back for thousands of outcomes. What outcomes say of a coefficient is an estimate l of precision L, and l is N(0, c variance + 1 / L). The
factor c is the mean of log c, half of the prior probability on c = 1 and the rest spread over a grid: one for all actions as long as each knows
little, from those that know most; later one of each action's own. Only growth is taken. Actions whose coefficients are narrow gain nothing by
being told so, and an action that nobody wanted at first is offered again because they might not be (docs/decisions/
0032-the-likelier-scale.md).

**Source** the marginal likelihood of the normal model, Efron and Morris 1975, as in inheriting.py. **Cost** O(features met * grid) an action, .3 ms
at 1,300 features: no outcome pays for more than `TOGETHER_MAX`, at doublings, and later for more than `ACTIONS_AT_ONCE`.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from nba_engine.models.inheriting import turn

FIRST_TOGETHER = 4
"""The first stock-taking at which all actions together are looked at, 128 outcomes; then whenever their number has doubled."""
FIRST_ALONE = 16
"""Stock-takings for each action, 512 outcomes, from which on each has a factor of its own, worked out once while their number doubles."""
TOGETHER_MAX = 8
ACTIONS_AT_ONCE = 2

_FACTORS = 2.0 ** np.arange(-6.0, 3.25, 0.5)
_DEFAULT_WEIGHT = 0.5

Floats = npt.NDArray[np.float64]
Index = npt.NDArray[np.int32]


def due(own: Index, known: npt.NDArray[np.int64], stock: int) -> list[tuple[Index, Index]]:
    """At this stock-taking (from 1): which of the entities `own` are looked at together, and who is to scatter as they do; `known` int64[n_entities]
    says how much is known of each."""
    if stock >= FIRST_ALONE * len(own):
        return [(entity, entity) for entity in own[turn(len(own), stock, ACTIONS_AT_ONCE)][:, None]]
    if stock < FIRST_TOGETHER or stock & (stock - 1):
        return []
    taught = own[known[own] > 0]
    return [(taught[np.argsort(-known[taught], kind="stable")[:TOGETHER_MAX]], taught)] if len(taught) else []


def evidence(precision: Floats, shift: Floats, variance: float) -> Floats:
    """Log likelihood, but for what is the same for all, of each factor by which `variance` may be multiplied: float64[n_factors].

    `precision` and `shift`, precision * mean, float64[n_features] each, are what outcomes said of each coefficient, feature 0 the bias.
    """
    met = np.flatnonzero(precision[1:] > 0.0) + 1
    if not len(met):
        return np.zeros(len(_FACTORS))
    # An outcome's information is counted at each feature of its row; dividing by the rows' mean squared length counts it once.
    length = max(float(precision.sum() / precision[0]), 1.0)
    estimate, scatter = shift[met] / precision[met], variance * _FACTORS[:, None] + 1.0 / precision[met]
    return -0.5 * (np.log(scatter) + estimate**2 / scatter).sum(axis=1) / length


def factor(evidence: Floats) -> float:
    """What to multiply the variance by, from 1 to 8, float64[n_factors] being the evidence of all whose coefficients scatter alike, summed."""
    weight = np.where(_FACTORS == 1.0, _DEFAULT_WEIGHT, 0.0) + (1.0 - _DEFAULT_WEIGHT) / len(_FACTORS)
    weight *= np.exp(evidence - evidence.max())
    return max(float(np.exp(weight @ np.log(_FACTORS) / weight.sum())), 1.0)
