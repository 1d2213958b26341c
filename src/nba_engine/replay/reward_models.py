"""Reward models for dm and dr that never answer a row they were taught: q of the logged action, and what q expects under the target.

A model taught the very rows it is asked about has learned their noise: r - q shrinks, dr turns into dm, and its interval into wishful thinking
(tests/test_reward_models.py shows by how much). So a row is answered either by what all rows before it taught (a log whose writer learned
allows nothing else, for its later rows depend on earlier rewards), or by a model fitted without the row's subject.

**Source** cross-fitting: Chernozhukov et al. 2018, "Double/debiased machine learning", definition 3.1; by earlier rows: Dawid 1984 (prequential), and
Bibaut et al. 2021 for logs of learners.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from nba_engine.catalog.faults import suggestion
from nba_engine.errors import ReplayError
from nba_engine.replay.adaptive import blocks_of
from nba_engine.replay.importance import Float
from nba_engine.replay.pmfs import Pmf

if TYPE_CHECKING:
    import pyarrow as pa

Ints = npt.NDArray[np.int64]

FOLDS = 5
"""Parts of the subjects, each answered by a model of the others."""
_TAUGHT_SHARE, _TAUGHT_ROWS_MAX = 50, 1024
"""Our own model takes in rows once there are a fiftieth of those it knows, or so many."""
_QUESTIONS_AT_ONCE = 2**16
_COMMON_TEXTS = 30
"""Texts of a column that a scikit-learn estimator sees as columns of their own; rarer ones look alike to it."""


@dataclass(frozen=True, slots=True)
class Situations:
    """What a reward model may know of n rows: `facts`, a table of n rows; `action` int64[n] from 0; `reward` float64[n]; `subject` int64[n]; and
    `pmf`, the target's distribution over the actions."""

    facts: pa.Table
    action: Ints
    reward: Float
    subject: Ints
    pmf: Pmf


class Expected(NamedTuple):
    """`q_logged`, `q_target` float64[n] as `estimate` takes them, and how they came about."""

    q_logged: Float
    q_target: Float
    note: str


class _Learner(Protocol):
    def learn(self, rows: Ints) -> None:
        """Take in these rows, besides those it knows."""
        ...

    def expect(self, row: Ints, action: Ints) -> Float:
        """The reward to expect of each action in the situation of each row."""
        ...


def expected(reward_model: Any, given: Situations, *, adaptive: bool, progress: Callable[[int, int | None], None] | None = None) -> Expected:
    """What a reward model says of every row, untaught by it.

    Parameters
    ----------
    reward_model
        "progressive": our own model, row by row in the order of the log, each answered from those before it (but at most the last fiftieth of them).
        "cross_fitted": our own model, fitted without the row's fold of subjects. Or any estimator with `fit(X, y)` and `predict(X)` or, of a
        classifier, `predict_proba(X)`: cross-fitted too, but where `adaptive` fitted anew on all earlier rows at the start of every
        block (adaptive.py). X holds the facts as numbers (standardised; texts as one column for each of the 30 commonest; nulls as the mean and a
        column that says so) and a column per action.
    adaptive
        Whether the log's writer learned; rows are then in the order of time.
    progress : told how many steps of how many are done.

    Raises
    ------
    ReplayError : something else is given, our own model and rewards outside [0, 1], a column of a type that no model reads.

    Notes
    -----
    **Cost**: O(rows x actions that the target may choose) answers; our own model learns every row once (cross-fitted: four times), an estimator is
    fitted FOLDS times, or, where adaptive, as often as there are blocks, which takes as long as six fits on the whole log.
    """
    own = _check(reward_model, given, adaptive)
    n, n_actions = len(given.action), 1 + int(max(given.action.max(), given.pmf.action.max(initial=0)))
    matrix = None if own else _matrix(given.facts)

    def learner() -> _Learner:
        return _Own(given, n_actions) if matrix is None else _Fitted(reward_model, matrix, given, n_actions)

    chosen = given.pmf.p > 0
    row = np.concatenate([np.arange(n), given.pmf.row[chosen]])
    action = np.concatenate([given.action, given.pmf.action[chosen]])
    order = np.argsort(row, kind="stable")
    first = np.searchsorted(row[order], np.arange(n + 1))
    before = reward_model == "progressive" or adaptive
    steps = list(_growing(n) if own else _blocks(n)) if before else _folds(given.subject)
    model, q = learner(), np.zeros(len(row))
    for done, (part, taught) in enumerate(steps):
        model = model if before else learner()
        if len(taught):
            model.learn(taught)
        answered = order[first[part[0]] : first[part[-1] + 1]] if before else np.flatnonzero(np.isin(row, part))
        for start in range(0, len(answered), _QUESTIONS_AT_ONCE):
            some = answered[start : start + _QUESTIONS_AT_ONCE]
            q[some] = model.expect(row[some], action[some])
        if progress is not None:
            progress(done + 1, len(steps))
    name = "our own model" if own else type(reward_model).__name__
    n_subjects = len(np.unique(given.subject))
    how = "each row answered from rows before it" if before else f"{FOLDS} folds of {n_subjects} subjects, each by a model of the others"
    return Expected(q[:n], np.bincount(row[n:], given.pmf.p[chosen] * q[n:], n), f"the reward model is {name}, {how}")


def _check(reward_model: Any, given: Situations, adaptive: bool) -> bool:
    """Whether it is our own model; ReplayError where it can be none."""
    own = isinstance(reward_model, str)
    if own and reward_model not in ("progressive", "cross_fitted"):
        raise ReplayError(f"reward_model is {reward_model!r}; give 'progressive', 'cross_fitted' or a scikit-learn estimator")
    if not own and not (hasattr(reward_model, "fit") and (hasattr(reward_model, "predict") or hasattr(reward_model, "predict_proba"))):
        kind = type(reward_model).__name__
        raise ReplayError(f"reward_model is of type {kind}, which has no fit and predict; give 'progressive' or a scikit-learn estimator")
    if reward_model == "cross_fitted" and adaptive:
        raise ReplayError("cross-fitting learns from later rows, which depend on earlier rewards where the log's writer learned; take 'progressive'")
    if own and not 0 <= given.reward.min() <= given.reward.max() <= 1:
        raise ReplayError(f"rewards reach from {given.reward.min():g} to {given.reward.max():g}; our own model learns rewards in [0, 1]: divide them "
                          "by the largest that can be, or give a regressor of scikit-learn")
    if (given.action < 0).any():
        raise ReplayError(f"{int((given.action < 0).sum())} rows name no action; a reward model must know what was chosen")
    return own


def _growing(n: int) -> Iterator[tuple[Ints, Ints]]:
    """(rows to answer, rows to learn first): single ones at the start, then batches."""
    before, a = np.zeros(0, np.int64), 0
    while a < n:
        part = np.arange(a, min(a + max(1, min(a // _TAUGHT_SHARE, _TAUGHT_ROWS_MAX)), n))
        yield part, before
        before, a = part, a + len(part)


def _blocks(n: int) -> Iterator[tuple[Ints, Ints]]:
    before = np.zeros(0, np.int64)
    for _, a, b in blocks_of(0, n):
        part = np.arange(a, b)
        yield part, before
        before = part


def _folds(subject: Ints) -> list[tuple[Ints, Ints]]:
    distinct, place = np.unique(subject, return_inverse=True)
    if len(distinct) < 2:
        raise ReplayError("cross-fitting needs rows of two subjects at least; take 'progressive'")
    fold = np.random.default_rng(0).permutation(len(distinct))[place] % FOLDS
    return [(np.flatnonzero(fold == one), np.flatnonzero(fold != one)) for one in np.unique(fold)]


class _Own:
    """A propensity model of the engine, over a catalog made of the log's facts and actions."""

    def __init__(self, given: Situations, n_actions: int) -> None:
        from nba_engine.catalog.catalog import Catalog
        from nba_engine.memory import Memory

        names = [f"f{i}" for i in range(given.facts.num_columns)]
        catalog = Catalog.from_dict({
            "facts": {name: _kind(field) for name, field in zip(names, given.facts.schema, strict=True)},
            "outcomes": {"answered": {"reward": 1}},
            "actions": [{"id": f"a{i}"} for i in range(n_actions)],
        })  # fmt: skip
        state = Memory(catalog, None, "os", 1).state
        self._plan, self._beliefs = state.plan, state.beliefs
        self._facts, self._action, self._reward = given.facts.rename_columns(names), given.action, given.reward
        self._candidate = np.array([state.plan.candidate_of[f"a{i}", None] for i in range(n_actions)], np.int32)

    def learn(self, rows: Ints) -> None:
        from nba_engine.facts.tables import learn_texts

        table = self._facts.take(rows)
        learn_texts(self._plan.encoder, table)
        candidates = self._candidate[self._action[rows]]
        self._beliefs.update_rows(self._encoded(table), np.ones(len(rows), np.int64), candidates, np.ascontiguousarray(self._reward[rows]))

    def expect(self, row: Ints, action: Ints) -> Float:
        from nba_engine.beliefs import Scorer

        distinct, place = np.unique(row, return_inverse=True)
        order = np.argsort(place, kind="stable")
        offsets = np.concatenate([[0], np.cumsum(np.bincount(place))]).astype(np.int64)
        propensity, deviation = np.empty(len(row)), np.empty(len(row))
        scorer = Scorer(self._beliefs.features, self._beliefs.model, len(distinct))
        scorer.score(self._encoded(self._facts.take(distinct)), offsets, self._candidate[action[order]], propensity, deviation)
        answers = np.empty(len(row))
        answers[order] = propensity
        return answers

    def _encoded(self, table: pa.Table) -> Any:
        from nba_engine.facts.tables import encode_table

        n = table.num_rows
        return encode_table(self._plan.encoder, table, np.zeros(n, np.int64), [(None, None)], np.zeros(n, np.int64))


class _Fitted:
    """A scikit-learn estimator, fitted anew on all it knows whenever it learns."""

    def __init__(self, estimator: Any, matrix: Float, given: Situations, n_actions: int) -> None:
        self._unfitted, self._matrix, self._given, self._n_actions = estimator, matrix, given, n_actions
        self._known: Ints = np.zeros(0, np.int64)
        self._fitted: Any = None
        self._constant = 0.0

    def learn(self, rows: Ints) -> None:
        self._known = np.concatenate([self._known, rows])
        reward = self._given.reward[self._known]
        self._constant, self._fitted = float(reward[0]), None
        if (reward != reward[0]).any():  # many classifiers refuse a single class
            self._fitted = deepcopy(self._unfitted).fit(self._inputs(self._known, self._given.action[self._known]), reward)

    def expect(self, row: Ints, action: Ints) -> Float:
        if self._fitted is None:
            return np.full(len(row), self._constant)
        inputs = self._inputs(row, action)
        if hasattr(self._fitted, "predict_proba"):
            return np.asarray(self._fitted.predict_proba(inputs)) @ np.asarray(self._fitted.classes_, dtype=np.float64)
        return np.asarray(self._fitted.predict(inputs), dtype=np.float64)

    def _inputs(self, row: Ints, action: Ints) -> Float:
        chosen = np.zeros((len(row), self._n_actions))
        chosen[np.arange(len(row)), action] = 1.0
        return np.concatenate([self._matrix[row], chosen], axis=1)


def facts_of(table: pa.Table, facts: Sequence[str]) -> pa.Table:
    """The columns that a reward model may read; ReplayError for one that the log does not have."""
    for name in facts:
        if name not in table.column_names:
            raise ReplayError(f"facts names {name!r}, which the log does not have{suggestion(name, table.column_names)}")
    return table.select(list(facts))


def _kind(field: pa.Field) -> str:
    """bool, int, double, timestamp, string or list<string>."""
    import pyarrow as pa

    kind = field.type.value_type if pa.types.is_dictionary(field.type) else field.type
    listed = (pa.types.is_list(kind) or pa.types.is_large_list(kind)) and pa.types.is_string(kind.value_type)
    known = (("bool", pa.types.is_boolean), ("int", pa.types.is_integer), ("double", pa.types.is_floating), ("timestamp", pa.types.is_timestamp),
             ("string", pa.types.is_string), ("string", pa.types.is_large_string), ("list<string>", lambda _: listed))  # fmt: skip
    for name, holds in known:
        if holds(kind):
            return name
    raise ReplayError(f"fact {field.name} holds {field.type}, which no reward model reads; give booleans, numbers, texts or moments, or leave it out")


def _matrix(facts: pa.Table) -> Float:
    """The facts as numbers, float64[n, columns]."""
    columns: list[Float] = []
    for field in facts.schema:
        column, kind = facts.column(field.name), _kind(field)
        if kind == "list<string>":
            raise ReplayError(f"fact {field.name} holds lists, which scikit-learn estimators do not read; leave it out, or take 'progressive'")
        columns += _texts(column) if kind == "string" else _numbers(column)
    return np.stack(columns, axis=1) if columns else np.zeros((facts.num_rows, 0))


def _numbers(column: Any) -> list[Float]:
    import pyarrow as pa

    whole = column.cast(pa.int64()) if pa.types.is_timestamp(column.type) else column
    values = whole.cast(pa.float64()).to_numpy()
    known = np.isfinite(values)
    if not known.any():
        return []
    mean, deviation = float(values[known].mean()), float(values[known].std())
    standard = np.where(known, (values - mean) / (deviation or 1.0), 0.0)
    return [standard] if known.all() else [standard, 1.0 - known]


def _texts(column: Any) -> list[Float]:
    import pyarrow as pa

    values = column.cast(pa.string()).combine_chunks()
    commonest = sorted(values.value_counts().to_pylist(), key=lambda one: (-one["counts"], str(one["values"])))[:_COMMON_TEXTS]
    texts = values.to_numpy(zero_copy_only=False)
    return [(texts == one["values"]).astype(np.float64) for one in commonest]
