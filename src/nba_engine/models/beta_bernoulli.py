"""Counts instead of features: a Beta belief per candidate whose prior is its parent's propensity.

The rate of each entity is shrunk towards the one above, as rates.py says, and the candidate's belief is Beta(a, b) with mean a / (a + b) that rate
and a + b = n + STRENGTH at its last level, so a new action starts from its group. **Cost** O(levels) per candidate. See
docs/maths/beta_bernoulli.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from copy import copy
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from nba_engine.models import rates
from nba_engine.models.contract import Floats, Index, Offsets, Receipt, State, entities_of
from nba_engine.models.one_by_one import OneByOne


class BetaBernoulli(OneByOne):
    """A propensity model that ignores features; parameters as those of `Probit`."""

    axes: ClassVar[Mapping[str, tuple[str, ...]]] = {"sums": ("entity", ""), "version": ("",)}

    def __init__(self, n_features: int, paths: Index, n_entities: int) -> None:
        del n_features
        self._paths = np.ascontiguousarray(paths, dtype=np.int32)
        self._path_entities = [entities_of(path) for path in self._paths]
        self._sums = rates.no_counts(n_entities)

    def scratch(self, n_rows: int) -> None:
        """None is needed."""

    def score(self, scratch: None, index: Index, value: Floats, n_active: Offsets, offsets: Offsets, candidates: Index, mean_out: Floats,
              deviation_out: Floats) -> None:
        """Write mean and standard deviation of each candidate's Beta belief."""
        m = offsets[-1]
        rate, strength, _ = rates.rates(self._sums, self._paths, candidates[:m])
        mean_out[:m] = rate
        deviation_out[:m] = np.sqrt(rate * (1.0 - rate) / (strength + 1.0))

    def score_with(self, scratch: None, features: Index, value: Floats, n_active: Offsets, offsets: Offsets, candidates: Index,
                   mean_out: Floats) -> None:
        """As `score`: this model reads no features."""
        mean_out[: offsets[-1]] = rates.rates(self._sums, self._paths, candidates[: offsets[-1]])[0]

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

    def _learned(self, index: Index, value: Floats, n_active: int, candidate: int, reward: float) -> Receipt:
        counted, entities = rates.in_fixed_point(reward), self._path_entities[candidate]
        self.expected = float(rates.rates(self._sums, self._paths, np.array([candidate], np.int32))[0][0])
        return Receipt(np.zeros(1, np.int32), entities, np.full((2, 1, entities.size), [[[int(rates.SCALE)]], [[counted]]], np.int32))

    def _add(self, receipt: Receipt, sign: int) -> None:
        rates.add(self._sums, receipt.entities, int(receipt.deltas[1, 0, -1]), sign)

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
