"""Slates: the law of exploration applied slot after slot to what remains.

A drawn action leaves with all its candidates. Where a null action competes, what ranks below it is not offered, and when it is drawn the slate ends.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from nba_engine.arbitration.drawing import draw
from nba_engine.arbitration.exploration import CONTROL, Exploration, Flags, Floats, fill_pmf
from nba_engine.arbitration.winning import Winning


@dataclass(frozen=True, slots=True)
class Slate:
    """What was drawn. `chosen` int32[k] candidates by rank, `probability` f64[k] of each given what stands before it, in (0, 1].

    `first_pmf` f64[n]: the law of the first slot. `ended_by_null`: the null action was drawn next, with probability `p_end` (else 1.0).
    """

    chosen: npt.NDArray[np.int32]
    probability: Floats
    first_pmf: Floats
    ended_by_null: bool
    p_end: float

    @property
    def slate_probability(self) -> float:
        """Probability of the whole slate, its end by the null action included."""
        return float(np.prod(self.probability)) * self.p_end


def fill_slate(
    exploration: Exploration,
    priority: Floats,
    deviation: Floats,
    action_index: npt.NDArray[np.int32],
    explores: Flags,
    null_position: int,
    noise_key: int,
    action_keys: npt.NDArray[np.uint64],
    candidate_keys: npt.NDArray[np.uint64],
    limit: int,
) -> Slate:
    """Draw up to `limit` offers, each from the law over what remains.

    Parameters
    ----------
    priority, deviation : f64[n], finite, from `priorities`
    action_index : int32[n]; candidates of one action stand next to each other
    explores : uint8[n], 0 for candidates closed to exploration and for the null action
    null_position : the null action's candidate, or -1
    noise_key : uint64 hash of (seed, subject, sticky window)
    action_keys, candidate_keys : uint64[n]
    limit : >= 0; may exceed what is left

    Notes
    -----
    **Cost** at 200 contenders: the first slot O(n), each further one a fraction of it; linear in slots.
    """
    n = priority.size
    remains = _remaining(exploration, priority, null_position)
    winning = Winning(n)
    key = np.uint64(noise_key)
    p, first_pmf = np.zeros(n), np.zeros(n)
    chosen: list[int] = []
    probability: list[float] = []
    for slot in range(min(limit, n)):
        fill_pmf(exploration, priority, deviation, remains, explores, winning, p)
        if slot == 0:
            first_pmf = p.copy()
        i = draw(p, action_index, action_keys, candidate_keys, key, slot, remains)
        if i < 0:
            break
        if i == null_position:
            return Slate(np.array(chosen, np.int32), np.array(probability), first_pmf, True, float(p[i]))
        chosen.append(i)
        probability.append(float(p[i]))
    return Slate(np.array(chosen, np.int32), np.array(probability), first_pmf, False, 1.0)


def pmf(exploration: Exploration, priority: Floats, deviation: Floats, explores: Flags, null_position: int) -> Floats:
    """The law of the first slot, f64[n], without drawing; sums to 1 unless there are no candidates. Parameters as in `fill_slate`."""
    p = np.zeros(priority.size)
    remains = _remaining(exploration, priority, null_position)
    fill_pmf(exploration, priority, deviation, remains, explores, Winning(priority.size), p)
    return p


def _remaining(exploration: Exploration, priority: Floats, null_position: int) -> Flags:
    """Who competes: all; beside a null action, those not below it; in a control group, all but the null action."""
    if null_position < 0:
        return np.ones(priority.size, np.uint8)
    if exploration.kind == CONTROL:
        remains = np.ones(priority.size, np.uint8)
        remains[null_position] = 0
        return remains
    return (priority >= 0.0).view(np.uint8)
