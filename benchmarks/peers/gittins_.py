"""gittins: a contextual bandit in Rust that logs the probability of its choice. Facts go in as they are; the actions are named once.

No rules, no contact history, no slate: one action of those it is handed. The actions have no features of their own, which is its fastest use
(their names count as features); `bits` 16 has room for every pair of action and category at 200 x 20.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.peers import Choice


class Gittins:
    """One state; time is the number of the call, in seconds."""

    def __init__(self, n_actions: int, bits: int = 16) -> None:
        import gittins

        self._library = gittins
        self._state = gittins.create(bits=bits, horizon=3600.0)
        self._actions: list[tuple[str, dict[str, Any]]] = [(f"action-{i}", {}) for i in range(n_actions)]
        self._second = 0.0

    def decide(self, facts: Mapping[str, Any]) -> Choice:
        return self._chosen(facts, self._actions)

    def decide_among(self, facts: Mapping[str, Any], eligible: Sequence[int]) -> Choice:
        """The actions that rules have left; the choice is a position among them. Of lists, one feature for each item."""
        known: dict[str, Any] = {name: fact for name, fact in facts.items() if type(fact) is not list}
        known |= {f"{name} {item}": 1.0 for name, fact in facts.items() if type(fact) is list for item in fact}
        return self._chosen(known, [self._actions[i] for i in eligible])

    def learn(self, facts: Mapping[str, Any], choice: Choice, reward: float) -> None:
        self._library.learn(self._state, choice.receipt, reward, self._second)

    def _chosen(self, facts: Mapping[str, Any], actions: list[tuple[str, dict[str, Any]]]) -> Choice:
        self._second += 1.0
        record = self._library.decide(self._state, facts, actions, self._second, f"subject-{self._second:.0f}")
        return Choice(record.chosen, record.propensity, record.decision_id)
