"""cel-expr-python: the C++ library of the CEL project, the same rules as generated Python, fifty to a list expression.

It says which rules hold and nothing more: facts go in as a dict at every call; no reasons, no unknown from a missing fact, no index over rules.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from benchmarks import world
from benchmarks.peers import Choice

RULES_PER_EXPRESSION = 50


class CelExpressions:
    """All rules in lists of fifty, the size that its expressions take fastest. `types`: CEL type names by fact."""

    def __init__(self, made: world.World, types: Mapping[str, str]) -> None:
        from cel_expr_python import cel

        environment = cel.NewEnv(variables={name: getattr(cel.Type, kind.upper()) for name, kind in types.items()})
        texts = [world.joined(rule, "cel") for rule in made.rules]
        starts = range(0, len(texts), RULES_PER_EXPRESSION)
        self._expressions = [(start, environment.compile(f"[{', '.join(texts[start : start + RULES_PER_EXPRESSION])}]")) for start in starts]

    def decide(self, facts: Mapping[str, Any]) -> list[int]:
        found: list[int] = []
        for start, expression in self._expressions:
            found += [start + i for i, holds in enumerate(expression.eval(data=facts).plain_value()) if holds]
        return found

    def learn(self, facts: Mapping[str, Any], choice: Choice, reward: float) -> None:
        """Rules do not learn."""
