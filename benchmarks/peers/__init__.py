"""What a user would pick instead, each set up as its own documentation shows; `pip install nba_engine[peers]`, `make bench` does.

One small file a library, imported where it is used: without the library the file can still be imported, and its rows are left out. Every peer has
the two methods below. None of them does all that `decide` and `record` do; the head of each file says what is missing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol


class Choice(NamedTuple):
    """One of the actions, by position, the probability it was drawn with (NaN where the library does not say), and the library's own receipt."""

    action: int
    probability: float
    receipt: Any = None


class Peer(Protocol):
    """A library that decides and learns about one customer at a time. Rules alone give the positions of all eligible actions and learn nothing."""

    def decide(self, facts: Mapping[str, Any]) -> Choice | list[int]: ...

    def learn(self, facts: Mapping[str, Any], choice: Choice, reward: float) -> None: ...
