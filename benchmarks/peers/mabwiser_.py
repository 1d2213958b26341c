"""mabwiser: LinUCB behind an interface like scikit-learn's. The user encodes the facts, as `linucb.OneHot` does, and fits once before predicting.

No rules, no contact history, no probability of the choice, and no learning from one row at a good price: `partial_fit` solves every action again.
200 actions x 20 facts, for the reason linucb.py gives.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from benchmarks import open_world
from benchmarks.peers import Choice
from benchmarks.peers.linucb import OneHot


class MabWiser:
    """Fitted on one row an action."""

    def __init__(self, n_actions: int, n_facts: int, alpha: float = 0.5) -> None:
        from mabwiser.mab import MAB, LearningPolicy

        self._one_hot = OneHot(n_facts)
        rows = np.array([self._one_hot.encode(facts) for facts in open_world.customers(n_facts, n_actions)])
        self._bandit = MAB(list(range(n_actions)), LearningPolicy.LinUCB(alpha=alpha), seed=1)
        self._bandit.fit(list(range(n_actions)), [float(i % 5 == 0) for i in range(n_actions)], rows)

    def decide(self, facts: Mapping[str, Any]) -> Choice:
        row = self._one_hot.encode(facts)[None]
        return Choice(self._bandit.predict(row), math.nan, row)

    def learn(self, facts: Mapping[str, Any], choice: Choice, reward: float) -> None:
        self._bandit.partial_fit([choice.action], [reward], choice.receipt)
