"""LinUCB in twenty lines of numpy (Li et al. 2010, algorithm 1, disjoint), the inverses kept up to date by Sherman and Morrison.

No rules, no contact history, no probability: it takes the highest bound. Memory and time grow with the square of the features, whence 200 actions
x 20 facts: ten texts of 16 categories are 160 features of their own, and 1,000 actions x 64 facts would need 2.4 GB.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from benchmarks import open_world
from benchmarks.peers import Choice


class OneHot:
    """Facts of `open_world` as a vector: 1, one place for each category of each text, the numbers."""

    def __init__(self, n_facts: int) -> None:
        texts, self._numbers = open_world.names(n_facts)
        pairs = [(text, f"{text}-{k}") for text in texts for k in range(open_world.N_CATEGORIES)]
        self._texts, self._place = texts, {pair: 1 + i for i, pair in enumerate(pairs)}
        self.n_features = 1 + len(pairs) + len(self._numbers)

    def encode(self, facts: Mapping[str, Any]) -> np.ndarray:
        x = np.zeros(self.n_features)
        x[0] = 1.0
        x[[self._place[text, facts[text]] for text in self._texts]] = 1.0
        x[-len(self._numbers) :] = [facts[name] for name in self._numbers]
        return x


class LinUcb:
    """One ridge regression an action, `alpha` deviations added to its prediction."""

    def __init__(self, n_actions: int, n_facts: int, alpha: float = 0.5) -> None:
        self._one_hot, self._alpha = OneHot(n_facts), alpha
        d = self._one_hot.n_features
        self._inverse = np.repeat(np.eye(d)[None], n_actions, axis=0)
        self._sums, self._theta = np.zeros((n_actions, d)), np.zeros((n_actions, d))

    def decide(self, facts: Mapping[str, Any]) -> Choice:
        x = self._one_hot.encode(facts)
        variance = (self._inverse @ x) @ x
        return Choice(int(np.argmax(self._theta @ x + self._alpha * np.sqrt(variance))), math.nan, x)

    def learn(self, facts: Mapping[str, Any], choice: Choice, reward: float) -> None:
        a, x = choice.action, choice.receipt
        along = self._inverse[a] @ x
        self._inverse[a] -= np.outer(along, along) / (1.0 + x @ along)
        self._sums[a] += reward * x
        self._theta[a] = self._inverse[a] @ self._sums[a]
