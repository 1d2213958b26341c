"""Drawing one slot: the action by Gumbel noise of its own, then its treatment by noise of its own.

argmax of log p + G with Gumbel noise G is argmin of E / p with exponential noise E = -log u: an exponential race, one logarithm an action.
Noise is a hash of what it is for, so the same window of a subject sees the same noise whatever else competes.
**Source**: Gumbel-max, Maddison, Tarlow, Minka 2014, "A* sampling", section 2.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from nba_engine.numerics.kernel import kernel
from nba_engine.numerics.random import combine, uniform

_TREATMENT_SALT = np.uint64(0x7472656174)


def draw(
    p: npt.NDArray[np.float64],
    candidates: npt.NDArray[np.int32],
    action_index: npt.NDArray[np.int32],
    keys: npt.NDArray[np.uint64],
    noise_key: np.uint64,
    slot: int,
    remains: npt.NDArray[np.uint8],
) -> int:
    """The position drawn from p f64[m], or -1 if p is 0 everywhere; all candidates of its action leave `remains` uint8[m].

    `candidates` int32[m] are positions among all candidates, those of one action side by side; `action_index` int32[n_candidates] and
    `keys` uint64[2, n_candidates] (action, candidate) are indexed by them. A candidate is drawn with probability p, exactly the number logged.
    """
    return _fill_draw(p, candidates, action_index, keys, noise_key, slot, remains)


@kernel
def _fill_draw(p, candidates, action_index, keys, noise_key, slot, remains):
    """See `draw`. **Cost**: one hash an action with p > 0, and a logarithm for the few that come close."""
    slot_key = combine(noise_key, np.uint64(slot))
    fastest, first, last = np.inf, -1, -1
    start = 0
    while start < p.size:
        stop = start
        total = 0.0
        own = action_index[candidates[start]]
        while stop < p.size and action_index[candidates[stop]] == own:
            total += p[stop]
            stop += 1
        if total > 0.0:
            u = uniform(combine(slot_key, keys[0, candidates[start]]))
            # -log u is at least 1 - u: most runners have lost before their logarithm is taken.
            if 1.0 - u < fastest * total:
                time = -math.log(u) / total
                if time < fastest:
                    fastest, first, last = time, start, stop
        start = stop
    if first < 0:
        return -1
    drawn, fastest = first, np.inf
    for i in range(first, last):
        remains[i] = 0
        if p[i] > 0.0 and last - first > 1:
            time = -math.log(uniform(combine(combine(slot_key, keys[1, candidates[i]]), _TREATMENT_SALT))) / p[i]
            if time < fastest:
                drawn, fastest = i, time
    return drawn
