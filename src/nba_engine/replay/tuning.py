"""The parameter of an estimator, chosen on the log itself among candidates. One fold per candidate and one unadjusted; all of them merge."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal, NamedTuple

from nba_engine.errors import ReplayError
from nba_engine.replay.estimators import ESTIMATORS, Estimate, choose_estimator, estimate_rows
from nba_engine.replay.importance import Rows, check_rows
from nba_engine.replay.sums import PART, Estimator, Sums, as_it_is, fold, merge
from nba_engine.replay.verdict import Thresholds

By = Literal["slope", "mse"]

_ERROR = 0.1
"""Chance that a width of SLOPE or the bound of a bias is exceeded."""
_GROWTH = math.sqrt(6) - 1
"""How much of the wider intervals' widths a narrower one may add to its own and still agree (Su et al. 2020, algorithm 1)."""
_LARGE_FIRST = (math.inf, 50.0, 10.0, 5.0, 2.0, 1.0)
CANDIDATES: Mapping[str, Sequence[float]] = {
    "max_importance_weight": _LARGE_FIRST,
    "threshold": _LARGE_FIRST,
    "shrinkage": _LARGE_FIRST,
    "smoothing": (0.0, 0.01, 0.1, 0.5),
}
"""By parameter, from the least adjusted on."""


class Tuned(NamedTuple):
    """The candidate that was chosen and what it estimates; the interval does not know of the choosing, and a warning says so."""

    parameter: float
    estimate: Estimate


def fold_candidates(estimator: Estimator, rows: Rows, candidates: Sequence[float]) -> tuple[Sums, ...]:
    """One chunk's sums: unadjusted first, then of each candidate."""
    return fold(replace(estimator, adjust=as_it_is), rows), *(fold(estimator, rows, candidate) for candidate in candidates)


def merge_candidates(a: Sequence[Sums], b: Sequence[Sums]) -> tuple[Sums, ...]:
    """The sums of both chunks, candidate by candidate."""
    return tuple(merge(one, other) for one, other in zip(a, b, strict=True))


def choose(folded: Sequence[Sums], by: By) -> Sums:
    """The sums of the candidate that `by` prefers, of `fold_candidates`' order; the first of those that tie.

    `mse`: the least variance + bias^2, the bias being the distance to the unadjusted mean and a Bernstein bound of its error (Su, Dimakopoulou,
    Krishnamurthy, Dudik 2020, "Doubly robust off-policy evaluation with shrinkage", section 5.3).
    `slope`: from the widest interval on, the last whose estimate still agrees with all wider ones (Su, Srinath, Krishnamurthy 2020, "Adaptive
    estimator selection for off-policy evaluation", algorithm 1), with one-sided Student widths.
    """
    return _by_mse(folded) if by == "mse" else _by_slope(folded[1:])


def tune(
    name: str,
    *,
    by: By,
    reward: Any,
    p_log: Any,
    p_target: Any,
    q_logged: Any = None,
    q_target: Any = None,
    unsupported: Any = None,
    adaptive: bool = False,
    candidates: Sequence[float] | None = None,
    thresholds: Thresholds | None = None,
) -> Tuned:
    """`estimate` with the parameter that "slope" or "mse" chooses.

    Parameters
    ----------
    name : an estimator that has a parameter.
    by : how to choose; see `choose`.
    candidates : parameters to choose among, in the order that breaks ties; the defaults of `CANDIDATES` without.
    reward, p_log, p_target, q_logged, q_target, unsupported, adaptive, thresholds : as `estimate` takes them. Choosing itself takes the log's
        writer for one that did not learn.

    Raises
    ------
    ReplayError : an estimator without a parameter, a candidate out of its range, columns that do not fit.

    Notes
    -----
    **Cost** one `estimate` per candidate and one more.

    Examples
    --------
    >>> log = {"reward": [1.0, 0.0, 1.0, 0.0] * 50, "p_log": [0.5, 0.5, 0.25, 0.25] * 50, "p_target": [0.5, 0.5, 0.5, 0.0] * 50}
    >>> tune("clipped_ips", by="mse", **log).parameter
    inf
    """
    estimator = ESTIMATORS.get(name)
    if by not in ("slope", "mse"):
        raise ReplayError(f"by is {by!r}; give 'slope' or 'mse'")
    if estimator is None or estimator.parameter is None:
        known = ", ".join(one.name for one in ESTIMATORS.values() if one.parameter)
        raise ReplayError(f"{name} has no parameter that could be tuned; choose one of {known}")
    numbers = CANDIDATES[estimator.parameter] if candidates is None else candidates
    if not numbers:
        raise ReplayError("candidates holds no number; give at least one")
    checked = [choose_estimator(name, {estimator.parameter: number})[1] for number in numbers]
    rows = check_rows(reward=reward, p_log=p_log, p_target=p_target, q_logged=q_logged, q_target=q_target, unsupported=unsupported)
    chosen = choose(fold_candidates(estimator, rows, checked), by)
    found = estimate_rows(estimator, rows, chosen.parameter, adaptive, thresholds)
    note = f"{estimator.parameter} = {chosen.parameter:g} was chosen on this log ({by}); the interval does not know of the choosing"
    return Tuned(chosen.parameter, replace(found, warnings=(*found.warnings, note)))


def _by_mse(folded: Sequence[Sums]) -> Sums:
    unadjusted, n, confidence = folded[0], folded[0].n, math.log(2 / _ERROR)
    bound = math.sqrt(2 * unadjusted.square_importance_weight / n * confidence / n) + 2 * unadjusted.max_importance_weight * confidence / (3 * n)

    def loss(sums: Sums) -> float:
        variance = sums.estimator.combine(sums)[1] * (n - 1) / n / n
        return variance + (abs(float(unadjusted.mean[PART] - sums.mean[PART])) + bound) ** 2

    return min(folded[1:], key=loss)


def _by_slope(candidates: Sequence[Sums]) -> Sums:
    from scipy.special import stdtrit

    n = candidates[0].n
    student = float(stdtrit(n - 1, 1 - _ERROR)) if n > 1 else 0.0
    found = [sums.estimator.combine(sums) for sums in candidates]
    width = [student * math.sqrt(variance / n) for _, variance in found]
    accepted: list[int] = []
    for i in sorted(range(len(found)), key=lambda i: (-width[i], -i)):
        if any(abs(found[j][0] - found[i][0]) > width[i] + _GROWTH * width[j] for j in accepted):
            break
        accepted.append(i)
    return candidates[accepted[-1]]
