"""Counts of outcomes and rewards per entity, and the rate that a candidate starts from: that of its relatives.

Each entity of a path counts the rewards of all candidates below it, in units of 2**-24, so that counts add up the same in any order. Down the
path, level by level, the rate of the others (what the entity counted but for the next one on the path) is shrunk towards the rate above with the
strength of `RELATIVES_STRENGTH` outcomes, the last entity's own with that of `STRENGTH`; above the global level it is `BASE_RATE`.
**Source** the predictive mean of a Beta prior (Gelman et al., Bayesian Data Analysis, 3rd edition, section 2.4), nested. **Cost** O(levels).
See docs/maths/rates.md.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from nba_engine.models.contract import OUTCOME, Floats, Index
from nba_engine.numerics.kernel import kernel

BASE_RATE = 0.1
STRENGTH = 10.0
RELATIVES_STRENGTH = 50.0
SCALE = float(OUTCOME)

Counts = npt.NDArray[np.int64]
"""int64[n_entities, 2]: outcomes, rewards."""


def no_counts(n_entities: int) -> Counts:
    return np.zeros((n_entities, 2), np.int64)


def in_fixed_point(reward: float, counted: int = OUTCOME) -> int:
    """A reward as it is counted where its outcome is counted as `counted`. Raises ValueError where it is not one."""
    if not 0.0 <= reward <= 1.0:
        raise ValueError(f"the reward is {reward}; the model needs one between 0 and 1")
    return round(reward * counted)


def add(counts: Counts, entities: Index, counted: int, reward: int) -> None:
    """Count one outcome with every entity of its path; to take it back, minus what it was counted as."""
    counts[entities] += (counted, reward)


def rates(counts: Counts, paths: Index, candidates: Index, unit: float = 1.0 / SCALE) -> tuple[Floats, Floats, Floats]:
    """float64[m] each: a candidate's rate, the outcomes that it rests on (the prior's `STRENGTH` included), and what its relatives alone say;
    `unit`: how many outcomes a 1 in the counts is."""
    rate, strength, above = np.empty((3, len(candidates)))
    _fill_rates(counts, unit, paths, candidates, rate, strength, above)
    return rate, strength, above


@kernel
def _fill_rates(counts, unit, paths, candidates, rate_out, strength_out, above_out):
    for i in range(candidates.shape[0]):
        rate, strength, entity = BASE_RATE, STRENGTH, -1
        for level in range(paths.shape[1]):
            following = paths[candidates[i], level]
            if following < 0:
                continue
            if entity >= 0:  # what the entity counted but for the one below
                n, rewards = counts[entity, 0] - counts[following, 0], counts[entity, 1] - counts[following, 1]
                rate = (rewards * unit + RELATIVES_STRENGTH * rate) / (n * unit + RELATIVES_STRENGTH)
            entity = following
        above_out[i] = rate
        if entity >= 0:
            strength = counts[entity, 0] * unit + STRENGTH
            rate = (counts[entity, 1] * unit + STRENGTH * rate) / strength
        rate_out[i], strength_out[i] = rate, strength
