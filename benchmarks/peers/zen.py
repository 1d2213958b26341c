"""zen-engine: a rules engine in Rust, with the same rules as generated Python, in two forms.

`ZenTable` is a decision table that collects, one row an action: how its editor and its documentation write eligibility. `ZenExpression` is one
compiled expression, a list of all rules: much faster, and nobody's idea of rules that business people maintain. Both find the actions that
generated Python finds (`tests/test_benchmarks.py`). No contact history, no propensity, no probabilities; unknown is not told from null.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from benchmarks import world
from benchmarks.peers import Choice


class ZenTable:
    """A graph of input, decision table, output; the table's one input column holds each action's rule as an expression."""

    def __init__(self, made: world.World) -> None:
        import zen

        rows = [{"_id": f"row-{i}", "rule": text, "position": str(i)} for i, text in enumerate(_texts(made))]
        content = {"hitPolicy": "collect", "inputs": [{"id": "rule", "name": "rule"}],
                   "outputs": [{"id": "position", "name": "position", "field": "position"}], "rules": rows}  # fmt: skip
        nodes = [_node("in", "inputNode"), _node("table", "decisionTableNode") | {"content": content}, _node("out", "outputNode")]
        edges = [{"id": f"to-{b}", "type": "edge", "sourceId": a, "targetId": b} for a, b in (("in", "table"), ("table", "out"))]
        self._decision = zen.ZenEngine().create_decision(json.dumps({"nodes": nodes, "edges": edges}))

    def decide(self, facts: Mapping[str, Any]) -> list[int]:
        return [row["position"] for row in self._decision.evaluate({**facts, "now": world.NOW})["result"]]

    def learn(self, facts: Mapping[str, Any], choice: Choice, reward: float) -> None:
        """Rules do not learn."""


class ZenExpression:
    """All rules in one list."""

    def __init__(self, made: world.World) -> None:
        import zen

        self._expression = zen.compile_expression(f"[{', '.join(_texts(made))}]")

    def decide(self, facts: Mapping[str, Any]) -> list[int]:
        return [i for i, holds in enumerate(self._expression.evaluate({**facts, "now": world.NOW})) if holds]

    def learn(self, facts: Mapping[str, Any], choice: Choice, reward: float) -> None:
        """Rules do not learn."""


def _node(name: str, kind: str) -> dict[str, Any]:
    return {"id": name, "name": name, "type": kind, "position": {"x": 0, "y": 0}}


def _texts(made: world.World) -> list[str]:
    """The rules in the language of zen: null instead of has(), times and durations in seconds."""
    return [" and ".join("(" + " or ".join(_translated(c.cel) for c in clause) + ")" for clause in rule) for rule in made.rules]


def _translated(cel: str) -> str:
    text = re.sub(r"!has\((\w+)\)", r"\1 == null", cel)
    text = re.sub(r"has\((\w+)\)", r"\1 != null", text)
    text = re.sub(r"^!\((.*)\)$", r"not(\1)", text)
    text = re.sub(r"duration\('(\d+)s'\)", r"\1", text)
    return f"({text.replace('&&', 'and')})"
