"""Off-policy estimators as sums that merge: fold a chunk, merge the sums (sums.py), finish.

With w = p_target / p_log, w' = a function of w, q the model's reward of the logged action and v what it expects under the target, nearly
every estimator is A + B (or, self-normalised, A + B / C) over three means:

    A = mean(v), or 0 without a model        B = mean(w' (r - q)), or mean(w' r)        C = mean(w)

so that three means, their co-moments and three facts about w are all that a log of any length leaves behind. cressie_read keeps five means,
maximum_likelihood the distinct w (likelihood.py).
docs/maths/ope.md says where each comes from and where it loses.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from nba_engine.errors import ReplayError
from nba_engine.replay.adaptive import FIRST_BLOCK, Blocks, fold_in_time, stabilised
from nba_engine.replay.betting import betting_bounds, contradicted
from nba_engine.replay.importance import Float, Rows, check_rows
from nba_engine.replay.likelihood import cressie_read, maximum_likelihood
from nba_engine.replay.sums import IMPORTANCE_WEIGHT, SQUARE, Atoms, Estimator, Sums, as_it_is, atoms_of, by_delta, fold, merge, nothing
from nba_engine.replay.verdict import Evidence, Thresholds, Verdict, judge, mean_is_off

NORMAL_975 = 1.959963984540054
"""The standard normal's 97.5 % point: a two-sided 95 % interval."""
EVENED_OUT = (
    "the log's writer learned meanwhile: rows count the less the larger the importance weights before them, "
    f"and the first {FIRST_BLOCK} rows only set the scale"
)
BY_BETTING = "too little of the log resembles the target for a normal interval: this one is by betting, and holds for rewards in [0, 1] at any size"
CONTRADICTED = (
    "the importance weights are larger than true ones can be, so p_log is not what was drawn from, and no interval is sure to hold: this one is "
    "that of a normal limit, right where p_log is off by one factor and the value is self-normalised"
)
WEIGHTY_MIN = 2.0
"""Under so many rows of the largest importance weight one row makes up over half of what the variance is read from, and its reward decides on it."""
LIMIT_TRUSTED = "the interval of a log whose writer learned holds in the limit; rewards outside [0, 1] allow no other"


def _clipped(w: Float, largest: float) -> Float:
    return np.minimum(w, largest)


def _switched(w: Float, threshold: float) -> Float:
    return np.where(w <= threshold, w, 0.0)


def _shrunk(w: Float, shrinkage: float) -> Float:
    if shrinkage == math.inf:
        return w
    return shrinkage * w / (w * w + shrinkage) if shrinkage > 0 else np.zeros_like(w)


def _smoothed(w: Float, smoothing: float) -> Float:
    return w / (1 - smoothing + smoothing * w)


def _mean(sums: Sums) -> tuple[float, float]:
    base, part, _ = sums.mean.tolist()
    return base + part, by_delta(sums, [1.0, 1.0, 0.0])


def _ratio(sums: Sums) -> tuple[float, float]:
    base, part, mean_weight = sums.mean[:SQUARE].tolist()
    if mean_weight <= 0:
        return math.nan, math.inf
    return base + part / mean_weight, by_delta(sums, [1.0, 1 / mean_weight, -part / mean_weight**2])


ESTIMATORS: Mapping[str, Estimator] = {
    estimator.name: estimator
    for estimator in (
        Estimator("ips", _mean, as_it_is),
        Estimator("clipped_ips", _mean, _clipped, parameter="max_importance_weight"),
        Estimator("snips", _ratio, as_it_is, fourths=True),
        Estimator("dm", _mean, nothing, model=True),
        Estimator("dr", _mean, as_it_is, model=True),
        Estimator("clipped_dr", _mean, _clipped, model=True, parameter="max_importance_weight"),
        Estimator("sndr", _ratio, as_it_is, model=True),
        Estimator("switch_dr", _mean, _switched, model=True, parameter="threshold"),
        Estimator("dr_os", _mean, _shrunk, model=True, parameter="shrinkage"),
        Estimator("sg_ips", _mean, _smoothed, parameter="smoothing", limits=(0.0, 1.0)),
        Estimator("sg_dr", _mean, _smoothed, model=True, parameter="smoothing", limits=(0.0, 1.0)),
        Estimator("cressie_read", cressie_read, as_it_is, squares=True),
        Estimator("maximum_likelihood", maximum_likelihood, as_it_is, atoms=True),
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


def finish(sums: Sums, thresholds: Thresholds | None = None) -> Estimate:
    """Sums to an estimate with its standard error (delta method where it is not a plain mean), interval and verdict."""
    return _concluded(sums, sums.estimator.combine(sums), NORMAL_975, thresholds)


def finish_in_time(blocks: Blocks, atoms: Atoms | None, thresholds: Thresholds | None = None) -> Estimate:
    """Blocks of a log whose writer learned, to an estimate: value and standard error with rows evened out (adaptive.py).

    The interval is Student's, but by betting (betting.py; stretched to hold the value) where no limit can be trusted: where the verdict is refused,
    where one row decides on the variance, and where the importance weights average so far from 1 that rows with a large one must be missing
    (docs/decisions/0020-adaptive-intervals.md). But not where weights so large contradict p_log: bets on rewards would win by them alone. `atoms` are
    those of the whole log; None where rewards leave [0, 1].
    """
    from scipy.special import stdtrit

    whole, evened, n_weighty, freedom = stabilised(blocks)
    found = _concluded(whole, evened.estimator.combine(evened), float(stdtrit(freedom, 0.975)), thresholds)
    error = math.sqrt(float(whole.comoment[IMPORTANCE_WEIGHT, IMPORTANCE_WEIGHT]) / max(whole.n - 1, 1) / whole.n)
    trusted = found.verdict != "refused" and n_weighty >= WEIGHTY_MIN and not mean_is_off(float(whole.mean[IMPORTANCE_WEIGHT]), error)
    if trusted or math.isnan(found.value):
        return replace(found, warnings=(*found.warnings, EVENED_OUT))
    if atoms is None:
        return replace(found, warnings=(*found.warnings, EVENED_OUT, LIMIT_TRUSTED))
    if contradicted(atoms.importance_weight, atoms.n, 0.95):
        return replace(found, warnings=(*found.warnings, EVENED_OUT, CONTRADICTED))
    low, high = betting_bounds(atoms, 0.95)
    bounds = min(low, found.value), max(high, found.value)
    return replace(found, interval=bounds, warnings=(*found.warnings, EVENED_OUT, BY_BETTING))


def _concluded(sums: Sums, found: tuple[float, float], quantile: float, thresholds: Thresholds | None) -> Estimate:
    value, variance = found
    return conclude(
        sums.estimator.name,
        value,
        variance,
        n=sums.n,
        mean_weight=float(sums.mean[IMPORTANCE_WEIGHT]),
        weight_comoment=float(sums.comoment[IMPORTANCE_WEIGHT, IMPORTANCE_WEIGHT]),
        square_weight=sums.square_importance_weight,
        largest_weight=sums.max_importance_weight,
        unsupported=None if sums.unsupported is None else sums.unsupported / sums.n,
        quantile=quantile,
        thresholds=thresholds,
    )


def conclude(
    name: str,
    value: float,
    variance: float,
    *,
    n: int,
    mean_weight: float,
    weight_comoment: float,
    square_weight: float,
    largest_weight: float,
    unsupported: float | None = None,
    quantile: float = NORMAL_975,
    thresholds: Thresholds | None = None,
) -> Estimate:
    """The estimate of a value, given the variance of one row's influence on it and the facts about the w of n rows."""
    known = n > 1 and not math.isnan(value)
    std_error = math.sqrt(variance / n) if known else math.inf
    half = quantile * std_error
    ess = (n * mean_weight) ** 2 / square_weight if square_weight > 0 else 0.0
    evidence = Evidence(
        n=n,
        ess=ess,
        single_share=largest_weight / (n * mean_weight) if mean_weight > 0 else 0.0,
        mean_importance_weight=mean_weight,
        mean_importance_weight_error=math.sqrt(weight_comoment / (n - 1) / n) if n > 1 else math.inf,
        unsupported=unsupported,
        std_error=std_error,
    )
    verdict, warnings = judge(evidence, thresholds or Thresholds())
    interval = (value - half, value + half) if known else (-math.inf, math.inf)
    return Estimate(name, value, std_error, interval, n, ess, largest_weight, verdict, warnings)


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
    need = f"a number, at least {low:g}" + (f" and under {high:g}" if high < math.inf else "")
    if estimator.parameter not in given:
        raise ReplayError(f"{name} needs {estimator.parameter}, {need}")
    parameter = float(given[estimator.parameter])
    if not low <= parameter < high and not parameter == high == math.inf:
        raise ReplayError(f"{estimator.parameter} is {parameter}; {name} needs {need}")
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
    adaptive: bool = False,
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
        A reward model's word on the logged action, and its expectation under the target; dm needs the second, every name with dr both.
    unsupported : float64[n] in [0, 1], optional
        The target's mass on what the log could not choose (`importance.unsupported_mass`); without it support cannot be checked.
    adaptive
        Whether the log's writer learned from earlier rows (an engine does): the plain interval may then fail, and rows, in the order of time, are
        evened out instead (`finish_in_time`). A reward model must then know earlier rows only. Not for maximum_likelihood.
    thresholds
        When to refuse; `Thresholds()` by default.
    max_importance_weight, threshold, shrinkage, smoothing
        The parameter of clipped_ips and clipped_dr, of switch_dr, of dr_os, and of sg_ips and sg_dr.

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
    return estimate_rows(estimator, rows, parameter, adaptive, thresholds)


def estimate_rows(estimator: Estimator, rows: Rows, parameter: float, adaptive: bool, thresholds: Thresholds | None) -> Estimate:
    """`estimate` of a whole log that has been checked."""
    if not adaptive:
        return finish(fold(estimator, rows, parameter), thresholds)
    bounded = 0 <= rows.reward.min() <= rows.reward.max() <= 1
    return finish_in_time(fold_in_time(estimator, rows, 0, parameter), atoms_of(rows) if bounded else None, thresholds)
