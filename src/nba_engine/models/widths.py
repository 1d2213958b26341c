"""How far an action's own coefficients scatter: further than the prior has it where what was learned says so, by empirical Bayes.

One prior variance serves every catalog, and where a label follows from the facts, or nearly, coefficients are larger than it expects: it then pulls
them back for thousands of outcomes. What outcomes say of a coefficient is an estimate l of precision L, and l is N(0, c variance + 1 / L). The
factor c is worked out from all the coefficients that an action met: the mean of log c, half of the prior probability on c = 1 and the rest spread
over a grid. Only growth is taken. Actions whose coefficients are narrow gain nothing by being told so, and an action that nobody wanted at first
is offered again because they might not be (docs/decisions/0032-the-likelier-scale.md).

**Source** the marginal likelihood of the normal model, Efron and Morris 1975, as in inheriting.py. **Cost** O(features met * grid), .3 ms at 1,300
features, an action at a time: no outcome pays for more than `ACTIONS_AT_ONCE`.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

FIRST_STOCK = 16
"""Stock-takings for each action before widths are looked at first, 512 outcomes; then each once while the number of stock-takings doubles."""
ACTIONS_AT_ONCE = 2

_FACTORS = 2.0 ** np.arange(-6.0, 3.25, 0.5)
_DEFAULT_WEIGHT = 0.5

Floats = npt.NDArray[np.float64]


def factor(precision: Floats, shift: Floats, variance: float) -> float:
    """What to multiply `variance` by, from 1 to 8.

    `precision` and `shift`, precision * mean, float64[n_features] each, are what outcomes said of each coefficient, feature 0 the bias.
    """
    met = np.flatnonzero(precision[1:] > 0.0) + 1
    if not len(met):
        return 1.0
    # An outcome's information is counted at each feature of its row; dividing by the rows' mean squared length counts it once.
    length = max(float(precision.sum() / precision[0]), 1.0)
    estimate, scatter = shift[met] / precision[met], variance * _FACTORS[:, None] + 1.0 / precision[met]
    evidence = -0.5 * (np.log(scatter) + estimate**2 / scatter).sum(axis=1) / length
    weight = np.where(_FACTORS == 1.0, _DEFAULT_WEIGHT, 0.0) + (1.0 - _DEFAULT_WEIGHT) / len(_FACTORS)
    weight *= np.exp(evidence - evidence.max())
    return max(float(np.exp(weight @ np.log(_FACTORS) / weight.sum())), 1.0)
