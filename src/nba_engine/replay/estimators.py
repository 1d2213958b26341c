"""Off-policy estimators as sums that merge: fold a chunk, merge the sums, finish.

With w = p_target / p_log, w' = a function of w, q the model's reward of the logged action and v what it expects under the target, each
estimator is A + B (or, self-normalised, A + B / C) over three means:

    A = mean(v), or 0 without a model        B = mean(w' (r - q)), or mean(w' r)        C = mean(w)

so that three means, their co-moments and three facts about w are all that a log of any length leaves behind.
docs/maths/ope.md says where each comes from and where it loses.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from nba_engine.errors import ReplayError
from nba_engine.replay.importance import Float, Rows, check_rows
from nba_engine.replay.verdict import Evidence, Thresholds, Verdict, judge

NORMAL_975 = 1.959963984540054
"""The standard normal's 97.5 % point: a two-sided 95 % interval."""


@dataclass(frozen=True, slots=True)
class Estimator:
    """One way to estimate. `adjust(w, parameter)` gives w'; `limits` hold the parameter: at least the first, under the second."""

    name: str
    adjust: Callable[[Float, float], Float]
    model: bool = False
    self_normalised: bool = False
    parameter: str | None = None
    limits: tuple[float, float] = (0.0, math.inf)


def _as_it_is(w: Float, _: float) -> Float:
    return w


def _none(w: Float, _: float) -> Float:
    return np.zeros_like(w)


def _clipped(w: Float, largest: float) -> Float:
    return np.minimum(w, largest)


def _switched(w: Float, threshold: float) -> Float:
    return np.where(w <= threshold, w, 0.0)


def _shrunk(w: Float, shrinkage: float) -> Float:
    return shrinkage * w / (w * w + shrinkage) if shrinkage > 0 else np.zeros_like(w)


def _smoothed(w: Float, smoothing: float) -> Float:
    return w / (1 - smoothing + smoothing * w)


ESTIMATORS: Mapping[str, Estimator] = {
    estimator.name: estimator
    for estimator in (
        Estimator("ips", _as_it_is),
        Estimator("clipped_ips", _clipped, parameter="max_importance_weight"),
        Estimator("snips", _as_it_is, self_normalised=True),
        Estimator("dm", _none, model=True),
        Estimator("dr", _as_it_is, model=True),
        Estimator("sndr", _as_it_is, model=True, self_normalised=True),
        Estimator("switch_dr", _switched, model=True, parameter="threshold"),
        Estimator("dr_os", _shrunk, model=True, parameter="shrinkage"),
        Estimator("sg_ips", _smoothed, parameter="smoothing", limits=(0.0, 1.0)),
        Estimator("sg_dr", _smoothed, model=True, parameter="smoothing", limits=(0.0, 1.0)),
    )
}


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a target would earn per decision, and how far to trust it.

    `interval` holds 95 %; `ess` is (sum w)^2 / sum w^2 and `max_importance_weight` the largest w, both before any clipping;
    `warnings` say why the verdict is what it is. A refused value is a number all the same: do not act on it.
    """

    estimator: str
    value: float
    std_error: float
    interval: tuple[float, float]
    n: int
    ess: float
    max_importance_weight: float
    verdict: Verdict
    warnings: tuple[str, ...]

    def __str__(self) -> str:
        if self.verdict == "refused":
            return f"refused: {self.warnings[0]}"
        low, high = self.interval
        return f"{self.value:.6g} [{low:.6g}, {high:.6g}], effective sample size {self.ess:.0f} of {self.n}: {self.verdict}"


@dataclass(frozen=True, slots=True)
class Sums:
    """What a log leaves behind: the means (A, B, C), their centred co-moments float64[3, 3], and the facts about w."""

    estimator: Estimator
    parameter: float
    n: int
    mean: Float
    comoment: Float
    square_importance_weight: float
    max_importance_weight: float
    unsupported: float | None


def fold(estimator: Estimator, rows: Rows, parameter: float = math.nan) -> Sums:
    """Sum up one chunk. **Cost** O(n), under 100 ns a row (benchmarks/bench_estimators.py)."""
    columns = np.zeros((3, len(rows.reward)))
    columns[2] = w = rows.importance_weight
    adjusted = estimator.adjust(w, parameter)
    if estimator.model:
        q_logged = rows.reward if estimator.adjust is _none else rows.q_logged  # dm never looks at what was logged
        if rows.q_target is None or q_logged is None:
            raise ReplayError(f"{estimator.name} needs a reward model: give q_logged (of the logged action) and q_target (expected under the target)")
        columns[0] = rows.q_target
        columns[1] = adjusted * (rows.reward - q_logged)
    else:
        columns[1] = adjusted * rows.reward
    mean = columns.mean(axis=1)
    columns -= mean[:, None]
    return Sums(
        estimator=estimator,
        parameter=parameter,
        n=len(w),
        mean=mean,
        # einsum and not `@`: BLAS would wake its threads for so little, which on a busy machine takes 20 times as long.
        comoment=np.einsum("in,jn->ij", columns, columns),
        square_importance_weight=float(np.einsum("n,n->", w, w)),
        max_importance_weight=float(w.max()),
        unsupported=None if rows.unsupported is None else float(rows.unsupported.sum()),
    )


def merge(a: Sums, b: Sums) -> Sums:
    """The sums of both chunks together, whatever their sizes.

    **Source** Chan, Golub, LeVeque 1979, "Updating formulae and a pairwise algorithm for computing sample variances", eq. 2.1.
    """
    if (a.estimator, repr(a.parameter)) != (b.estimator, repr(b.parameter)):
        raise ReplayError(f"sums of {a.estimator.name} and {b.estimator.name} (or of different parameters) cannot be merged")
    n = a.n + b.n
    apart = b.mean - a.mean
    return Sums(
        estimator=a.estimator,
        parameter=a.parameter,
        n=n,
        mean=a.mean + apart * (b.n / n),
        comoment=a.comoment + b.comoment + np.outer(apart, apart) * (a.n / n * b.n),
        square_importance_weight=a.square_importance_weight + b.square_importance_weight,
        max_importance_weight=max(a.max_importance_weight, b.max_importance_weight),
        unsupported=None if a.unsupported is None or b.unsupported is None else a.unsupported + b.unsupported,
    )


def finish(sums: Sums, thresholds: Thresholds | None = None) -> Estimate:
    """Sums to an estimate with its standard error (delta method where self-normalised), interval and verdict."""
    n = sums.n
    base, part, mean_weight = (float(mean) for mean in sums.mean)
    if not sums.estimator.self_normalised:
        value, gradient = base + part, np.array([1.0, 1.0, 0.0])
    elif mean_weight > 0:
        value, gradient = base + part / mean_weight, np.array([1.0, 1 / mean_weight, -part / mean_weight**2])
    else:
        value, gradient = math.nan, np.zeros(3)
    known = n > 1 and not math.isnan(value)
    std_error = math.sqrt(max(float(gradient @ sums.comoment @ gradient), 0.0) / (n - 1) / n) if known else math.inf
    half = NORMAL_975 * std_error
    ess = (n * mean_weight) ** 2 / sums.square_importance_weight if sums.square_importance_weight > 0 else 0.0
    evidence = Evidence(
        n=n,
        ess=ess,
        single_share=sums.max_importance_weight / (n * mean_weight) if mean_weight > 0 else 0.0,
        mean_importance_weight=mean_weight,
        mean_importance_weight_error=math.sqrt(float(sums.comoment[2, 2]) / (n - 1) / n) if n > 1 else math.inf,
        unsupported=None if sums.unsupported is None else sums.unsupported / n,
        std_error=std_error,
    )
    verdict, warnings = judge(evidence, thresholds or Thresholds())
    interval = (value - half, value + half) if known else (-math.inf, math.inf)
    return Estimate(sums.estimator.name, value, std_error, interval, n, ess, sums.max_importance_weight, verdict, warnings)


def choose_estimator(name: str, options: Mapping[str, float | None]) -> tuple[Estimator, float]:
    """The estimator of that name and its checked parameter (NaN where it has none)."""
    estimator = ESTIMATORS.get(name)
    if estimator is None:
        raise ReplayError(f"there is no estimator {name!r}; choose one of {', '.join(ESTIMATORS)}")
    given = {option: number for option, number in options.items() if number is not None}
    odd = [option for option in given if option != estimator.parameter]
    if odd:
        raise ReplayError(f"{name} takes no {odd[0]}" + (f"; its parameter is {estimator.parameter}" if estimator.parameter else ""))
    if estimator.parameter is None:
        return estimator, math.nan
    low, high = estimator.limits
    if estimator.parameter not in given:
        raise ReplayError(f"{name} needs {estimator.parameter}, a number from {low:g} to under {high:g}")
    parameter = float(given[estimator.parameter])
    if not low <= parameter < high:
        raise ReplayError(f"{estimator.parameter} is {parameter}; {name} needs a number from {low:g} to under {high:g}")
    return estimator, parameter


def estimate(
    name: str,
    *,
    reward: Any,
    p_log: Any,
    p_target: Any,
    q_logged: Any = None,
    q_target: Any = None,
    unsupported: Any = None,
    thresholds: Thresholds | None = None,
    max_importance_weight: float | None = None,
    threshold: float | None = None,
    shrinkage: float | None = None,
    smoothing: float | None = None,
) -> Estimate:
    """What a target would have earned per logged decision.

    Parameters
    ----------
    name
        One of `ESTIMATORS`.
    reward : float64[n]
        What each logged decision earned; 0 for what was recommended and not shown (intention to treat).
    p_log : float64[n] in (0, 1]
        Probability with which the log chose what it chose.
    p_target : float64[n] in [0, 1]
        Probability with which the target chooses the same, on the same row.
    q_logged, q_target : float64[n], optional
        A reward model's word on the logged action, and its expectation under the target; dr, sndr, switch_dr, dr_os, sg_dr need both, dm the second.
    unsupported : float64[n] in [0, 1], optional
        The target's mass on what the log could not choose (`importance.unsupported_mass`); without it support cannot be checked.
    thresholds
        When to refuse; `Thresholds()` by default.
    max_importance_weight, threshold, shrinkage, smoothing
        The parameter of clipped_ips, switch_dr, dr_os, and of sg_ips and sg_dr.

    Raises
    ------
    ReplayError
        Columns or parameters that do not fit; the text names the first row at fault.

    Examples
    --------
    >>> e = estimate("snips", reward=[1, 0, 1, 0], p_log=[0.5, 0.5, 0.25, 0.25], p_target=[0.5, 0.5, 0.5, 0.0])
    >>> e.value, e.ess, e.verdict
    (0.75, 2.6666666666666665, 'refused')
    """
    options = {"max_importance_weight": max_importance_weight, "threshold": threshold, "shrinkage": shrinkage, "smoothing": smoothing}
    estimator, parameter = choose_estimator(name, options)
    rows = check_rows(reward=reward, p_log=p_log, p_target=p_target, q_logged=q_logged, q_target=q_target, unsupported=unsupported)
    return finish(fold(estimator, rows, parameter), thresholds)
