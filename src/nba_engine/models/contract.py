"""What every propensity model is, and the receipt of one update.

An entity is something with beliefs of its own: the one global, an issue, a group, an action, a treatment. A candidate sums up the beliefs of
the entities on its path, int32[5] (global, issue, group, action, treatment), -1 where a level is absent. A model reads sparse features
(`index` int32[n_active], `value` float64[n_active], feature 0 the bias) and predicts P(positive outcome | presented).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import msgspec
import numpy as np
import numpy.typing as npt

LEVELS = ("global", "issue", "group", "action", "treatment")

State = dict[str, npt.NDArray[Any]]
Index = npt.NDArray[np.int32]
Offsets = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


class Receipt(msgspec.Struct, frozen=True, eq=False, gc=False):
    """What one update added to the sums of a model; subtracting it takes the update back.

    index int32[n_active]: features; entities int32[n_levels]: the path without its gaps; deltas int32[2, n_active, n_levels]: fixed point
    as the model defines it.
    """

    index: Index
    entities: Index
    deltas: Index

    def to_bytes(self) -> bytes:
        """Little-endian int32: n_active, n_levels, index, entities, deltas. About 2.5 kB at 100 features and 3 levels."""
        sizes = np.array([self.index.size, self.entities.size], dtype="<i4")
        return b"".join(part.astype("<i4").tobytes() for part in (sizes, self.index, self.entities, self.deltas))

    @classmethod
    def from_bytes(cls, data: bytes) -> Receipt:
        """The inverse of `to_bytes`."""
        numbers = np.frombuffer(data, dtype="<i4").astype(np.int32)
        n_active, n_levels = numbers[:2].tolist()
        index, entities, deltas = np.split(numbers[2:], [n_active, n_active + n_levels])
        return cls(index, entities, deltas.reshape(2, n_active, n_levels))

    def moved(self, feature_of: Index, entity_of: Index) -> Receipt:
        """The same receipt in the numbering of another catalog version; what has no place there (-1) is dropped."""
        index, entities = feature_of[self.index], entity_of[self.entities]
        deltas = self.deltas[:, index >= 0][:, :, entities >= 0]
        return Receipt(index[index >= 0], entities[entities >= 0], np.ascontiguousarray(deltas))


class Model(Protocol):
    """A propensity model over one catalog version's features and candidates."""

    version: int
    """Increases with each change of beliefs."""

    def scratch(self, n_rows: int) -> Any:
        """Arrays that scoring writes to, for up to `n_rows` rows at once: one thread at a time."""
        ...

    def score(self, scratch: Any, index: Index, value: Floats, n_active: Offsets, offsets: Offsets, candidates: Index, mean_out: Floats,
              deviation_out: Floats) -> None:
        """Write propensity float64[m] and its posterior standard deviation float64[m] for the candidates of n rows; changes no belief.

        `index` int32[n, >= active] and `value` float64 alike hold `n_active` int64[n] features of each row; `offsets` int64[n + 1]: the
        candidates of row r are `candidates[offsets[r]:offsets[r + 1]]` (int32).
        """
        ...

    def score_with(self, scratch: Any, features: Index, value: Floats, n_active: Offsets, offsets: Offsets, candidates: Index,
                   mean_out: Floats) -> None:
        """Propensities float64[m] for the rows scored last, the k-th candidate of a row with one more active feature `features[k]` (-1: none).

        How an offer's rank enters: the row is the same, only the rank's own feature is added.
        """
        ...

    def take_over(self, before: Any) -> bool:
        """Go on with the tables of a model of the same kind, features and entities, which must not be used any more; False where they do not fit."""
        ...

    def frozen(self) -> Model:
        """A model that scores as this one does now, whatever is learned meanwhile; it cannot learn."""
        ...

    def update(self, index: Index, value: Floats, n_active: int, candidate: int, reward: float) -> Receipt:
        """Learn that `candidate`, presented under these features, earned `reward` in [0, 1]."""
        ...

    def update_rows(self, index: Index, value: Floats, n_active: Offsets, candidates: Index, rewards: Floats) -> None:
        """Learn n outcomes one after the other, as `update` would, without receipts: index int32[n, a], value float64[n, a], n_active int64[n],
        candidates int32[n], rewards float64[n] in [0, 1]."""
        ...

    def take_back(self, receipt: Receipt) -> None:
        """Remove exactly what the update added: bit for bit as before where nothing was learned in between."""
        ...

    @property
    def nbytes(self) -> int:
        """Bytes of its tables."""
        ...

    def state(self) -> State:
        """Everything learned, as plain arrays; the same beliefs give the same bytes."""
        ...

    def load(self, state: Mapping[str, npt.NDArray[Any]]) -> None:
        """Take over what `state` gave, for the same features and entities."""
        ...


def entities_of(path: Index) -> Index:
    """The entities on one path, without its gaps."""
    return path[path >= 0]


def positions(old_names: list[Any], new_names: list[Any]) -> Index:
    """int32[len(old_names)]: where each old name stands among the new ones, -1 where it does not."""
    place = {name: i for i, name in enumerate(new_names)}
    return np.array([place.get(name, -1) for name in old_names], dtype=np.int32)
