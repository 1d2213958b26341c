"""Whole slates: what a target that places several offers at once would earn, from the probabilities with which each rank was filled.

One row is one decision with `length` ranks. A rank that stayed empty earns 0; its probability is that of staying empty. Every estimator is a sum
over ranks of mean(w_k r_k), or mean(w_k r_k) / mean(w_k), and they differ in what w_k is:

    sips                the whole slate: product of all ranks' ratios; holds whatever one rank does to another
    rips                product of the ratios down to rank k; holds where a rank is answered without regard to those below (cascade)
    iips                ratio of the marginals of rank k; holds where each rank is answered by itself
    pseudo_inverse      1 - length + sum over ranks of the marginals' ratios; holds where the slate's total is a sum over ranks
    sn_sips, sn_rips, sn_iips      self-normalised, rank by rank

**Source** McInerney, Brost, Chandar, Mehrotra, Carterette 2020, "Counterfactual evaluation of slate recommendations with sequential reward
interactions" (sips, iips, rips); Swaminathan et al. 2017, "Off-policy evaluation for slate recommendation", example 4 (pseudo_inverse).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from nba_engine.errors import ReplayError
from nba_engine.replay.betting import ruled_out
from nba_engine.replay.estimators import CONTRADICTED, Estimate, conclude
from nba_engine.replay.importance import Float, check_rows
from nba_engine.replay.sums import merge_means
from nba_engine.replay.verdict import Thresholds

SLATES_BY_BETTING = "the log's writer learned meanwhile: the interval is by betting, and holds for rewards in [0, 1] whatever was learned"
LAW_CALLS_MAX = 100_000
"""Above so many calls of a law, exact marginals are refused."""


class _Kind(NamedTuple):
    ratios: Callable[[Float], Float]
    marginal: bool = False
    self_normalised: bool = False


def _whole(ratio: Float) -> Float:
    return np.repeat(ratio.prod(axis=1, keepdims=True), ratio.shape[1], axis=1)


def _down_to(ratio: Float) -> Float:
    return np.cumprod(ratio, axis=1)


def _each(ratio: Float) -> Float:
    return ratio


def _additive(ratio: Float) -> Float:
    return np.repeat(ratio.sum(axis=1, keepdims=True) + 1 - ratio.shape[1], ratio.shape[1], axis=1)


SLATE_ESTIMATORS: Mapping[str, _Kind] = {
    "sips": _Kind(_whole),
    "iips": _Kind(_each, marginal=True),
    "rips": _Kind(_down_to),
    "sn_sips": _Kind(_whole, self_normalised=True),
    "sn_iips": _Kind(_each, marginal=True, self_normalised=True),
    "sn_rips": _Kind(_down_to, self_normalised=True),
    "pseudo_inverse": _Kind(_additive, marginal=True),
}


@dataclass(frozen=True, slots=True)
class SlateSums:
    """What a chunk of slates leaves behind: means of w_k r_k and then of w_k, float64[2 length], their co-moments, the largest w_k per rank."""

    name: str
    n: int
    mean: Float
    comoment: Float
    max_importance_weight: Float


def fold_slates(name: str, reward: Float, p_log: Float, p_target: Float) -> SlateSums:
    """Sum up one chunk; all float64[n, length], the probabilities marginal where the estimator's are. **Cost** O(n length^2)."""
    w = SLATE_ESTIMATORS[name].ratios(p_target / p_log)
    columns = np.concatenate((w * reward, w), axis=1)
    mean = columns.mean(axis=0)
    columns = columns - mean
    return SlateSums(name, len(w), mean, np.einsum("ni,nj->ij", columns, columns), w.max(axis=0))


def merge_slates(a: SlateSums, b: SlateSums) -> SlateSums:
    """The sums of both chunks together, in any order."""
    if a.name != b.name or len(a.mean) != len(b.mean):
        raise ReplayError(f"sums of {a.name} and {b.name}, of {len(a.mean) // 2} and {len(b.mean) // 2} ranks, cannot be merged")
    mean, comoment = merge_means(a.n, a.mean, a.comoment, b.n, b.mean, b.comoment)
    return SlateSums(a.name, a.n + b.n, mean, comoment, np.maximum(a.max_importance_weight, b.max_importance_weight))


def finish_slates(sums: SlateSums, thresholds: Thresholds | None = None) -> Estimate:
    """Sums to an estimate per slate. Effective sample size, weight tail and verdict are those of the rank whose effective sample size is least."""
    length, n = len(sums.mean) // 2, sums.n
    part, weight = sums.mean[:length], sums.mean[length:]
    gradient = np.zeros(2 * length)
    if not SLATE_ESTIMATORS[sums.name].self_normalised:
        value = float(part.sum())
        gradient[:length] = 1
    elif (weight > 0).all():
        value = float((part / weight).sum())
        gradient[:length], gradient[length:] = 1 / weight, -part / weight**2
    else:
        value = math.nan
    square = np.diagonal(sums.comoment)[length:] + n * weight**2
    ess = (n * weight) ** 2 / np.where(square > 0, square, np.inf)
    worst = int(np.argmin(ess))
    return conclude(
        sums.name,
        value,
        max(float(gradient @ sums.comoment @ gradient), 0.0) / max(n - 1, 1),
        n=n,
        mean_weight=float(weight[worst]),
        weight_comoment=float(sums.comoment[length + worst, length + worst]),
        square_weight=float(square[worst]),
        largest_weight=float(sums.max_importance_weight[worst]),
        thresholds=thresholds,
    )


def estimate_slates(
    name: str, *, reward: Any, p_log: Any, p_target: Any, adaptive: bool = False, thresholds: Thresholds | None = None
) -> Estimate:
    """What a target's slates would have earned, summed over their ranks, per decision.

    Parameters
    ----------
    name
        One of `SLATE_ESTIMATORS`.
    reward : float64[n, length]
        What each rank earned.
    p_log, p_target : float64[n, length] in (0, 1] and [0, 1]
        sips, rips and their self-normalised forms: with what probability each rank was filled so, given what stood before it (an offer's
        `selection_probability`). iips, sn_iips, pseudo_inverse: the marginal probability of the candidate at that rank, whatever stood before
        (`rank_marginals` computes it from a law).
    adaptive
        Whether the log's writer learned from earlier rows (an engine does). The interval is then by betting (betting.py): rewards of a rank
        must lie in [0, 1]. Not for pseudo_inverse, whose importance weights may be negative.
    thresholds
        When to refuse; `Thresholds()` by default.

    Raises
    ------
    ReplayError : an unknown name, or columns that do not fit.

    Notes
    -----
    pseudo_inverse uses the marginals of single ranks, which is exact where the log fills ranks independently of each other, and an approximation
    where no candidate may appear twice.

    Examples
    --------
    >>> e = estimate_slates("rips", reward=[[1, 0], [0, 1]], p_log=[[0.5, 0.5]] * 2, p_target=[[0.5, 0.25], [0.25, 0.5]])
    >>> e.value
    0.75
    """
    if name not in SLATE_ESTIMATORS:
        raise ReplayError(f"there is no slate estimator {name!r}; choose one of {', '.join(SLATE_ESTIMATORS)}")
    columns = _checked(reward, p_log, p_target)
    found = finish_slates(fold_slates(name, *columns), thresholds)
    return _by_betting(found, *columns) if adaptive else found


def _by_betting(found: Estimate, reward: Float, p_log: Float, p_target: Float) -> Estimate:
    """The mean over ranks of w_k r_k has the slate's mean reward a rank for its mean given the past, and that of w_k (1 - r_k) what lacks to 1."""
    if found.estimator == "pseudo_inverse":
        raise ReplayError("pseudo_inverse has no interval for logs of a learner, its importance weights may be negative; take iips, rips or sips")
    if not 0 <= reward.min() <= reward.max() <= 1:
        raise ReplayError(f"rewards of ranks reach from {reward.min():g} to {reward.max():g}; on the log of a learner intervals of slates are by "
                          "betting, which needs them within 0 and 1: divide them by the largest there can be")  # fmt: skip
    w, length = SLATE_ESTIMATORS[found.estimator].ratios(p_target / p_log), reward.shape[1]
    if ruled_out(w.mean(axis=1), 0.95) >= 1.0:
        return replace(found, warnings=(*found.warnings, CONTRADICTED))
    low = length * ruled_out((w * reward).mean(axis=1), 0.95)
    high = length * (1 - ruled_out((w * (1 - reward)).mean(axis=1), 0.95))
    bounds = float(np.fmin(low, found.value)), float(np.fmax(high, found.value))  # a value that is no number leaves them as they are
    return replace(found, interval=bounds, warnings=(*found.warnings, SLATES_BY_BETTING))


def rank_marginals(law: Callable[[tuple[int, ...]], npt.ArrayLike], n_candidates: int, length: int) -> Float:
    """P(candidate at rank k, whatever stands before it), exactly, from a law that fills rank after rank.

    Parameters
    ----------
    law
        Given the candidates already placed, ascending, the probabilities of all n_candidates for the next rank (0 for those placed); they may
        sum to less than 1 where the rank may stay empty, which ends the slate.
    n_candidates, length
        Candidates and ranks.

    Returns
    -------
    float64[length, n_candidates]; rows sum to 1 where no rank stays empty.

    Raises
    ------
    ReplayError : over `LAW_CALLS_MAX` calls.

    Notes
    -----
    **Cost**: one call of the law per set that may stand before a rank, sum over k < length of C(n_candidates, k): 466 for 3 ranks of 30.

    Examples
    --------
    >>> def softmax(placed):
    ...     weights = [0 if i in placed else one for i, one in enumerate((2, 1, 1))]
    ...     return [one / sum(weights) for one in weights]
    >>> rank_marginals(softmax, 3, 2).round(4).tolist()
    [[0.5, 0.25, 0.25], [0.3333, 0.3333, 0.3333]]
    """
    n_calls = sum(math.comb(n_candidates, k) for k in range(length))
    if n_calls > LAW_CALLS_MAX:
        raise ReplayError(
            f"exact marginals of {length} ranks over {n_candidates} candidates take {n_calls:,} calls of the law, over {LAW_CALLS_MAX:,}; "
            "take fewer ranks, or sips or rips, which need none"
        )
    marginals = np.zeros((length, n_candidates))
    p_of: dict[tuple[int, ...], float] = {(): 1.0}
    for rank in range(length):
        after: dict[tuple[int, ...], float] = {}
        for placed in combinations(range(n_candidates), rank):
            if not (p_placed := p_of.get(placed, 0.0)):
                continue
            pmf = p_placed * np.asarray(law(placed), dtype=np.float64)
            marginals[rank] += pmf
            for candidate in np.flatnonzero(pmf):
                then = tuple(sorted((*placed, int(candidate))))
                after[then] = after.get(then, 0.0) + float(pmf[candidate])
        p_of = after
    return marginals


def _checked(*columns: Any) -> tuple[Float, Float, Float]:
    reward, p_log, p_target = (np.asarray(column, dtype=np.float64) for column in columns)
    if reward.ndim != 2 or not reward.shape == p_log.shape == p_target.shape:
        raise ReplayError(
            f"reward, p_log and p_target have shapes {reward.shape}, {p_log.shape}, {p_target.shape}; give one row per slate and one column per rank"
        )
    rows = check_rows(reward=reward.ravel(), p_log=p_log.ravel(), p_target=p_target.ravel())
    return rows.reward.reshape(reward.shape), rows.p_log.reshape(reward.shape), rows.p_target.reshape(reward.shape)
