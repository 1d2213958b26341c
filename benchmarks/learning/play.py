"""The bandit protocol, played directly on the encoder and the model: one pass, only the chosen action's outcome is seen.

Before each row: Thompson with independent normal draws of the propensity, deviation `posterior_scale` times the model's, all values 1.
After it: the running scaling takes in the row, the row is encoded again, the model learns. Seeded; the rows come column-wise.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from nba_engine.facts.columns import Column
from nba_engine.facts.features import Features
from nba_engine.models.contract import Model
from nba_engine.models.probit import Probit
from nba_engine.schema import DOUBLE, Fact, Type

POSTERIOR_SCALE = 0.3


@dataclass(frozen=True, slots=True)
class Rows:
    """Encoded rows: `values` int64[n, n_columns], `states` uint8[n, n_columns]; no list columns."""

    columns: list[Column]
    values: np.ndarray
    states: np.ndarray


def encode(facts: dict[str, Any], types: dict[str, Type]) -> Rows:
    """Column name -> values in row order; texts get codes from 1 on in alphabetical order."""
    encoded = []
    for name, values in facts.items():
        if types[name].kind == "string":
            encoded.append(np.unique(np.array(values), return_inverse=True)[1].astype(np.int64) + 1)
        elif types[name].kind == "double":
            encoded.append(np.asarray(values, dtype=np.float64).view(np.int64))
        else:
            encoded.append(np.asarray(values).astype(np.int64))
    columns = [Column(name, type_, Fact(name, type_)) for name, type_ in types.items()]
    values = np.ascontiguousarray(np.stack(encoded, axis=1))
    return Rows(columns, values, np.zeros(values.shape, dtype=np.uint8))


def world_rows(facts: np.ndarray) -> Rows:
    """float64[n, n_facts] as columns x0, x1, ..."""
    names = [f"x{i}" for i in range(facts.shape[1])]
    return encode(dict(zip(names, facts.T, strict=True)), dict.fromkeys(names, DOUBLE))


def one_group(n_actions: int) -> np.ndarray:
    """Paths of actions that share one issue and one group, int32[n_actions, 5]."""
    actions = np.arange(3, 3 + n_actions)
    return np.stack([actions * 0, actions * 0 + 1, actions * 0 + 2, actions, actions * 0 - 1], axis=1).astype(np.int32)


def own_groups(n_actions: int) -> np.ndarray:
    """Paths of actions that each have an issue and a group of their own."""
    actions = 1 + 3 * np.arange(n_actions)
    return np.stack([actions * 0, actions, actions + 1, actions + 2, actions * 0 - 1], axis=1).astype(np.int32)


def few_groups(n_actions: int, n_groups: int) -> np.ndarray:
    """Paths of actions of one issue in `n_groups` groups, action modulo `n_groups`."""
    actions = np.arange(n_actions)
    return np.stack([actions * 0, actions * 0 + 1, 2 + actions % n_groups, 2 + n_groups + actions, actions * 0 - 1], axis=1).astype(np.int32)


def probit(features: Features, paths: np.ndarray) -> Probit:
    """The default model over these features and candidates."""
    return Probit(features.n_features, paths, int(paths.max()) + 1)


class Learner:
    """An encoder and a model that see one row at a time."""

    def __init__(self, rows: Rows, features: Features, model: Model, n_actions: int) -> None:
        self.rows, self.features, self.model = rows, features, model
        self._index = np.zeros((1, features.active_max), dtype=np.int32)
        self._value, self._n_active = np.zeros((1, features.active_max)), np.zeros(1, dtype=np.int64)
        self._scratch = model.scratch(1)
        self._no_codes = np.zeros(0, dtype=np.int32)
        self._offsets = np.zeros((1, len(rows.columns) + 1), dtype=np.int32)
        self._candidates, self._all = np.arange(n_actions, dtype=np.int32), np.array([0, n_actions])
        self._mean, self._deviation = np.zeros(n_actions), np.zeros(n_actions)

    def fill(self, i: int) -> int:
        rows = self.rows
        self.features.fill(rows.values[i : i + 1], rows.states[i : i + 1], self._no_codes, self._offsets, self._index, self._value, self._n_active)
        return int(self._n_active[0])

    def predict(self, i: int) -> tuple[np.ndarray, np.ndarray]:
        """Propensity and deviation of every action on row `i`; the arrays are overwritten by the next call."""
        self.fill(i)
        self.model.score(self._scratch, self._index, self._value, self._n_active, self._all, self._candidates, self._mean, self._deviation)
        return self._mean, self._deviation

    def learn(self, i: int, action: int, reward: float) -> None:
        """Take in the outcome of `action` on row `i`."""
        self.features.observe(self.rows.values[i], self.rows.states[i])
        self.model.update(self._index[0], self._value[0], self.fill(i), action, reward)


def play(learner: Learner, order: Sequence[int] | np.ndarray, rewards: np.ndarray, seed: int) -> np.ndarray:
    """The actions chosen, int[n], on the rows in `order`; `rewards` float64[n_rows, n_actions] answers only for the chosen one."""
    noise = np.random.default_rng(seed).normal(size=(len(order), rewards.shape[1])) * POSTERIOR_SCALE
    chosen = np.zeros(len(order), dtype=np.int64)
    for k, i in enumerate(order):
        mean, deviation = learner.predict(i)
        action = int(np.argmax(mean + deviation * noise[k]))
        learner.learn(i, action, rewards[i, action])
        chosen[k] = action
    return chosen
