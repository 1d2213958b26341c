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
from nba_engine.models.contract import Copied, Floats, Index, Offsets, Receipt, State, entities_of
from nba_engine.models.half_life import HalfLife, Stamp, scaled
from nba_engine.models.one_by_one import OneByOne


class BetaBernoulli(OneByOne):
    """A propensity model that ignores features; parameters as those of `Probit`."""

    axes: ClassVar[Mapping[str, tuple[str, ...]]] = {"sums": ("entity", ""), "clock": ("",), "version": ("",)}
    _sums_named = ("_sums",)

    def __init__(self, n_features: int, paths: Index, n_entities: int, half_life: HalfLife | None = None) -> None:
        del n_features
        self._half_life = half_life
        self._paths = np.ascontiguousarray(paths, dtype=np.int32)
        self._path_entities = [entities_of(path) for path in self._paths]
        self._sums = rates.no_counts(n_entities)

    def scratch(self, n_rows: int) -> None:
        """None is needed."""

    def score(self, scratch: None, index: Index, value: Floats, n_active: Offsets, offsets: Offsets, candidates: Index, mean_out: Floats,
              deviation_out: Floats) -> None:
        """Write mean and standard deviation of each candidate's Beta belief."""
        m = offsets[-1]
        rate, strength, _ = self._rates(candidates[:m])
        mean_out[:m] = rate
        deviation_out[:m] = np.sqrt(rate * (1.0 - rate) / (strength + 1.0))

    def score_with(self, scratch: None, features: Index, value: Floats, n_active: Offsets, offsets: Offsets, candidates: Index,
                   mean_out: Floats) -> None:
        """As `score`: this model reads no features."""
        mean_out[: offsets[-1]] = self._rates(candidates[: offsets[-1]])[0]

    def _rates(self, candidates: Index) -> tuple[Floats, Floats, Floats]:
        return rates.rates(self._sums, self._paths, candidates, self._unit / rates.SCALE)

    def take_over(self, before: BetaBernoulli) -> bool:
        """Go on with the counts of a model that is given up."""
        if self._sums.shape != before._sums.shape:
            return False
        self._sums, self._half_life, self.version = before._sums, before._half_life, before.version
        return True

    def frozen(self) -> BetaBernoulli:
        """A model that scores as this one does now, whatever is learned meanwhile."""
        found = copy(self)
        found._sums, found._half_life = self._sums.copy(), copy(self._half_life)
        return found

    def _learned(self, index: Index, value: Floats, n_active: int, candidate: int, reward: float, stamp: Stamp) -> Receipt:
        counted, entities = rates.in_fixed_point(reward, stamp[0]), self._path_entities[candidate]
        self.expected = float(self._rates(np.array([candidate], np.int32))[0][0])
        table = np.full((2 + entities.size, 1), counted, np.int32)
        table[:2, 0] = 0, stamp[0]
        return Receipt(entities, table, 0, *stamp)

    def _add(self, receipt: Receipt, sign: int, since: float) -> None:
        self._sums[receipt.entities] += sign * scaled(receipt.deltas[[0, -1], 0].astype(np.int64), since)

    @property
    def nbytes(self) -> int:
        """16 bytes per entity, 20 per candidate."""
        return self._sums.nbytes + self._paths.nbytes

    def state(self, copied: Copied = np.copy) -> State:
        """`sums` int64[n_entities, 2] (outcomes, rewards) in units of 2**-24, `version`, and `clock` where it forgets; copies."""
        return {"sums": copied(self._sums), "version": np.array([self.version], dtype=np.int64), **self._clock()}

    def load(self, state: Mapping[str, npt.NDArray[Any]]) -> None:
        """Take over what `state` or `carried` gave."""
        if state["sums"].shape != self._sums.shape:
            raise ValueError(f"counts of shape {state['sums'].shape} do not fit; {self._sums.shape} (entities, 2) is needed")
        self._sums[:] = state["sums"]
        self._load_clock(state)
        self.version = int(state["version"][0])
