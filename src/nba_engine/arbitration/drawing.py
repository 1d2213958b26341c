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
    action_index: npt.NDArray[np.int32],
    action_keys: npt.NDArray[np.uint64],
    candidate_keys: npt.NDArray[np.uint64],
    noise_key: np.uint64,
    slot: int,
    remains: npt.NDArray[np.uint8],
) -> int:
    """The candidate drawn from p f64[n], or -1 if p is 0 everywhere; all candidates of its action leave `remains`.

    Candidates of one action stand next to each other. A candidate is drawn with probability p, exactly the number that is logged.
    """
    return _fill_draw(p, action_index, action_keys, candidate_keys, noise_key, slot, remains)


@kernel
def _fill_draw(p, action_index, action_keys, candidate_keys, noise_key, slot, remains):
    """See `draw`. **Cost**: one hash an action, a logarithm where the action may still lead."""
    slot_key = combine(noise_key, np.uint64(slot))
    fastest, first, last = np.inf, -1, -1
    start = 0
    while start < p.size:
        stop = start
        total = 0.0
        while stop < p.size and action_index[stop] == action_index[start]:
            total += p[stop]
            stop += 1
        u = uniform(combine(slot_key, action_keys[start]))
        if total > 0.0 and 1.0 - u < fastest * total:  # -log u >= 1 - u: most logarithms are not needed
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
            time = -math.log(uniform(combine(combine(slot_key, candidate_keys[i]), _TREATMENT_SALT))) / p[i]
            if time < fastest:
                drawn, fastest = i, time
    return drawn
