"""How sure the beliefs are about a decision, worked out when asked for: the interval of a propensity, and the margin of the first choice."""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Protocol

import numpy as np

from nba_engine.catalog.plan import Plan
from nba_engine.errors import RequestError
from nba_engine.facts.encoding import Row
from nba_engine.ledger import Kept


class Believing(Protocol):
    """Beliefs, as much as intervals need of them."""

    plan: Plan

    def interval(self, row: Row, rank: int, candidate: int, level: float) -> tuple[float, float]: ...


class Believed:
    """One decision that is kept, and the beliefs of the moment of asking."""

    def __init__(self, kept: Kept, lock: AbstractContextManager[object], beliefs: Callable[[], Believing]) -> None:
        self._kept, self._lock, self._beliefs = kept, lock, beliefs

    def interval(self, action: str, treatment: str | None, level: float) -> tuple[float, float]:
        """Of the offer's propensity at its rank, or of a candidate that was not offered, at the first rank."""
        if not 0.0 < level < 1.0:
            raise RequestError(f"the level is {level}; give a share between 0 and 1, as 0.95", "level")
        candidate = self._candidate(action, treatment)
        offered = self._kept.judgement.offered
        rank = 1 + offered.index(candidate) if candidate in offered else 1
        with self._lock:
            beliefs = self._beliefs()
            if beliefs.plan.encoder is not self._kept.plan.encoder:  # a challenger's plan names another model and shares the rest
                raise RequestError("the catalog has changed since this decision, and its facts may mean something else; decide again", "decision_id")
            return beliefs.interval(self._kept.judgement.row, rank, candidate, level)

    def margin(self) -> float:
        """Best less second best of the first slot's probabilities; NaN where they are no longer kept."""
        pmf = self._kept.judgement.first_pmf
        if self._kept.decision.funnel["value"] > 0 and (len(pmf) == 0 or np.isnan(pmf[0])):
            return math.nan
        best = np.sort(pmf)[::-1][:2].tolist()
        return best[0] - best[1] if len(best) == 2 else float(len(best))

    def _candidate(self, action: str, treatment: str | None) -> int:
        plan = self._kept.plan
        own = [c for c, name in enumerate(plan.candidate_actions) if name == action]
        if not own or own == [plan.null_candidate]:
            known = ", ".join(name for c, name in enumerate(plan.candidate_actions) if c != plan.null_candidate)
            raise RequestError(f"action {action!r} has no propensity in the catalog of this decision; those that have are {known}", "action")
        if treatment is None:
            chosen = [c for c in self._kept.judgement.offered if c in own] or own
            if len(chosen) == 1:
                return chosen[0]
        elif treatment in [plan.treatments[c] for c in own]:
            return next(c for c in own if plan.treatments[c] == treatment)
        known = ", ".join(str(plan.treatments[c]) for c in own)
        raise RequestError(f"treatment {treatment!r} of action {action!r}: name one of {known}", "treatment")
