"""What models have in common that learn one outcome at a time, in counts and sums that a receipt is added to or subtracted from."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from nba_engine.models.contract import Floats, Index, Offsets, Receipt, State
from nba_engine.models.half_life import ALWAYS, HalfLife, Stamp, loaded, scaled


class OneByOne(ABC):
    """Half of a model: the other half scores, says what one outcome adds, and adds it."""

    version: int = 0
    expected: float = 0.0
    _half_life: HalfLife | None = None
    _sums_named: ClassVar[tuple[str, ...]] = ()
    """The attributes that are sums of receipts, int64 arrays: what ages."""

    @abstractmethod
    def _learned(self, index: Index, value: Floats, n_active: int, candidate: int, reward: float, stamp: Stamp) -> Receipt:
        """What one outcome of that weight adds, `expected` set to the propensity before it; what cannot be added is taught here."""

    @abstractmethod
    def _add(self, receipt: Receipt, sign: int, since: float) -> None:
        """Add a receipt (`sign` 1) or subtract it (-1), of whose numbers the share `since` is left."""

    def _reread(self) -> None:
        """Bring what was computed from the sums in step with what they count now."""

    def update(self, index: Index, value: Floats, n_active: int, candidate: int, reward: float, at_us: int = 0) -> Receipt:
        """Learn one presented candidate's reward in [0, 1]."""
        self.advance(at_us)
        stamp = ALWAYS if self._half_life is None else self._half_life.stamp(at_us)
        receipt = self._learned(index, value, n_active, candidate, reward, stamp)
        self._add(receipt, 1, 1.0)
        self.version += 1
        return receipt

    def update_rows(self, index: Index, value: Floats, n_active: Offsets, candidates: Index, rewards: Floats,
                    expected_out: Floats | None = None, at_us: Offsets | None = None) -> None:
        """Learn n outcomes one after the other."""
        times = [0] * len(candidates) if at_us is None else at_us.tolist()
        for row, (candidate, reward) in enumerate(zip(candidates.tolist(), rewards.tolist(), strict=True)):
            self.update(index[row], value[row], int(n_active[row]), candidate, reward, times[row])
            if expected_out is not None:
                expected_out[row] = self.expected

    def advance(self, at_us: int) -> None:
        """Let time pass; O(sums) at most once in a sixteenth of the half-life."""
        factor = None if self._half_life is None else self._half_life.advance(at_us)
        if factor is not None:
            self._age(factor)

    def _age(self, factor: float) -> None:
        for name in self._sums_named if factor != 1.0 else ():
            sums = getattr(self, name)
            sums[:] = scaled(sums, factor)
        self._reread()

    @property
    def _unit(self) -> float:
        """What the sums count now."""
        return 1.0 if self._half_life is None else self._half_life.unit

    def _clock(self) -> State:
        """The part of the state that says as of when the sums are read; nothing where nothing is forgotten."""
        return {} if self._half_life is None else {"clock": self._half_life.state()}

    def _load_clock(self, state: Mapping[str, npt.NDArray[Any]]) -> None:
        """To be called behind the loading of the sums."""
        self._age(loaded(self._half_life, state.get("clock")))

    def take_back(self, receipt: Receipt) -> None:
        """Subtract what `update` added, as much as is left of it."""
        self._add(receipt, -1, 1.0 if self._half_life is None else self._half_life.since(receipt.epoch))
        self.version += 1

    def spread(self, index: Index, value: Floats, n_active: int, candidate: int) -> None:
        """What `score` says of its deviation is all there is."""

    def inherit(self, stock: int | None = 0) -> None:
        """Relatives share their rate at every scoring; there is nothing to pass on now and then."""
