"""One generated Python function for all rules: what a team writes that compiles its rules by hand (`world.generated_rules`).

No contact history, no propensity, no probabilities, no record, no reason why an action fell; a change of one rule is a new function.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from benchmarks import world
from benchmarks.peers import Choice


class GeneratedRules:
    """The rules of `made`, each condition evaluated once; times are epoch seconds, as it reads them fastest."""

    def __init__(self, made: world.World) -> None:
        self._eligible = world.generated_rules(made)

    def decide(self, facts: Mapping[str, Any]) -> list[int]:
        return self._eligible(facts, world.NOW)  # type: ignore[arg-type]

    def learn(self, facts: Mapping[str, Any], choice: Choice, reward: float) -> None:
        """Rules do not learn."""
