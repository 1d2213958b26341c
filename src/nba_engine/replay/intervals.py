"""Intervals besides the normal one of `Estimate`: by drawing subjects anew, for bounded rows, and valid at every moment of a log still growing."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from nba_engine.errors import ReplayError
from nba_engine.replay.betting import ruled_out
from nba_engine.replay.estimators import ESTIMATORS, choose_estimator
from nba_engine.replay.importance import Float, Rows, check_rows
from nba_engine.replay.sums import BASE, IMPORTANCE_WEIGHT, PART, Estimator, Sums, columns_of, joint

Ints = npt.NDArray[np.int64]

N_DRAWS = 1_000
"""Draws of a bootstrap: its 2.5 % points are then known to a tenth of a standard error."""


def bootstrap_interval(
    name: str,
    *,
    subject: Any,
    reward: Any,
    p_log: Any,
    p_target: Any,
    q_logged: Any = None,
    q_target: Any = None,
    parameter: float | None = None,
    level: float = 0.95,
    n_draws: int = N_DRAWS,
    seed: int = 0,
) -> tuple[float, float]:
    """The percentile interval over draws of whole subjects, whose rows may resemble each other.

    Parameters
    ----------
    name : one of `ESTIMATORS`; maximum_likelihood has no sums of fixed size to draw from and is refused.
    subject : [n], anything that numpy can sort; rows of one subject are drawn or left out together.
    parameter : where the estimator has one.
    level, n_draws, seed : coverage in (0, 1), draws, and what they follow from.

    Notes
    -----
    **Source** Efron 1979; by clusters, Field and Welsh 2007. **Cost** O(n log n) once, then O(n_subjects) per draw.
    """
    estimator, checked = _checked_estimator(name, parameter)
    _check_level(level)
    rows = check_rows(reward=reward, p_log=p_log, p_target=p_target, q_logged=q_logged, q_target=q_target)
    distinct, place = np.unique(np.asarray(subject), return_inverse=True)
    if len(place) != len(rows.reward):
        raise ReplayError(f"subject names {len(distinct)} subjects in {len(place)} rows of {len(rows.reward)}; give one per row")
    values = draw_subjects([(estimator, checked)], rows, place, n_draws, seed)[0]
    low, high = np.nanquantile(values, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def draw_subjects(estimators: Sequence[tuple[Estimator, float]], rows: Rows, subject: Ints, n_draws: int = N_DRAWS, seed: int = 0) -> Float:
    """What each estimator says of each draw of whole subjects, float64[n_estimators, n_draws]; `subject` int64[n] numbers them from 0.

    **Cost** O(n + n_draws x n_subjects), memory for each subject's sums.
    """
    for estimator, _ in estimators:
        if estimator.atoms:
            raise ReplayError(f"{estimator.name} keeps no sums of fixed size to draw subjects from; take cressie_read, its near equal")
    wanted = joint(estimators)
    columns, n_subjects = columns_of(wanted, rows), 1 + int(subject.max())
    if n_subjects < 2:
        raise ReplayError("all rows are of one subject; drawing whole subjects needs two at least")
    by_subject = np.stack([np.bincount(subject, column, n_subjects) for column in (*columns, np.ones(len(subject)))])
    random, values = np.random.default_rng(seed), np.empty((len(wanted.places), n_draws))
    for draw in range(n_draws):
        drawn = np.bincount(random.integers(0, n_subjects, n_subjects), minlength=n_subjects)
        totals = np.einsum("ks,s->k", by_subject, drawn)
        mean, n = totals[:-1] / totals[-1], int(totals[-1])
        values[:, draw] = [_value(*one, mean[list(places)], n) for one, places in zip(estimators, wanted.places, strict=True)]
    return values


def bernstein_interval(
    name: str,
    *,
    bounds: tuple[float, float],
    reward: Any,
    p_log: Any,
    p_target: Any,
    q_logged: Any = None,
    q_target: Any = None,
    parameter: float | None = None,
    level: float = 0.95,
) -> tuple[float, float]:
    """The empirical Bernstein interval: holds for every n, of independent rows whose terms lie within bounds known beforehand.

    Parameters
    ----------
    name : an estimator that is a plain mean over rows.
    bounds : what one row's term (w r, or v + w (r - q)) can be at all: for ips with rewards in [0, 1], 0 and the largest w that the log's
        probabilities allow. The largest w seen is no such bound.
    parameter : where the estimator has one.
    level : coverage in (0, 1).

    Raises
    ------
    ReplayError : a self-normalised or likelihood estimator, a row outside the bounds, columns that do not fit.

    Notes
    -----
    With L = log(4 / (1 - level)) and V the sample variance: value +- (sqrt(2 V L / n) + 7 L (high - low) / (3 (n - 1))).
    **Source** Maurer and Pontil 2009, "Empirical Bernstein bounds and sample variance penalization", theorem 4, on both sides. **Cost** O(n).
    """
    estimator, checked = _checked_estimator(name, parameter)
    if estimator.combine is not ESTIMATORS["ips"].combine:
        raise ReplayError(f"{name} is no plain mean over rows; take ips, dr or one of their clipped forms")
    _check_level(level)
    rows = check_rows(reward=reward, p_log=p_log, p_target=p_target, q_logged=q_logged, q_target=q_target)
    columns = columns_of(joint([(estimator, checked)]), rows)
    terms, (low, high) = columns[BASE] + columns[PART], bounds
    if not low <= terms.min() <= terms.max() <= high:
        raise ReplayError(f"rows' terms reach from {terms.min():g} to {terms.max():g}, outside bounds {low:g} to {high:g}; give what can be at all")
    n, confidence = len(terms), math.log(4 / (1 - level))
    if n < 2:
        return low, high
    half = math.sqrt(2 * float(terms.var(ddof=1)) * confidence / n) + 7 * confidence * (high - low) / (3 * (n - 1))
    value = float(terms.mean())
    return value - half, value + half


class Bounds(NamedTuple):
    """After the first `n` rows the value lay between `low` and `high`: int64[k], float64[k], float64[k]; all k hold together."""

    n: Any
    low: Float
    high: Float


def confidence_sequence(
    *, reward: Any, p_log: Any, p_target: Any, reward_bounds: tuple[float, float] = (0.0, 1.0), at: Sequence[int] | None = None, level: float = 0.95
) -> Bounds:
    """Bounds of a target's value that hold at all moments at once: look as often as you like, stop when you like.

    Parameters
    ----------
    reward, p_log, p_target : float64[n], in the order of time; as `estimate` takes them. p_log may have depended on all that came before (an
        engine that learns), and importance weights need no upper bound.
    reward_bounds : the least and the largest reward that can be.
    at : ascending numbers of rows after which to look; by default the powers of two and n.
    level : coverage of the whole sequence, in (0, 1).

    Returns
    -------
    Bounds; each look keeps what earlier ones have ruled out. It takes for granted that the target may choose only what the log could, and that p_log
    is what was drawn from: where `low` passes `high`, it was not.

    Raises
    ------
    ReplayError : a reward outside its bounds, looks that do not ascend within 1 to n, columns that do not fit.

    Notes
    -----
    The law and its sources: `betting.py`; rewards are scaled to [0, 1].
    **Cost** O(18 d) per step of a root search, d the distinct w r.

    Examples
    --------
    >>> found = confidence_sequence(reward=[1, 0] * 500, p_log=[0.5] * 1000, p_target=[0.5] * 1000, at=[100, 1000])
    >>> found.low.round(2).tolist(), found.high.round(2).tolist()
    ([0.33, 0.44], [0.67, 0.56])
    """
    _check_level(level)
    rows = check_rows(reward=reward, p_log=p_log, p_target=p_target)
    least, most = reward_bounds
    if not least <= rows.reward.min() <= rows.reward.max() <= most or least == most:
        raise ReplayError(f"rewards reach from {rows.reward.min():g} to {rows.reward.max():g}, outside reward_bounds {least:g} to {most:g}")
    n = len(rows.reward)
    looks = np.unique([*(2**k for k in range(n.bit_length())), n]) if at is None else np.asarray(at, dtype=np.int64)
    if not len(looks) or looks[0] < 1 or looks[-1] > n or (np.diff(looks) <= 0).any():
        raise ReplayError(f"at is {at}; give ascending numbers of rows from 1 to {n}")
    scaled, w = (rows.reward - least) / (most - least), rows.importance_weight
    low = np.maximum.accumulate([ruled_out(w[:look] * scaled[:look], level) for look in looks])
    high = 1 - np.maximum.accumulate([ruled_out(w[:look] * (1 - scaled[:look]), level) for look in looks])
    return Bounds(looks, least + (most - least) * low, least + (most - least) * high)


def _checked_estimator(name: str, parameter: float | None) -> tuple[Estimator, float]:
    known = ESTIMATORS.get(name)
    return choose_estimator(name, {} if known is None or known.parameter is None else {known.parameter: parameter})


def _check_level(level: float) -> None:
    if not 0 < level < 1:
        raise ReplayError(f"level is {level}; give a coverage between 0 and 1, such as 0.95")


def _value(estimator: Estimator, parameter: float, mean: Float, n: int) -> float:
    size = len(mean)
    return estimator.combine(Sums(n, mean, np.zeros((size, size)), 0.0, float(mean[IMPORTANCE_WEIGHT]), None, estimator, parameter))[0]
