"""Priority: what a candidate is worth to offer now, `propensity * value * context_weight * lever - cost`, and its deviation."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from nba_engine.numerics.kernel import kernel
from nba_engine.schema import VALUE_MAX

Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.uint8]
VALUE_TERM, CONTEXT_WEIGHT_TERM, LEVER_TERM, COST_TERM, N_TERMS = range(5)
"""Columns of `terms`."""
WORTH_MAX = VALUE_MAX**2
"""What `value * context_weight * lever` is held within, so that comparing the worth of candidates is exact arithmetic on numbers."""


def priorities(
    offsets: npt.NDArray[np.int64],
    candidates: npt.NDArray[np.int32],
    explores: Flags,
    propensity: Floats,
    deviation: Floats,
    terms: Floats,
    posterior_scale: float,
    null_candidate: int,
    mean_out: Floats,
    deviation_out: Floats,
    explores_out: Flags,
    remains_out: Flags,
) -> None:
    """Priority and its deviation, both in the currency of value, and who competes; under 2 us at 200 candidates.

    Parameters
    ----------
    offsets : int64[n_rows + 1]; the competitors of row r are `candidates[offsets[r]:offsets[r + 1]]`
    candidates : int32[m], positions of the competitors among all candidates, rows behind one another
    explores : uint8[n_candidates]; a candidate closed to exploration (0) gets deviation 0
    propensity, deviation : f64[m], mean and standard deviation of P(positive | presented)
    terms : f64[m, 4]: value, context weight, lever, cost, finite, >= 0
    posterior_scale : what the model's deviation is multiplied with
    null_candidate : the null action's place among all candidates, or -1; its priority is 0, and where it competes what ranks below it does not remain
    mean_out, deviation_out : f64[m]; explores_out, remains_out : uint8[m]
    """
    _fill_priority(offsets, candidates, explores, propensity, deviation, terms, float(posterior_scale), null_candidate, mean_out, deviation_out,
                   explores_out, remains_out)


@kernel
def _fill_priority(offsets, candidates, explores, propensity, deviation, terms, posterior_scale, null_candidate, mean_out, deviation_out,
                   explores_out, remains_out):
    for r in range(offsets.size - 1):
        start, stop = offsets[r], offsets[r + 1]
        with_null = False
        for i in range(start, stop):
            is_null = candidates[i] == null_candidate
            with_null |= is_null
            worth = min(terms[i, 0] * terms[i, 1] * terms[i, 2], WORTH_MAX)
            is_open = explores[candidates[i]] != 0 and not is_null
            mean_out[i] = 0.0 if is_null else propensity[i] * worth - terms[i, 3]
            deviation_out[i] = posterior_scale * deviation[i] * worth if is_open else 0.0
            explores_out[i] = np.uint8(is_open)
            remains_out[i] = np.uint8(1)
        if with_null:
            for i in range(start, stop):
                remains_out[i] = np.uint8(mean_out[i] >= 0.0)
