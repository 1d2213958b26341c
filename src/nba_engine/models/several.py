"""Several models as one: each scores and learns its own candidates, over its own entities.

What it costs beside its parts: sorting a decision's candidates by model, some microseconds per model. A catalog with one model does not come here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import copy
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from nba_engine.models.contract import Copied, Floats, Index, Model, Offsets, Receipt, State


@dataclass(frozen=True, slots=True)
class Part:
    """One model and its name (31 bits); the candidates that are its own, and its entities in the numbering of all."""

    name: int
    model: Model
    candidates: Index
    entities: Index


class Several:
    """A model made of parts; every candidate belongs to one of them."""

    axes: ClassVar[Mapping[str, tuple[str, ...]]] = {}

    def __init__(self, parts: Sequence[Part], n_candidates: int, n_entities: int) -> None:
        self._parts = tuple(parts)
        self._part_of = np.zeros(n_candidates, np.int32)
        self._own = np.zeros(n_candidates, np.int32)
        self._own_entity = np.full((len(parts), n_entities), -1, np.int32)
        for k, part in enumerate(parts):
            self._part_of[part.candidates], self._own[part.candidates] = k, np.arange(len(part.candidates))
            self._own_entity[k, part.entities] = np.arange(len(part.entities))
        self.expected, self._ahead = 0.0, 0

    @property
    def version(self) -> int:
        """Counts every change of any part."""
        return self._ahead + sum(part.model.version for part in self._parts)

    @version.setter
    def version(self, version: int) -> None:
        self._ahead += version - self.version

    def scratch(self, n_rows: int) -> list[Any]:
        """Those of the parts."""
        return [part.model.scratch(n_rows) for part in self._parts]

    def score(self, scratch: list[Any], index: Index, value: Floats, n_active: Offsets, offsets: Offsets, candidates: Index, mean_out: Floats,
              deviation_out: Floats) -> None:
        """Each candidate's propensity and deviation by its own model."""
        n_before = np.zeros(offsets[-1] + 1, np.int64)
        part_of = self._part_of[candidates[: offsets[-1]]]
        for k, (part, own) in enumerate(zip(self._parts, scratch, strict=True)):
            places = np.flatnonzero(part_of == k)
            np.cumsum(part_of == k, out=n_before[1:])
            mean, deviation = np.empty(len(places)), np.empty(len(places))
            part.model.score(own, index, value, n_active, n_before[offsets], self._own[candidates[places]], mean, deviation)
            mean_out[places], deviation_out[places] = mean, deviation

    def score_with(self, scratch: list[Any], features: Index, value: Floats, n_active: Offsets, offsets: Offsets, candidates: Index,
                   mean_out: Floats) -> None:
        """As `score`, with one more feature by place in the row: every model scores all candidates, foreign ones as its first, and keeps its own."""
        candidates = candidates[: offsets[-1]]
        part_of = self._part_of[candidates]
        for k, (part, own) in enumerate(zip(self._parts, scratch, strict=True)):
            mine, found = np.flatnonzero(part_of == k), np.empty(len(candidates))
            part.model.score_with(own, features, value, n_active, offsets, np.where(part_of == k, self._own[candidates], 0).astype(np.int32), found)
            mean_out[mine] = found[mine]

    def take_over(self, before: Several) -> bool:
        """Never: parts are carried one by one, by name."""
        return False

    def frozen(self) -> Several:
        """A model that scores as this one does now, whatever is learned meanwhile."""
        found = copy(self)
        found._parts = tuple(replace(part, model=part.model.frozen()) for part in self._parts)
        return found

    def update(self, index: Index, value: Floats, n_active: int, candidate: int, reward: float, at_us: int = 0) -> Receipt:
        """The candidate's own model learns; the receipt names entities as all models number them. Time passes for every model."""
        self.advance(at_us)
        part = self._parts[self._part_of[candidate]]
        receipt = part.model.update(index, value, n_active, int(self._own[candidate]), reward, at_us)
        self.expected = part.model.expected
        return receipt.with_names(part.entities[receipt.entities], receipt.table, part.name)

    def advance(self, at_us: int) -> None:
        """For every model."""
        for part in self._parts:
            part.model.advance(at_us)

    def update_rows(self, index: Index, value: Floats, n_active: Offsets, candidates: Index, rewards: Floats,
                    expected_out: Floats | None = None, at_us: Offsets | None = None) -> None:
        """Each model learns its own rows, in their order, which is that of time: else a model that has no row for a while reads as of later."""
        part_of = self._part_of[candidates]
        for k, part in enumerate(self._parts):
            mine = np.flatnonzero(part_of == k)
            expected = np.empty(len(mine))
            part.model.update_rows(index[mine], value[mine], n_active[mine], self._own[candidates[mine]], rewards[mine], expected,
                                   None if at_us is None else at_us[mine])
            if expected_out is not None:
                expected_out[mine] = expected
        if at_us is not None and len(at_us):
            self.advance(int(at_us.max()))

    def take_back(self, receipt: Receipt) -> None:
        """The model that gave the receipt takes it back; nothing where that model, or its beliefs about this candidate, have left."""
        for k, part in enumerate(self._parts):
            own = self._own_entity[k, receipt.entities]
            if part.name == receipt.model and np.all(own >= 0):
                part.model.take_back(receipt.with_names(own, receipt.table, 0))

    def spread(self, index: Index, value: Floats, n_active: int, candidate: int) -> float | None:
        """As the candidate's own model says."""
        return self._parts[self._part_of[candidate]].model.spread(index, value, n_active, int(self._own[candidate]))

    def inherit(self, stock: int | None = 0) -> None:
        """Each model by itself."""
        for part in self._parts:
            part.model.inherit(stock)

    @property
    def nbytes(self) -> int:
        """Those of the parts."""
        return sum(part.model.nbytes for part in self._parts)

    def state(self, copied: Copied = np.copy) -> State:
        """Those of the parts, behind each other: what tests compare. Beliefs save each part under its own name."""
        return {f"{k}.{name}": array for k, part in enumerate(self._parts) for name, array in part.model.state(copied).items()}

    def load(self, state: Mapping[str, npt.NDArray[Any]]) -> None:
        """Take over what `state` gave."""
        for k, part in enumerate(self._parts):
            part.model.load({name.partition(".")[2]: array for name, array in state.items() if name.partition(".")[0] == str(k)})
