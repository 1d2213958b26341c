"""Any classifier of the library `river`, one per action (treatment) or one for all with the action as a feature.

The classifier learns from a dict of the active features, `{"age z": 0.4, "tariff #3": 1.0, ...}`, and says P(positive). One for all gets each
feature once as it is and once for this action alone, and the action with its issue and group. At first a classifier knows nothing, so its word is
mixed with the action's rate (rates.py), which counts as much as `TRIAL` outcomes:

    propensity = (n said + TRIAL rate) / (n + TRIAL),    n the outcomes of this action

A classifier gives no uncertainty. The deviation is that of a Beta belief from the action's own outcomes that were said about as much: it tells how
well the rate of such customers is known, not how far the classifier would have come with other data. Classifiers cannot unlearn: the last `WINDOW`
outcomes of each are kept (up to twice as many between two saves), and taking one of them back learns the others again from where the window
began; what is older stays.
**Source** Montiel et al. 2021, "River: machine learning for streaming data in Python", JMLR 22. **Cost** the classifier's own per candidate, in
Python; an update learns twice (now, and when the outcome leaves the window). See docs/maths/river.md.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Mapping, Sequence
from copy import copy, deepcopy
from typing import Any, ClassVar
from zlib import crc32

import msgspec
import numpy as np
import numpy.typing as npt

from nba_engine.models import rates, river_state
from nba_engine.models.contract import OUTCOME, Copied, Floats, Index, Offsets, Receipt, State, entities_of
from nba_engine.models.half_life import Stamp
from nba_engine.models.one_by_one import OneByOne

TRIAL = 50.0
WINDOW = 64
"""The latest outcomes per classifier, which can be taken back."""
N_TRIED = 12
"""Outcomes that show whether a classifier can be used at all."""
N_BINS = 32
"""Bins of what a classifier said, half a unit of log odds each."""
DEFAULT = {"linear_model.LogisticRegression": {"optimizer": {"optim.AdaGrad": {"lr": 0.3}}, "intercept_lr": 0.1}}
_EXAMPLE = "linear_model.LogisticRegression"

Said = tuple[dict[str, float], float]
"""What one outcome was: features, reward."""


def classifier(written: Any) -> Any:
    """The classifier that a catalog writes down: a name under `river`, `{name: {parameter: value}}`, or a list of such steps, a pipeline.

    Parameters of a name with a point in it, such as `{"optim.SGD": {"lr": 0.01}}`, are parts of river themselves, also in a list.
    Raises ValueError where river has no such classifier.

    Examples
    --------
    >>> classifier(["preprocessing.StandardScaler", {"linear_model.LogisticRegression": {"l2": 0.1}}])["LogisticRegression"].l2
    0.1
    """
    found = _part(written)
    if not hasattr(found, "predict_proba_one"):
        raise ValueError(f"{written!r} is no classifier of river that says probabilities; one with predict_proba_one is needed, such as {_EXAMPLE}")
    return found


def _part(written: Any) -> Any:
    if isinstance(written, list | tuple):
        from river.compose import Pipeline

        return Pipeline(*map(_part, written))
    name, parameters = next(iter(written.items())) if isinstance(written, Mapping) and len(written) == 1 else (written, {})
    if not isinstance(name, str) or not all(part.isidentifier() and not part.startswith("_") for part in name.split(".")):
        raise ValueError(f"{written!r} names no part of river; write {_EXAMPLE}, or a mapping of such a name to its parameters")
    import river.api

    thing: Any = river.api
    for part in name.split("."):
        thing = getattr(thing, part, None)
    if not inspect.isclass(thing) or not thing.__module__.startswith("river."):
        raise ValueError(f"river has no {name!r}; write it as in river's reference, such as {_EXAMPLE}")
    try:
        return thing(**{key: _parameter(value) for key, value in (parameters or {}).items()})
    except TypeError as error:
        raise ValueError(f"{name} does not take these parameters: {error}") from error


def _parameter(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return [_parameter(item) for item in value]
    is_part = isinstance(value, Mapping) and len(value) == 1 and "." in str(next(iter(value)))
    return _part(value) if is_part else value


def try_out(written: Any) -> None:
    """Make the classifier, and let it learn, predict and be stored as it will have to. ValueError where it cannot: not all of river's can."""
    made = classifier(written)
    try:
        learner = _Learner(made)
        for n in range(N_TRIED):
            features = {"number z": n / N_TRIED - 0.5, f"text #{n % 3}": 1.0}
            learner.learn((features, (1.0, 0.0, 0.25)[n % 3]))
            learner.says(features)
        river_state.from_bytes(learner.state()[:-1])
    except Exception as error:  # what its many parts raise is not known
        raise ValueError(f"{written!r} fails when it is used ({type(error).__name__}: {error}); take another classifier, or mend its parameters") \
            from error


class _Learner:
    """One classifier: where it stood some outcomes ago, what came since (between one and two windows of it), and where that leads."""

    __slots__ = ("now", "since", "start")

    def __init__(self, start: Any, since: Sequence[Said] = ()) -> None:
        self.start, self.since = start, list(since)
        self.again()

    def again(self) -> None:
        self.now = deepcopy(self.start)
        for said in self.since:
            _learn(self.now, *said)

    def state(self) -> bytes:
        """The classifier before its last WINDOW outcomes, and these; a full stop ends it, since arrays of bytes lose zeros at the end."""
        start = deepcopy(self.start)
        for said in self.since[:-WINDOW]:
            _learn(start, *said)
        return river_state.to_bytes([start, self.since[-WINDOW:]]) + b"."

    def learn(self, said: Said) -> None:
        _learn(self.now, *said)
        self.since.append(said)
        if len(self.since) > 2 * WINDOW:
            _learn(self.start, *self.since.pop(0))

    def forget(self, name: int) -> None:
        """Take back the latest outcome of this name, if it is still at hand."""
        for place in range(len(self.since) - 1, -1, -1):
            if _name_of(self.since[place]) == name:
                del self.since[place]
                self.again()
                return

    def says(self, features: dict[str, float]) -> float:
        p = float(self.now.predict_proba_one(features).get(True, 0.5))
        return min(max(p, 0.0), 1.0) if p == p else 0.5  # some overflow and say that it is not a number


def _learn(model: Any, features: dict[str, float], reward: float) -> None:
    """A reward between 0 and 1 is a positive of that weight and a negative of the rest, or whichever is more where weights are not taken."""
    last = list(model.steps.values())[-1] if hasattr(model, "steps") else model
    if reward in (0.0, 1.0) or "w" not in inspect.signature(last.learn_one).parameters:
        model.learn_one(features, reward >= 0.5)
    else:
        model.learn_one(features, True, w=reward)
        model.learn_one(features, False, w=1.0 - reward)


def _name_of(said: Said) -> int:
    return crc32(msgspec.msgpack.encode(said)) >> 1


class Scratch:
    """What scoring remembers of the rows scored last: their features."""

    __slots__ = ("index",)

    def __init__(self) -> None:
        self.index = np.zeros((0, 0), np.int32)


class River(OneByOne):
    """A model whose propensities are those of a `river` classifier.

    Parameters
    ----------
    names : (fact, bin) of each feature, feature 0 the bias
    paths : as those of `Probit`
    entities : (level, id) of each entity, by which one classifier for all knows an action and its relatives
    written : the classifier, as `classifier` reads it
    one_for_all : one classifier for all actions instead of one each
    """

    axes: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "counts": ("entity", ""), "said": ("entity", ""), "entities": ("listed",), "learners": ("listed",), "version": ("",)}

    def __init__(self, names: Sequence[tuple[str, str]], paths: Index, entities: Sequence[tuple[str, str]], written: Any = DEFAULT,
                 one_for_all: bool = False) -> None:
        self._names = [f"{fact} {bin_}" for fact, bin_ in names]
        self._paths = np.ascontiguousarray(paths, dtype=np.int32)
        self._path_entities = [entities_of(path) for path in self._paths]
        self._entity_names = [f"{level} {name}" for level, name in entities]
        self._counts = rates.no_counts(len(entities))
        self._said = np.zeros((len(entities), N_BINS), np.int64)
        self._one_for_all = one_for_all
        self._fresh = classifier(written)
        self._learners: dict[int, _Learner] = {}

    def scratch(self, n_rows: int) -> Scratch:
        """Remembers the rows scored last."""
        return Scratch()

    def score(self, scratch: Scratch, index: Index, value: Floats, n_active: Offsets, offsets: Offsets, candidates: Index, mean_out: Floats,
              deviation_out: Floats) -> None:
        """Write propensity and its standard deviation for each candidate of each row."""
        scratch.index = index
        self.score_with(scratch, np.zeros(0, np.int32), value, n_active, offsets, candidates, mean_out)
        for i, candidate in enumerate(candidates[: offsets[-1]].tolist()):
            p, n = float(mean_out[i]), 0
            if self._path_entities[candidate].size:
                n = int(self._said[self._path_entities[candidate][-1], _bin_of(p)])
            deviation_out[i] = math.sqrt(p * (1.0 - p) / (n + rates.STRENGTH + 1.0))

    def score_with(self, scratch: Scratch, features: Index, value: Floats, n_active: Offsets, offsets: Offsets, candidates: Index,
                   mean_out: Floats) -> None:
        """Propensities for the rows scored last, each row's candidates with one more active feature of value 1 (-1: none)."""
        rate = self._rates(candidates[: offsets[-1]])
        for r in range(len(offsets) - 1):
            row = self._features(scratch.index[r], value[r], int(n_active[r]))
            for k, i in enumerate(range(int(offsets[r]), int(offsets[r + 1]))):
                more = int(features[k]) if k < len(features) else -1
                own = {**row, self._names[more]: 1.0} if more >= 0 else row
                mean_out[i] = self._propensity(own, int(candidates[i]), float(rate[i]))

    def _rates(self, candidates: Index) -> Floats:
        return rates.rates(self._counts, self._paths, candidates)[0]

    def _propensity(self, features: dict[str, float], candidate: int, rate: float) -> float:
        entities = self._path_entities[candidate]
        learner = self._learners.get(self._key(entities)) if entities.size else None
        if learner is None:
            return rate
        n = float(self._counts[entities[-1], 0]) / rates.SCALE
        return (n * learner.says(self._with_action(features, entities)) + TRIAL * rate) / (n + TRIAL)

    def _features(self, index: Index, value: Floats, n_active: int) -> dict[str, float]:
        return {self._names[f]: x for f, x in zip(index[1:n_active].tolist(), value[1:n_active].tolist(), strict=True)}

    def _with_action(self, features: dict[str, float], entities: Index) -> dict[str, float]:
        if not self._one_for_all:
            return features
        action = self._entity_names[entities[-1]]
        return {**features, **{f"{action} {name}": x for name, x in features.items()}, **{self._entity_names[e]: 1.0 for e in entities[1:].tolist()}}

    def _key(self, entities: Index) -> int:
        return int(entities[0 if self._one_for_all else -1])

    def take_over(self, before: River) -> bool:
        """Go on with the classifiers of a model that is given up."""
        if (self._names, self._entity_names) != (before._names, before._entity_names):
            return False
        self._counts, self._said, self._learners, self.version = before._counts, before._said, before._learners, before.version
        return True

    def frozen(self) -> River:
        """A model that scores as this one does now, whatever is learned meanwhile; it cannot learn. Copies every classifier."""
        found = copy(self)
        found._counts, found._said, found._learners = self._counts.copy(), self._said.copy(), deepcopy(self._learners)
        return found

    def _learned(self, index: Index, value: Floats, n_active: int, candidate: int, reward: float, stamp: Stamp) -> Receipt:
        """The receipt names the outcome by a checksum; its reward, and the bin of what was said."""
        counted, entities = rates.in_fixed_point(reward), self._path_entities[candidate]
        features = self._features(index, value, n_active)
        self.expected = self._propensity(features, candidate, float(self._rates(np.array([candidate], np.int32))[0]))
        said = self._with_action(features, entities), float(reward)
        learner = self._learners.get(self._key(entities))
        if learner is None:
            learner = self._learners[self._key(entities)] = _Learner(deepcopy(self._fresh))
        learner.learn(said)
        table = np.zeros((2 + entities.size, 2), np.int32)
        table[1, 0], table[-1] = _name_of(said), (_bin_of(self.expected), counted)
        return Receipt(entities, table)

    def _add(self, receipt: Receipt, sign: int, since: float) -> None:
        entities = receipt.entities
        rates.add(self._counts, entities, sign * OUTCOME, sign * int(receipt.deltas[-1, 1]))
        self._said[entities[-1], receipt.deltas[-1, 0]] += sign
        if sign < 0 and self._key(entities) in self._learners:
            self._learners[self._key(entities)].forget(int(receipt.deltas[0, 0]))

    @property
    def nbytes(self) -> int:
        """The counts, and what each classifier says of itself, twice."""
        return self._counts.nbytes + self._said.nbytes + sum(2 * learner.now._raw_memory_usage for learner in self._learners.values())

    def state(self, copied: Copied = np.copy) -> State:
        """`counts` int64[n_entities, 2], `said` int64[n_entities, N_BINS], and of the entities int32[k] that have a classifier `learners`, bytes[k];
        `version`; copies."""
        learned = sorted(key for key, learner in self._learners.items() if learner.since or self._counts[key, 0])
        written = np.array([self._learners[key].state() for key in learned], "S")
        return {"counts": copied(self._counts), "said": self._said.copy(), "entities": np.array(learned, np.int32), "learners": written,
                "version": np.array([self.version], dtype=np.int64)}

    def load(self, state: Mapping[str, npt.NDArray[Any]]) -> None:
        """Take over what `state` gave."""
        if state["counts"].shape != self._counts.shape:
            raise ValueError(f"counts of shape {state['counts'].shape} do not fit; {self._counts.shape} (entities, 2) is needed")
        self._counts[:], self._said[:] = state["counts"], state["said"]
        self._learners = {key: _Learner(*river_state.from_bytes(data[:-1]))
                          for key, data in zip(state["entities"].tolist(), state["learners"].tolist(), strict=True)}
        self.version = int(state["version"][0])


def _bin_of(p: float) -> int:
    held = min(max(p, 1e-6), 1.0 - 1e-6)
    return min(max(math.floor(2.0 * math.log(held / (1.0 - held))) + N_BINS // 2, 0), N_BINS - 1)
