"""Rules: CEL text to syntax, checked against the declared facts, its plain meaning, and many rules compiled together for decisions.

Importing this room loads neither lark nor re2.
"""

from __future__ import annotations

from nba_engine.rules.checking import Checked, check
from nba_engine.rules.evaluating import evaluate_expression
from nba_engine.rules.parsing import parse
from nba_engine.rules.plain import evaluate
from nba_engine.rules.syntax import Node, children, unparse, walk
from nba_engine.rules.values import UNKNOWN, ErrorValue, UInt, Unknown

__all__ = [
    "Checked", "ErrorValue", "Node", "UInt", "UNKNOWN", "Unknown", "check", "children", "evaluate", "evaluate_expression", "parse", "unparse", "walk",
]  # fmt: skip
