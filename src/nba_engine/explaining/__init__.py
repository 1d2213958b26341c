"""What a decision keeps, read when asked for: as arrays over all candidates (arrays.py), or one action after the other in words (reading.py).

Both read the same rules (asked.py). Nothing of this is on the decision path, and nothing is read before somebody asks.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager

from nba_engine.explaining.believing import Believed, Believing
from nba_engine.explaining.reading import DecisionReading
from nba_engine.ledger import Kept
from nba_engine.records import Explanation


def explain(kept: Kept, lock: AbstractContextManager[object], beliefs: Callable[[], Believing]) -> Explanation:
    """Every action of a decision, in words or as arrays. Costs nothing until it is read; `beliefs`, read under `lock`, are today's."""
    return Explanation(kept.decision, DecisionReading(kept), Believed(kept, lock, beliefs))
