"""What has been learned: the scaling of facts and the propensity model over them, for one plan.

One thread at a time (the engine's lock), but for frozen scorers. Nothing here knows outcomes or labels.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol
from zlib import crc32

import numpy as np
import numpy.typing as npt

from nba_engine.catalog.plan import Plan
from nba_engine.facts.crosses import Cross
from nba_engine.facts.encoding import Row
from nba_engine.facts.features import RANK_MAX, Features
from nba_engine.facts.watching import PAIRS_MAX, STOCK_EVERY, Watch
from nba_engine.facts.widening import Unnamed
from nba_engine.models.contract import Copied, Model, Receipt, carried, positions
from nba_engine.models.interval import interval
from nba_engine.models.kinds import KINDS, Ground
from nba_engine.models.recalibration import Recalibration, families
from nba_engine.models.several import Part, Several

if TYPE_CHECKING:
    from nba_engine.catalog.definition import Model as Section

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int32]
Offsets = npt.NDArray[np.int64]
Entity = tuple[str, str]
Moved = Callable[[Receipt], Receipt | None]

INHERITED_FROM = 4
"""The first stock-taking at which entities inherit."""
_ACTION = 3
"""The level of actions on a path."""
_CROSSED_KINDS = {"probit"}
"""Models that add up what features say: where none of them is used, no cross is looked for; where others are too, no fact is widened, since the
cost of some grows with all features there are."""


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

    def __init__(self, features: Features, model: Model, n_rows: int, recalibration: Recalibration | None = None) -> None:
        self._features, self._model, self._recalibration = features, model, recalibration
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

    def scored(self, candidate: int) -> tuple[float, float]:
        """Propensity and deviation of one candidate under the features that stand in the first row."""
        mean, deviation = np.empty(1), np.empty(1)
        self._model.score(self._scratch, self.index, self.value, self.n_active, np.array([0, 1]), np.array([candidate], np.int32), mean, deviation)
        return float(mean[0]), float(deviation[0])

    def put_at_ranks(self, offsets: Offsets, candidates: Ints, longest: int, propensity: Floats) -> None:
        """For the rows scored last: move propensities float64[m] from rank 1 to the candidate's own, the first of each row presented at rank 1, the
        next at rank 2 ...; and correct them by how outcomes of late compared with predictions, which those that candidates are chosen by are not."""
        if longest > len(self._rank_features):  # ranks from RANK_MAX on share one feature
            self._rank_features = np.pad(self._rank_features, (0, longest - len(self._rank_features)), mode="edge")
        if longest > 1:
            self._model.score_with(self._scratch, self._rank_features, self.value, self.n_active, offsets, candidates, propensity)
        if self._recalibration is not None:
            self._recalibration.correct(candidates, propensity)


class _Lately:
    """The outcomes since the watch was fed, a row each; `rows` are views of the arrays, row by row, as learning one outcome
    needs them: one row of each, and features and their values without that axis."""

    def __init__(self, active_max: int) -> None:
        n = STOCK_EVERY
        self.n = 0
        self.index, self.value, self.n_active = np.zeros((n, active_max), np.int32), np.zeros((n, active_max)), np.zeros(n, np.int64)
        self.ranks, self.candidates, self.rewards, self.expected = np.ones(n, np.int64), np.zeros(n, np.int32), np.zeros(n), np.zeros(n)
        arrays = self.index, self.value, self.n_active, self.ranks, self.candidates, self.rewards, self.expected
        self.rows = [(*(array[k : k + 1] for array in arrays), self.index[k], self.value[k]) for k in range(n)]


class Beliefs:
    """The learned state over the features and candidates of `plan`; `entities` are all that have beliefs, also of actions that left.

    `model` is the catalog's own where that names one for all, else several as one (models/several.py); `kind` says which. `life` tells these beliefs
    from others that were written alike: how many answers had taught when they began, or let go of something learned (lessons.py).
    """

    life = 0

    def __init__(self, plan: Plan, entities: Sequence[Entity]) -> None:
        self.features = Features(plan.encoder.columns, crosses=plan.catalog.definition.crosses, constant=plan.constant)
        self.entities = tuple(entities)
        self.plan = plan
        self._vocabulary = plan.encoder.vocabulary
        self._parts: dict[str, Part] = {}
        self.model = self._made()
        self.kind = next(iter(self._parts)) if len(self._parts) == 1 else "several"
        additive = [name.partition(" ")[0] in _CROSSED_KINDS for name in self._parts]
        self._watch = Watch(self.features, PAIRS_MAX if any(additive) else 0)
        self._unnamed = Unnamed(self.features.names if all(additive) else ())
        self._grown: list[list[str]] = []
        parts = [part.candidates for part in self._parts.values()]
        self._recalibration = Recalibration(families(parts, plan.n_candidates), plan.paths[:, _ACTION].copy(), len(parts), len(self.entities))
        self._n_numbered = self.features.n_features
        self._now = next(i for i, column in enumerate(plan.encoder.columns) if column.name == "now")
        self.scorer = Scorer(self.features, self.model, 1, self._recalibration)
        self._lately = _Lately(self.features.active_max)

    def _made(self) -> Model:
        """A model per section that candidates name, as one; `_parts` are the models by name."""
        plan = self.plan
        self._parts.clear()
        sections: dict[str, tuple[Section, list[int]]] = {}
        for candidate, section in enumerate(_sections(plan)):
            sections.setdefault(_name_of(section), (section, []))[1].append(candidate)
        sections = sections or {_name_of(plan.catalog.definition.model): (plan.catalog.definition.model, [])}
        used = np.unique(plan.paths[plan.paths >= 0])
        left = np.setdiff1d(np.arange(len(self.entities)), used)
        for name, (section, candidates) in sections.items():
            paths = plan.paths[np.array(candidates, np.int64)]
            own = np.arange(len(self.entities)) if len(sections) == 1 else np.union1d(paths[paths >= 0], left)
            place = np.full(len(self.entities) + 1, -1, np.int32)  # one more, so that place[-1] says that there is none
            place[own] = np.arange(len(own))
            ground = Ground(self.features.names, place[paths], [self.entities[e] for e in own.tolist()] or [("global", "")])
            model = KINDS[section.kind](ground, section.options)
            self._parts[name] = Part(crc32(name.encode()) >> 1, model, np.array(candidates, np.int32), own.astype(np.int32))
        parts = list(self._parts.values())
        return parts[0].model if len(parts) == 1 else Several(parts, plan.n_candidates, len(self.entities))

    @property
    def version(self) -> int:
        """Counts every change of beliefs."""
        return self.model.version

    @property
    def n_outcomes(self) -> int:
        """How many outcomes were learned, those taken back since among them."""
        return self._watch.n_seen + self._lately.n

    @property
    def nbytes(self) -> int:
        """Bytes of the model's tables, of what is counted beside it and of what scoring one row needs."""
        scorer, beside = self.scorer, self._watch.nbytes + self._unnamed.nbytes + self._recalibration.nbytes
        return self.model.nbytes + beside + scorer.index.nbytes + scorer.value.nbytes + 8 * len(self.entities) * 3

    def frozen(self) -> Callable[[int], Scorer]:
        """Makes scorers, for so many rows, that score as these beliefs do now, whatever is learned meanwhile."""
        features, model, recalibration = self.features.frozen(), self.model.frozen(), self._recalibration.frozen()
        return lambda n_rows: Scorer(features, model, n_rows, recalibration)

    def update(self, row: Row, rank: int, candidate: int, reward: float) -> Receipt:
        """Learn that `candidate`, presented at `rank` in the situation of `row`, earned `reward` in [0, 1]."""
        lately, values = self._lately, row.values
        index, value, n_active, ranks, candidates, rewards, expected, features, numbers = lately.rows[lately.n]
        ranks[0], candidates[0], rewards[0] = rank, candidate, reward
        self.features.fill_observed(values, row.states, row.item_codes, row.item_offsets, ranks, index, value, n_active)
        receipt = self.model.update(features, numbers, n_active.item(), candidate, reward, values.item(self._now))
        expected[0] = self.model.expected
        self._recalibration.learn(candidates, rewards, expected)
        lately.n += 1
        if lately.n == self._watch.due:
            self._settle()
        return receipt

    def update_rows(self, rows: Rows, ranks: Offsets, candidates: Ints, rewards: Floats) -> None:
        """Learn n outcomes one after the other, as `update` would, for good; ranks int64[n], candidates int32[n], rewards float64[n]."""
        n, start = len(ranks), 0
        self._settle()
        while start < n:
            part = slice(start, min(n, start + self._watch.due))
            k, lately = part.stop - start, self._lately  # its arrays, which hold nothing now, are as long as a part can be
            index, value, n_active, expected = lately.index[:k], lately.value[:k], lately.n_active[:k], lately.expected[:k]
            self.features.fill_observed(rows.values[part], rows.states[part], rows.item_codes, rows.item_offsets[part], ranks[part], index, value,
                                        n_active)
            self.model.update_rows(index, value, n_active, candidates[part], rewards[part], expected, rows.values[part, self._now])
            self._recalibration.learn(candidates[part], rewards[part], expected)
            self._feed(index, value, n_active, candidates[part], rewards[part], expected)
            start = part.stop

    def crosses(self) -> list[Cross]:
        """The pairs of facts taken together, in the order of their features, each with its evidence when it was judged last."""
        evidence = {frozenset(pair): found for pair, found in self._watch.evidence().items() if np.isfinite(found)}
        declared = len(self.plan.catalog.definition.crosses)
        return [Cross(*pair, i < declared, evidence.get(frozenset(pair), np.nan)) for i, pair in enumerate(self.features.crosses)]

    def _settle(self) -> None:
        """Feed the watch with what was learned one by one since."""
        lately, n = self._lately, self._lately.n
        if n:
            lately.n = 0
            self._feed(lately.index[:n], lately.value, lately.n_active, lately.candidates[:n], lately.rewards[:n], lately.expected)

    def _feed(self, index: Ints, value: Floats, n_active: Offsets, candidates: Ints, rewards: Floats, expected: Floats) -> None:
        """Let the watch count what was learned, and take stock where that is due: a cross more, features for more texts of a fact, entities that
        inherit what others know."""
        buckets = self.plan.paths[candidates, _ACTION].astype(np.int64)
        self._watch.feed(index, value, n_active, buckets, rewards, expected)
        self._unnamed.feed(index, n_active)
        if self._watch.due < STOCK_EVERY:
            return
        pair = self._watch.judge({frozenset(pair) for pair in self.features.crosses})
        grown = [[fact] for fact in self._unnamed.due(len(self.entities))]
        if pair is not None:
            grown.append([*pair])
        if grown:
            self._grow(grown)
        stock = self.n_outcomes // STOCK_EVERY
        if stock >= INHERITED_FROM:
            self.model.inherit(stock)

    def _grow(self, grown: Sequence[list[str]]) -> None:
        """Go on with more features behind those there are, in this order, each those of a cross of two facts or of more texts of one; nothing else is
        renumbered."""
        names, before, version = self._feature_names(), {name: part.model.state() for name, part in self._parts.items()}, self.version
        features = self.features
        for facts in grown:
            features = features.widened(*facts) if len(facts) == 1 else features.crossed(*facts)
        self._unnamed.read(features.names)
        self._watch.read(features.names)
        self.features = features
        self._grown += grown
        self.model = self._made()
        for name, part in self._parts.items():
            own = [self.entities[e] for e in part.entities.tolist()]
            part.model.load(carried(before[name], part.model.axes, names, own, self._feature_names(), own))
        self.model.version = version + 1
        self.scorer = Scorer(self.features, self.model, 1, self._recalibration)
        self._lately = _Lately(self.features.active_max)

    def interval(self, row: Row, rank: int, candidate: int, level: float) -> tuple[float, float]:
        """Lowest and highest propensity believed at `level` of a candidate presented at `rank` in the situation of `row`."""
        s = self.scorer
        self.features.fill(row.values, row.states, row.item_codes, row.item_offsets, s.index, s.value, s.n_active)
        s.n_active[0] = self.features.add_rank(rank, s.index[0], s.value[0], int(s.n_active[0]))
        mean, deviation = s.scored(candidate)
        bounds = interval(mean, deviation, level, self.model.spread(s.index[0], s.value[0], int(s.n_active[0]), candidate))
        return self._recalibration.moved(candidate, mean, bounds)

    def take_back(self, receipt: Receipt) -> None:
        """Remove exactly what the update added to the model; the scaling of facts and the correction of propensities keep what they have seen."""
        self.model.take_back(receipt)

    def state(self, copied: Copied = np.copy) -> dict[str, Any]:
        """Plain data: arrays by name, feature and entity names; the same beliefs give the same bytes. `copied` copies the large arrays."""
        self._settle()
        return {
            "features": [list(name) for name in self._feature_names()],
            "numbers": self.features.number_names,
            "entities": [list(entity) for entity in self.entities],
            "scaling": self.features.state()["scaling"],
            "models": {name: {"entities": part.entities, "state": part.model.state(copied)} for name, part in self._parts.items()},
            "recalibration": {"centres": self._recalibration.centres.copy(),
                              "sums": {name: sums.copy() for name, sums in zip(self._parts, self._recalibration.sums, strict=True)}},
            "watch": self._watch.state(copied),
            "unnamed": self._unnamed.state(),
            "grown": [list(facts) for facts in self._grown],
            "version": self.version,
        }

    def take_over(self, before: Beliefs) -> None:
        """Go on with what `before` learned; it must not learn any more. Tables that need not change are handed over, not copied."""
        before._settle()
        alike = self.kind == before.kind and self.features.names == before.features.names and self.entities == before.entities
        if alike and self.model.take_over(before.model):
            self.features.load(before.features.state())
            self._watch, self._unnamed = before._watch, before._unnamed
            self._recalibration.sums[:], self._recalibration.centres[:] = before._recalibration.sums, before._recalibration.centres
        else:
            self.load(before.state())

    def load(self, state: Mapping[str, Any]) -> None:
        """Take over the `state()` of any earlier plan: what both know by name moves, model by model, the rest starts from its prior."""
        self._watch.load(state["watch"])
        missing = {frozenset(pair) for pair in self._watch.found} - {frozenset(pair) for pair in self.features.crosses}
        grown = [facts for facts in state["grown"] if (self._unnamed.knows(facts[0]) if len(facts) == 1 else frozenset(facts) in missing)]
        if grown:
            self._grow(grown)
        self._unnamed.load(state["unnamed"])
        self.model.version = 0
        names, entities = [tuple(n) for n in state["features"]], [tuple(e) for e in state["entities"]]
        place = positions(entities, self.entities)
        self._recalibration.centres[place[place >= 0]] = state["recalibration"]["centres"][place >= 0]
        for k, (name, part) in enumerate(self._parts.items()):
            origin = name if name in state["models"] else next((other for other in state["models"] if _family(other) == _family(name)), None)
            if origin is not None:
                found = state["models"][origin]
                old, new = [entities[e] for e in found["entities"].tolist()], [self.entities[e] for e in part.entities.tolist()]
                part.model.load(carried(found["state"], part.model.axes, names, old, self._feature_names(), new))
                self._recalibration.sums[k] = state["recalibration"]["sums"][origin]
        self.model.version = max(self.model.version, state["version"])
        scaling = self.features.state()["scaling"]
        place = positions(state["numbers"], self.features.number_names)
        scaling[place[place >= 0]] = state["scaling"][place >= 0]
        self.features.load({"scaling": scaling})

    def keeps(self, before: Beliefs) -> bool:
        """Whether whatever the beliefs `before` a reload can have learned has a place here."""
        own = {name: set(part.entities.tolist()) for name, part in self._parts.items()}
        places = all(set(part.entities.tolist()) <= own.get(name, set()) for name, part in before._parts.items())
        return places and set(before.features.names) <= set(self.features.names)

    def moving(self, before: Beliefs) -> Moved:
        """How a receipt of the beliefs `before` a reload stands in this numbering; entities keep their numbers. None where the model that gave it has
        left, or let go of one of its entities: if they come back, they begin anew. What all receipts share is found once: there may be many."""
        if self.kind == before.kind and self.features.names == before.features.names and self.keeps(before):
            return unmoved
        parts = list(self._parts.values()) if self.kind == before.kind else []
        held = {part.name if len(parts) > 1 else None: set(part.entities.tolist()) for part in parts}
        alike = before.features.names == self.features.names
        feature_of = None if alike else positions(before._feature_names(), self._feature_names())
        same = np.arange(len(before.entities), dtype=np.int32)

        def moved(receipt: Receipt) -> Receipt | None:
            own = held.get(receipt.model if len(parts) > 1 else None)
            if own is None or not own.issuperset(receipt.entities.tolist()):
                return None
            return receipt if feature_of is None else receipt.moved(feature_of, same)

        return moved

    @property
    def numbered(self) -> list[tuple[str, str]]:
        """The features whose numbers the catalog gives; those of crosses that were found stand behind them, in the order in which they were found."""
        return self.features.names[: self._n_numbered]

    def _feature_names(self) -> list[tuple[str, str]]:
        return self.features.names_of(self._vocabulary.state())


def unmoved(receipt: Receipt) -> Receipt:
    """What `moving` gives where no receipt changes."""
    return receipt


def _sections(plan: Plan) -> list[Section]:
    """What the catalog says of each candidate's model."""
    definition = plan.catalog.definition
    of_action = [definition.model_of(action) for action in definition.actions]
    null_action = int(plan.action[plan.null_candidate]) if plan.null_candidate >= 0 else -1
    if null_action >= 0:  # it has no model: whichever there is will do
        of_action[null_action] = of_action[null_action - 1 if null_action else min(1, len(of_action) - 1)]
    return [of_action[action] for action in plan.action.tolist()]


def _name_of(section: Section) -> str:
    """The same for sections that share a model."""
    options = section.options
    return f"{section.kind} {json.dumps(options, sort_keys=True)}" if options else section.kind


def _family(name: str) -> str:
    """The same for names of models that can go on with each other's beliefs: the half-life does not matter."""
    kind = name.partition(" ")[0]
    return name if kind == "river" else kind
