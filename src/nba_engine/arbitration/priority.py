"""Priority: what a candidate is worth to offer now, `propensity * value * context_weight * lever - cost`, and its deviation."""

from __future__ import annotations

import numpy as np

from nba_engine.numerics.kernel import kernel
from nba_engine.schema import VALUE_MAX

VALUE_TERM, CONTEXT_WEIGHT_TERM, LEVER_TERM, COST_TERM, N_TERMS = range(5)
"""Columns of `terms`."""
WORTH_MAX = VALUE_MAX**2
"""What `value * context_weight * lever` is held within, so that comparing the worth of candidates is exact arithmetic on numbers."""


@kernel
def _fill_priority(candidates, explores, propensity, deviation, terms, posterior_scale, null_candidate, mean_out, deviation_out, explores_out,
                   remains_out):
    """Of one row's competitors the priority and its deviation, in the currency of value, and who is open to exploration and remains.

    Candidates int32[m] are positions among all, to which `explores` uint8 belongs; where it is 0 the deviation is 0. Propensity and deviation f64[m]
    are mean and standard deviation of P(positive | presented), times posterior_scale; terms f64[m, 4]: value, context weight, lever, cost, finite,
    >= 0. The priority of the null action is 0, and where it competes what ranks below it does not remain.
    """
    with_null = False
    for i in range(candidates.size):
        is_null = candidates[i] == null_candidate
        with_null |= is_null
        worth = min(terms[i, 0] * terms[i, 1] * terms[i, 2], WORTH_MAX)
        is_open = explores[candidates[i]] != 0 and not is_null
        mean_out[i] = 0.0 if is_null else propensity[i] * worth - terms[i, 3]
        deviation_out[i] = posterior_scale * deviation[i] * worth if is_open else 0.0
        explores_out[i] = np.uint8(is_open)
        remains_out[i] = np.uint8(1)
    if with_null:
        for i in range(candidates.size):
            remains_out[i] = np.uint8(mean_out[i] >= 0.0)
