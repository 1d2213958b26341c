"""What has been learned: the scaling of facts and the propensity model over them, for one plan.

One thread at a time (the engine's lock), but for frozen scorers. Nothing here knows outcomes or labels.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from nba_engine.catalog.plan import Plan
from nba_engine.facts.encoding import Row
from nba_engine.facts.features import RANK_MAX, Features
from nba_engine.models import beta_bernoulli, probit
from nba_engine.models.contract import Model, Receipt, positions

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int32]
Offsets = npt.NDArray[np.int64]
Entity = tuple[str, str]


class Rows(Protocol):
    """Encoded rows, as much as features read of them."""

    values: npt.NDArray[np.int64]
    states: npt.NDArray[np.uint8]
    item_codes: Ints
    item_offsets: Ints


class Scorer:
    """Propensities of up to `n_rows` rows at once, in arrays of its own: one thread at a time. Changes no belief.

    Memory: 12 bytes a row and feature that can be active, 8 a row and entity.
    """

    def __init__(self, features: Features, model: Model, n_rows: int) -> None:
        self._features, self._model = features, model
        self.index = np.zeros((n_rows, features.active_max), np.int32)
        self.value = np.zeros((n_rows, features.active_max))
        self.n_active = np.zeros(n_rows, np.int64)
        self._scratch = model.scratch(n_rows)
        self._rank_features = np.array([features.rank_feature(rank) for rank in range(1, RANK_MAX + 1)], np.int32)

    def score(self, rows: Rows, offsets: Offsets, candidates: Ints, propensity_out: Floats, deviation_out: Floats) -> None:
        """Propensity at rank 1 and its posterior deviation, float64[m] each, for `candidates` int32[m], row r's between its `offsets` int64[n + 1].
        """
        self._features.fill(rows.values, rows.states, rows.item_codes, rows.item_offsets, self.index, self.value, self.n_active)
        self._model.score(self._scratch, self.index, self.value, self.n_active, offsets, candidates, propensity_out, deviation_out)

    def at_ranks(self, offsets: Offsets, candidates: Ints, longest: int) -> Floats:
        """For the rows scored last: propensities float64[m], the first candidate of each row presented at rank 1, the next at rank 2 ..."""
        if longest > len(self._rank_features):  # ranks from RANK_MAX on share one feature
            self._rank_features = np.pad(self._rank_features, (0, longest - len(self._rank_features)), mode="edge")
        propensity = np.empty(len(candidates))
        self._model.score_with(self._scratch, self._rank_features, self.value, self.n_active, offsets, candidates, propensity)
        return propensity


class Beliefs:
    """The learned state over the features and candidates of `plan`; `entities` are all that have beliefs, also of actions that left."""

    def __init__(self, plan: Plan, entities: Sequence[Entity]) -> None:
        self.features = Features(plan.encoder.columns)
        self.entities = tuple(entities)
        self.kind = plan.catalog.definition.model.kind
        make = probit.Probit if self.kind == "probit" else beta_bernoulli.BetaBernoulli
        self.model: Model = make(self.features.n_features, plan.paths, max(len(entities), 1))
        self._vocabulary = plan.encoder.vocabulary
        self.scorer = Scorer(self.features, self.model, 1)

    @property
    def version(self) -> int:
        """Counts every change of beliefs."""
        return self.model.version

    @property
    def nbytes(self) -> int:
        """Bytes of the model's tables and of what scoring one row needs."""
        scorer = self.scorer
        return self.model.nbytes + scorer.index.nbytes + scorer.value.nbytes + 8 * len(self.entities) * 3

    def frozen(self) -> Callable[[int], Scorer]:
        """Makes scorers, for so many rows, that score as these beliefs do now, whatever is learned meanwhile."""
        features, model = self.features.frozen(), self.model.frozen()
        return lambda n_rows: Scorer(features, model, n_rows)

    def update(self, row: Row, rank: int, candidate: int, reward: float) -> Receipt:
        """Learn that `candidate`, presented at `rank` in the situation of `row`, earned `reward` in [0, 1]."""
        self.features.observe(row.values[0], row.states[0])
        s = self.scorer
        self.features.fill(row.values, row.states, row.item_codes, row.item_offsets, s.index, s.value, s.n_active)
        n_active = self.features.add_rank(rank, s.index[0], s.value[0], int(s.n_active[0]))
        return self.model.update(s.index[0], s.value[0], n_active, candidate, reward)

    def update_rows(self, rows: Rows, ranks: Offsets, candidates: Ints, rewards: Floats) -> None:
        """Learn n outcomes one after the other, as `update` would, for good; ranks int64[n], candidates int32[n], rewards float64[n]."""
        n = len(ranks)
        index, value = np.zeros((n, self.features.active_max), np.int32), np.zeros((n, self.features.active_max))
        n_active = np.zeros(n, np.int64)
        self.features.fill_observed(rows.values, rows.states, rows.item_codes, rows.item_offsets, ranks, index, value, n_active)
        self.model.update_rows(index, value, n_active, candidates, rewards)

    def take_back(self, receipt: Receipt) -> None:
        """Remove exactly what the update added to the model; the scaling of facts keeps what it has seen."""
        self.model.take_back(receipt)

    def state(self) -> dict[str, Any]:
        """Plain data: arrays by name, feature and entity names; the same beliefs give the same bytes."""
        return {
            "kind": self.kind,
            "features": [list(name) for name in self._feature_names()],
            "numbers": self.features.number_names,
            "entities": [list(entity) for entity in self.entities],
            "scaling": self.features.state()["scaling"],
            "model": self.model.state(),
        }

    def take_over(self, before: Beliefs) -> None:
        """Go on with what `before` learned; it must not learn any more. Tables that need not change are handed over, not copied."""
        alike = self.kind == before.kind and self.features.names == before.features.names and self.entities == before.entities
        if alike and self.model.take_over(before.model):
            self.features.load(before.features.state())
        else:
            self.load(before.state())

    def load(self, state: Mapping[str, Any]) -> None:
        """Take over the `state()` of any earlier plan: what both know by name moves, the rest starts from its prior."""
        if state["kind"] == self.kind:
            names, entities = [tuple(n) for n in state["features"]], [tuple(e) for e in state["entities"]]
            if self.kind == "probit":
                moved = probit.carried(state["model"], names, entities, self._feature_names(), list(self.entities))
            else:
                moved = beta_bernoulli.carried(state["model"], entities, list(self.entities))
            self.model.load({**moved, "version": state["model"]["version"]})
        scaling = self.features.state()["scaling"]
        place = positions(state["numbers"], self.features.number_names)
        scaling[place[place >= 0]] = state["scaling"][place >= 0]
        self.features.load({"scaling": scaling})

    def moved(self, receipt: Receipt, before: Beliefs) -> Receipt:
        """A receipt of the beliefs `before` a reload, in this numbering; entities keep their numbers."""
        if before.features.names == self.features.names:
            return receipt
        return receipt.moved(positions(before._feature_names(), self._feature_names()), np.arange(len(before.entities), dtype=np.int32))

    def _feature_names(self) -> list[tuple[str, str]]:
        return self.features.names_of(self._vocabulary.state())
