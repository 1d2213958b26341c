"""Whether a log can judge a target at all: the rules, their thresholds, and the causes in words."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from nba_engine.errors import ReplayError

Verdict = Literal["ok", "weak", "refused"]

MEAN_IMPORTANCE_WEIGHT_ERRORS_MAX = 4.0
"""By how many standard errors the mean importance weight may differ from 1 before a warning says so."""
_ROUNDING = 1e-9


@dataclass(frozen=True, slots=True, kw_only=True)
class Thresholds:
    """When an estimate is refused or weak. Shares lie in [0, 1]; `ess` is the effective sample size, its share is of the rows."""

    ess_refused: float = 30.0
    ess_share_refused: float = 0.001
    unsupported_refused: float = 0.05
    ess_weak: float = 300.0
    ess_share_weak: float = 0.05
    single_share_weak: float = 0.05

    def __post_init__(self) -> None:
        for name in self.__slots__:
            limit = getattr(self, name)
            if not 0 <= limit <= (float("inf") if name in ("ess_refused", "ess_weak") else 1):
                raise ReplayError(f"threshold {name} is {limit}; sizes are at least 0, shares lie in [0, 1]")


@dataclass(frozen=True, slots=True)
class Evidence:
    """What a verdict is made from. `single_share` is the largest importance weight over their sum; `unsupported` None where it is not known."""

    n: int
    ess: float
    single_share: float
    mean_importance_weight: float
    mean_importance_weight_error: float
    unsupported: float | None
    std_error: float


def mean_is_off(mean_importance_weight: float, error: float) -> bool:
    """Whether the mean importance weight is further from 1 than chance would have it, `error` being its standard error."""
    return abs(mean_importance_weight - 1) > MEAN_IMPORTANCE_WEIGHT_ERRORS_MAX * error + _ROUNDING


def judge(evidence: Evidence, thresholds: Thresholds) -> tuple[Verdict, tuple[str, ...]]:
    """The verdict and, in words, its causes and what else a reader must know."""
    n, ess, unsupported = evidence.n, evidence.ess, evidence.unsupported
    refused: list[str] = []
    weak: list[str] = []
    notes: list[str] = []
    size = f"the effective sample size is {ess:.1f} of {n} rows"
    ess *= 1 + _ROUNDING  # at an edge the order in which chunks were merged must not decide
    if ess < thresholds.ess_refused:
        refused.append(f"{size}, under {thresholds.ess_refused:g}: too few logged decisions resemble what the target would choose")
    elif ess < thresholds.ess_share_refused * n:
        refused.append(f"{size}, under {thresholds.ess_share_refused:.2%}: log and target choose too differently")
    elif ess < thresholds.ess_weak:
        weak.append(f"{size}, under {thresholds.ess_weak:g}")
    elif ess < thresholds.ess_share_weak * n:
        weak.append(f"{size}, under {thresholds.ess_share_weak:.1%}")
    if evidence.single_share > thresholds.single_share_weak:
        weak.append(f"one row carries {evidence.single_share:.1%} of all importance, over {thresholds.single_share_weak:.0%}")
    if unsupported is None:
        notes.append("support cannot be checked from logged actions alone: what the target chooses and the log never could is not seen here")
    elif unsupported > thresholds.unsupported_refused * (1 + _ROUNDING):
        refused.append(f"{unsupported:.1%} of what the target chooses could never be in the log, over {thresholds.unsupported_refused:.0%}")
    elif unsupported > 0:
        notes.append(f"{unsupported:.2%} of what the target chooses could never be in the log")
    if refused:
        refused.append(_what_would_answer(evidence, thresholds))
    if mean_is_off(evidence.mean_importance_weight, evidence.mean_importance_weight_error):
        notes.append(
            f"the mean importance weight is {evidence.mean_importance_weight:.4f} where 1 is expected "
            f"(standard error {evidence.mean_importance_weight_error:.4f}): "
            "the logged probabilities may not be those that were drawn from, or the log lacks support"
        )
    if evidence.std_error == 0:
        notes.append("the interval has no width because every reward that counted was the same; that is no certainty")
    verdict: Verdict = "refused" if refused else "weak" if weak else "ok"
    return verdict, (*refused, *weak, *notes)


def _what_would_answer(evidence: Evidence, thresholds: Thresholds) -> str:
    """The log to collect: where a share s of decisions is drawn as the target would, w is 1 / s at most, the effective sample size s n at least."""
    n, ess = evidence.n, evidence.ess
    needed = max(thresholds.ess_weak, thresholds.ess_refused)
    if needed == math.inf:
        return "what would answer: no log, under thresholds that none can reach"
    share = min(max(thresholds.ess_share_weak, thresholds.ess_share_refused, needed / n, 1 / n), 0.5)
    n_needed = max(n, math.ceil(needed / share))
    found = f"what would answer: {n_needed:,} decisions of which {share:.1%} are drawn as the target would, and logged with the chance this gives"
    more_of_it_helps = 0 < ess < thresholds.ess_refused and ess >= thresholds.ess_share_refused * n
    if more_of_it_helps and not evidence.unsupported:
        found += f"; or some {math.ceil(n * needed / ess):,} decisions logged as these were"
    return found
