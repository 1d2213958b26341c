"""Counts instead of features: a Beta belief per candidate whose prior is its parent's propensity.

Each entity of the path counts the rewards of all candidates below it. Down the path, level by level,

    p = (successes + STRENGTH * p_parent) / (n + STRENGTH),    p above the global = BASE_RATE

and the candidate's belief is Beta(a, b) with a = successes + STRENGTH * p_parent, a + b = n + STRENGTH at its last level, so a new action
starts from its group. **Source** the shrinkage is the predictive mean of a Beta prior with `STRENGTH` pseudo-outcomes (Gelman et al.,
Bayesian Data Analysis, 3rd edition, section 2.4), nested. **Cost** O(levels) per candidate. See docs/maths/beta_bernoulli.md.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from copy import copy
from typing import Any

import numpy as np
import numpy.typing as npt

from nba_engine.models.contract import Floats, Index, Offsets, Receipt, State, entities_of, positions
from nba_engine.numerics.kernel import kernel

BASE_RATE = 0.1
STRENGTH = 10.0
SCALE = 2.0**24


class BetaBernoulli:
    """A propensity model that ignores features; parameters as those of `Probit`."""

    def __init__(self, n_features: int, paths: Index, n_entities: int) -> None:
        del n_features
        self.version = 0
        self._paths = np.ascontiguousarray(paths, dtype=np.int32)
        self._sums = np.zeros((n_entities, 2), dtype=np.int64)

    def scratch(self, n_rows: int) -> None:
        """None is needed."""

    def score(self, scratch: None, index: Index, value: Floats, n_active: Offsets, offsets: Offsets, candidates: Index, mean_out: Floats,
              deviation_out: Floats) -> None:
        """Write mean and standard deviation of each candidate's Beta belief."""
        _fill_propensity(self._sums, self._paths, candidates[: offsets[-1]], mean_out, deviation_out)

    def score_with(self, scratch: None, features: Index, value: Floats, n_active: Offsets, offsets: Offsets, candidates: Index,
                   mean_out: Floats) -> None:
        """As `score`: this model reads no features."""
        _fill_propensity(self._sums, self._paths, candidates, mean_out, np.empty(candidates.size))

    def take_over(self, before: BetaBernoulli) -> bool:
        """Go on with the counts of a model that is given up."""
        if self._sums.shape != before._sums.shape:
            return False
        self._sums, self.version = before._sums, before.version
        return True

    def frozen(self) -> BetaBernoulli:
        """A model that scores as this one does now, whatever is learned meanwhile."""
        found = copy(self)
        found._sums = self._sums.copy()
        return found

    def update(self, index: Index, value: Floats, n_active: int, candidate: int, reward: float) -> Receipt:
        """Count one presented candidate's reward in [0, 1]."""
        if not 0.0 <= reward <= 1.0:
            raise ValueError(f"the reward is {reward}; the model needs one between 0 and 1")
        entities = entities_of(self._paths[candidate])
        deltas = np.empty((2, 1, entities.size), dtype=np.int32)
        deltas[0], deltas[1] = int(SCALE), round(reward * SCALE)
        receipt = Receipt(np.zeros(1, dtype=np.int32), entities, deltas)
        self._add(receipt, 1)
        return receipt

    def update_rows(self, index: Index, value: Floats, n_active: Offsets, candidates: Index, rewards: Floats) -> None:
        """Count n outcomes."""
        for candidate, reward in zip(candidates.tolist(), rewards.tolist(), strict=True):
            self.update(index, value, 1, candidate, reward)

    def take_back(self, receipt: Receipt) -> None:
        """Subtract what `update` added."""
        self._add(receipt, -1)

    @property
    def nbytes(self) -> int:
        """16 bytes per entity, 20 per candidate."""
        return self._sums.nbytes + self._paths.nbytes

    def state(self) -> State:
        """`sums` int64[n_entities, 2] (outcomes, rewards) in units of 2**-24 and `version`; copies."""
        return {"sums": self._sums.copy(), "version": np.array([self.version], dtype=np.int64)}

    def load(self, state: Mapping[str, npt.NDArray[Any]]) -> None:
        """Take over what `state` or `carried` gave."""
        if state["sums"].shape != self._sums.shape:
            raise ValueError(f"counts of shape {state['sums'].shape} do not fit; {self._sums.shape} (entities, 2) is needed")
        self._sums[:] = state["sums"]
        self.version = int(state["version"][0])

    def _add(self, receipt: Receipt, sign: int) -> None:
        self._sums[receipt.entities] += sign * receipt.deltas[:, 0].T.astype(np.int64)
        self.version += 1


def carried(state: Mapping[str, npt.NDArray[Any]], old_entities: list[Any], new_entities: list[Any]) -> State:
    """The state for another catalog version: counts move by the entity's name."""
    entity_of = positions(old_entities, new_entities)
    sums = np.zeros((len(new_entities), 2), dtype=np.int64)
    sums[entity_of[entity_of >= 0]] = state["sums"][entity_of >= 0]
    return {"sums": sums, "version": state["version"] + 1}


@kernel
def _fill_propensity(sums, paths, candidates, mean_out, deviation_out):
    for i in range(candidates.shape[0]):
        mean = BASE_RATE
        strength = STRENGTH
        for level in range(paths.shape[1]):
            entity = paths[candidates[i], level]
            if entity >= 0:
                strength = sums[entity, 0] / SCALE + STRENGTH
                mean = (sums[entity, 1] / SCALE + STRENGTH * mean) / strength
        mean_out[i] = mean
        deviation_out[i] = math.sqrt(mean * (1.0 - mean) / (strength + 1.0))
