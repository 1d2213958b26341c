"""What models have in common that learn one outcome at a time, in counts and sums that a receipt is added to or subtracted from."""

from __future__ import annotations

from abc import ABC, abstractmethod

from nba_engine.models.contract import Floats, Index, Offsets, Receipt


class OneByOne(ABC):
    """Half of a model: the other half scores, says what one outcome adds, and adds it."""

    version: int = 0
    expected: float = 0.0

    @abstractmethod
    def _learned(self, index: Index, value: Floats, n_active: int, candidate: int, reward: float) -> Receipt:
        """What one outcome adds, `expected` set to the propensity before it; what cannot be added is taught here."""

    @abstractmethod
    def _add(self, receipt: Receipt, sign: int) -> None:
        """Add a receipt (`sign` 1) or subtract it (-1)."""

    def update(self, index: Index, value: Floats, n_active: int, candidate: int, reward: float) -> Receipt:
        """Learn one presented candidate's reward in [0, 1]; when it came is not read, nothing is forgotten."""
        receipt = self._learned(index, value, n_active, candidate, reward)
        self._add(receipt, 1)
        self.version += 1
        return receipt

    def update_rows(self, index: Index, value: Floats, n_active: Offsets, candidates: Index, rewards: Floats,
                    expected_out: Floats | None = None) -> None:
        """Learn n outcomes one after the other."""
        for row, (candidate, reward) in enumerate(zip(candidates.tolist(), rewards.tolist(), strict=True)):
            self.update(index[row], value[row], int(n_active[row]), candidate, reward)
            if expected_out is not None:
                expected_out[row] = self.expected

    def take_back(self, receipt: Receipt) -> None:
        """Subtract what `update` added."""
        self._add(receipt, -1)
        self.version += 1

    def spread(self, index: Index, value: Floats, n_active: int, candidate: int) -> None:
        """What `score` says of its deviation is all there is."""

    def inherit(self) -> None:
        """Relatives share their rate at every scoring; there is nothing to pass on now and then."""
