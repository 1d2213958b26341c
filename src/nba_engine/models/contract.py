"""What every propensity model is, and the receipt of one update.

An entity is something with beliefs of its own: the one global, an issue, a group, an action, a treatment. A candidate sums up the beliefs of
the entities on its path, int32[5] (global, issue, group, action, treatment), -1 where a level is absent. A model reads sparse features
(`index` int32[n_active], `value` float64[n_active], feature 0 the bias) and predicts P(positive outcome | presented).
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, Protocol

import msgspec
import numpy as np
import numpy.typing as npt

State = dict[str, npt.NDArray[Any]]
Index = npt.NDArray[np.int32]
Offsets = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Copied = Callable[[npt.NDArray[Any]], npt.NDArray[Any]]

OUTCOME = 1 << 24
"""One outcome, as receipts and sums count it."""

_THREE = struct.Struct("<3i")


class Receipt(msgspec.Struct, frozen=True, eq=False, gc=False):
    """What one update added to the sums of a model; subtracting it takes the update back.

    entities int32[n_levels]: the path without its gaps; table int32[2 + n_levels, n_active]: features, what each of them got on every level, and
    what it got on each level besides, fixed point as the model defines it; model: names which of several models it is of (31 bits), 0 where there is
    one; counted: what the outcome counts as, in 2**-24, at the landmark of `epoch` (half_life.py), where the model forgets.
    """

    entities: Index
    table: Index
    model: int = 0
    counted: int = OUTCOME
    epoch: int = 0

    @property
    def index(self) -> Index:
        """int32[n_active]: the features."""
        return self.table[0]

    @property
    def deltas(self) -> Index:
        """int32[1 + n_levels, n_active]: what they got; the last row is the candidate's own entity's."""
        return self.table[1:]

    def to_bytes(self) -> bytes:
        """Little-endian int32: -n_active, n_levels, model, entities, table, and where the model forgets counted and epoch (two, the lower 31 bits
        first). About 2 kB at 100 features and 3 levels."""
        sizes = _THREE.pack(-self.table.shape[1], self.entities.size, self.model)
        aged = (self.counted, self.epoch) != (OUTCOME, 0)
        when = _THREE.pack(self.counted, self.epoch & 0x7FFFFFFF, self.epoch >> 31) if aged else b""
        return b"".join((sizes, self.entities, self.table, when))  # numba runs on little-endian machines only

    @classmethod
    def from_bytes(cls, data: bytes) -> Receipt:
        """The inverse of `to_bytes`, and of that before it, which told what all levels got once for each and n_active without the sign."""
        numbers = np.frombuffer(data, dtype="<i4").astype(np.int32)
        n_active, n_levels, model = numbers[:3].tolist()
        if n_active < 0:
            entities, table, when = np.split(numbers[3:], [n_levels, n_levels - (2 + n_levels) * n_active])
        else:
            n_named = n_active + n_levels
            index, entities, deltas, when = np.split(numbers[3:], [n_active, n_named, n_named + 2 * n_active * n_levels])
            alike, own = deltas.reshape(2, n_active, n_levels)
            table = np.ascontiguousarray(np.vstack([index, alike[:, -1], own.T]))
        counted, lower, upper = when.tolist() or (OUTCOME, 0, 0)
        return cls(entities, table.reshape(2 + n_levels, abs(n_active)), model, counted, (upper << 31) + lower)

    def moved(self, feature_of: Index, entity_of: Index) -> Receipt:
        """The same receipt in the numbering of another catalog version; what has no place there (-1) is dropped."""
        index, entities = feature_of[self.index], entity_of[self.entities]
        table = np.ascontiguousarray(self.table[:, index >= 0][np.r_[True, True, entities >= 0]])
        table[0] = index[index >= 0]
        return self.with_names(entities[entities >= 0], table, self.model)

    def with_names(self, entities: Index, table: Index, model: int) -> Receipt:
        """The same outcome, its places named otherwise."""
        return Receipt(entities, table, model, self.counted, self.epoch)


class Model(Protocol):
    """A propensity model over one catalog version's features and candidates."""

    version: int
    """Increases with each change of beliefs."""

    expected: float
    """The propensity that the last `update` found before it learned."""

    axes: ClassVar[Mapping[str, tuple[str, ...]]]
    """What the places along each axis of each array of its state stand for, as `carried` reads it."""

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

    def update(self, index: Index, value: Floats, n_active: int, candidate: int, reward: float, at_us: int = 0) -> Receipt:
        """Learn that `candidate`, presented under these features, earned `reward` in [0, 1]; `at_us`, when the customer was asked, is read where the
        model has a half-life."""
        ...

    def update_rows(self, index: Index, value: Floats, n_active: Offsets, candidates: Index, rewards: Floats,
                    expected_out: Floats | None = None, at_us: Offsets | None = None) -> None:
        """Learn n outcomes one after the other, as `update` would, without receipts: index int32[n, a], value float64[n, a], n_active int64[n],
        candidates int32[n], rewards float64[n] in [0, 1]; the propensities before each go to `expected_out` float64[n]; at_us int64[n], 0 without."""
        ...

    def advance(self, at_us: int) -> None:
        """Let time pass, where the model has a half-life: what was learned weighs as of this time, if it is later than any told before."""
        ...

    def spread(self, index: Index, value: Floats, n_active: int, candidate: int) -> float | None:
        """Posterior standard deviation of the linear predictor of one candidate, for intervals; None where that of `score` says all there is."""
        ...

    def inherit(self, stock: int | None = 0) -> None:
        """Let entities that know nothing start from their relatives, where the model does that now and then and not at every scoring: all of them;
        or a few, whose turn it is at stock-taking number `stock` (from 1); or (None) those among whom somebody has inherited nothing yet."""
        ...

    def take_back(self, receipt: Receipt) -> None:
        """Remove exactly what the update added: bit for bit as before where nothing was learned in between."""
        ...

    @property
    def nbytes(self) -> int:
        """Bytes of its tables."""
        ...

    def state(self, copied: Copied = np.copy) -> State:
        """Everything learned, as plain arrays; the same beliefs give the same bytes. `copied` copies the large ones."""
        ...

    def load(self, state: Mapping[str, npt.NDArray[Any]]) -> None:
        """Take over what `state` gave, for the same features and entities."""
        ...


def entities_of(path: Index) -> Index:
    """The entities on one path, without its gaps."""
    return path[path >= 0]


def carried(state: Mapping[str, npt.NDArray[Any]], axes: Mapping[str, tuple[str, ...]], old_features: Sequence[Any], old_entities: Sequence[Any],
            new_features: Sequence[Any], new_entities: Sequence[Any]) -> State:
    """The state for another catalog version: what both versions know by name moves, what is new is 0, nothing learned.

    `axes` says what the places along each axis of each array stand for: "feature", "entity", "listed" (the entities that the state's own array
    `entities` names), or "" for what stays as it is. To keep what leaves, append its names to the new ones: surplus features and entities.
    """
    places = {"feature": (positions(old_features, new_features), len(new_features)),
              "entity": (positions(old_entities, new_entities), len(new_entities))}
    found = dict(state)
    if "entities" in state:
        numbers = places["entity"][0][state["entities"]]
        stays = np.cumsum(numbers >= 0) - 1
        places["listed"] = np.where(numbers >= 0, stays, -1).astype(np.int32), int((numbers >= 0).sum())
        found["entities"] = numbers
    for name, array in found.items():
        for axis, kind in enumerate(axes[name]):
            if kind:
                array = _moved(array, axis, *places[kind])
        found[name] = array
    return found


def _moved(array: npt.NDArray[Any], axis: int, places: Index, n_places: int) -> npt.NDArray[Any]:
    if n_places == len(places) and np.array_equal(places, np.arange(n_places)):
        return array
    moved = np.zeros((*array.shape[:axis], n_places, *array.shape[axis + 1:]), array.dtype)
    into, out = np.moveaxis(moved, axis, 0), np.moveaxis(array, axis, 0)
    if np.array_equal(places, np.arange(len(places))):  # the usual reload adds at most some actions
        into[: len(places)] = out
    else:
        into[places[places >= 0]] = out[places >= 0]
    return moved


def positions(old_names: Sequence[Any], new_names: Sequence[Any]) -> Index:
    """int32[len(old_names)]: where each old name stands among the new ones, -1 where it does not."""
    place = {name: i for i, name in enumerate(new_names)}
    return np.array([place.get(name, -1) for name in old_names], dtype=np.int32)
