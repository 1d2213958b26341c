"""Priority: what a candidate is worth to offer now, `propensity * value * context_weight * lever - cost`, and its deviation."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from nba_engine.numerics.kernel import kernel

Floats = npt.NDArray[np.float64]


def priorities(
    candidates: npt.NDArray[np.int32],
    explores: npt.NDArray[np.uint8],
    propensity: Floats,
    deviation: Floats,
    terms: Floats,
    posterior_scale: float,
    null_position: int,
    priority_out: Floats,
    flags_out: npt.NDArray[np.uint8],
) -> None:
    """Priority and its deviation, both in the currency of value, and who competes; under 2 us at 200 candidates.

    Parameters
    ----------
    candidates : int32[m], positions of the competitors among all candidates
    explores : uint8[n_candidates]; a candidate closed to exploration (0) gets deviation 0
    propensity, deviation : f64[m], mean and standard deviation of P(positive | presented)
    terms : f64[4, >= m]: value, context weight, lever, cost, finite, >= 0
    posterior_scale : what the model's deviation is multiplied with
    null_position : the null action's place among the competitors, or -1; its priority is 0 and what ranks below it does not remain
    priority_out, flags_out : f64[2, >= m] priority and deviation, uint8[2, >= m] explores and remains
    """
    _fill_priority(candidates, explores, propensity, deviation, terms, float(posterior_scale), null_position, priority_out, flags_out)


@kernel
def _fill_priority(candidates, explores, propensity, deviation, terms, posterior_scale, null_position, priority_out, flags_out):
    for i in range(candidates.size):
        worth = terms[0, i] * terms[1, i] * terms[2, i]
        is_open = explores[candidates[i]] != 0
        priority_out[0, i] = propensity[i] * worth - terms[3, i] if i != null_position else 0.0
        priority_out[1, i] = posterior_scale * deviation[i] * worth if is_open and i != null_position else 0.0
        flags_out[0, i] = np.uint8(is_open and i != null_position)
        flags_out[1, i] = np.uint8(null_position < 0 or priority_out[0, i] >= 0.0)
