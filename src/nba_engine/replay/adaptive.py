"""Logs of an engine that learned while it wrote them: sums block by block in time, and a reading of them whose interval still holds.

The terms w r and v + w (r - q) of such a log have the right mean given their past, but variances that move with what was learned, and then
the plain mean of n of them need not be normal however large n is. So blocks of rows count the less the larger the importance weights were
before them: that evens the variances out, and what is left is a martingale that is normal in the limit. Each block leaves the same sums as any
chunk, so that shards merge in any order; only the reading of the sums follows the order of time.

**Source** Hadad, Hirshberg, Zhan, Wager, Athey 2021, "Confidence intervals for policy evaluation in adaptive experiments" (eq. 5 and 9); Zhan, Hadad,
Hirshberg, Athey 2021, "Off-policy evaluation via adaptive weighting with data from contextual bandits" (StableVar); Bibaut, Dimakopoulou, Kallus,
Chambaz, van der Laan 2021, "Post-contextual-bandit inference". Degrees of freedom: F. Satterthwaite, "An approximate distribution of estimates of
variance components", Biometrics Bulletin 2, 1946.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from nba_engine.errors import ReplayError
from nba_engine.replay.importance import Rows
from nba_engine.replay.sums import IMPORTANCE_WEIGHT, PART, SQUARE, SQUARE_SQUARE, Estimator, Sums, fold, merge

if TYPE_CHECKING:
    from nba_engine.replay.importance import Float

Blocks = Mapping[int, Sums]
"""Sums by number of the block of rows, in the order of time."""

FIRST_BLOCK = 50
"""Rows of block 0, which only sets the scale: the law had hardly learned, and nothing before it says how much it should count."""
_GROWTH = 1.2
"""Each block ends at so many times the rows where it began: a block's share of all rows before it stays a fifth."""
_LEFT_MIN = 1e-7
"""The least that may be left of sums of squares that cancel: of fourth powers, which cancel twice, two digits are then right."""
_BEYOND = np.errstate(over="ignore", invalid="ignore")
"""Fourth powers of rewards may be no numbers any more; the degrees of freedom are then told without them."""
_PRIOR_ROWS = 20
"""Rows of importance weight 1 that stand for what is known before any row."""


def block_start(block: int) -> int:
    """The first row of a block, counted from the log's first row."""
    return 0 if block == 0 else math.ceil(FIRST_BLOCK * _GROWTH ** (block - 1))


def blocks_of(first_row: int, n: int) -> Iterator[tuple[int, int, int]]:
    """(block, first row, row behind its last) for rows `first_row` to `first_row + n`, cut where blocks end."""
    block = 0 if first_row < FIRST_BLOCK else 1 + math.floor(math.log(first_row / FIRST_BLOCK) / math.log(_GROWTH))
    while block_start(block) > first_row:
        block -= 1
    row, end = first_row, first_row + n
    while row < end:
        until = min(block_start(block + 1), end)
        if until > row:
            yield block, row, until
        row, block = max(row, until), block + 1


@_BEYOND
def fold_in_time(estimator: Estimator, rows: Rows, first_row: int, parameter: float = math.nan) -> Blocks:
    """Sum up one chunk, block by block; `first_row` is its first row's place in the whole log, in the order of time."""
    if estimator.atoms:
        raise ReplayError(f"{estimator.name} has no form for logs of a learner; take cressie_read, its near equal, or snips")
    parts = blocks_of(first_row, len(rows.reward))
    return {block: fold(estimator, rows.between(a - first_row, b - first_row), parameter, fourths=True) for block, a, b in parts}


@_BEYOND
def merge_in_time(a: Blocks, b: Blocks) -> Blocks:
    """The sums of both chunks together, whichever came first."""
    return {block: merge(a[block], b[block]) if block in a and block in b else (a[block] if block in a else b[block]) for block in {*a, *b}}


@_BEYOND
def stabilised(blocks: Blocks) -> tuple[Sums, Sums, float, float]:
    """What all blocks say: merged as they are; evened out, as sums that an estimator reads like any other; how many rows of the largest importance
    weight would weigh as much as all do; degrees of freedom of the interval.

    Block k counts h_k = (mean w^2 of all rows before it)^-1/2 a row, block 0 not at all (unless there is no other). Means are those of rows that
    count so, and co-moments are such that the delta method gives sum (h u)^2 / (sum h)^2 for the influence u of a row, taken about the
    mean over all blocks. By sum (h w)^2 / max (h w)^2 rows, at least 1, the variance is known; where the value is self-normalised, so that what a
    missing row of large w would have earned does not matter, by sum(u^2)^2 / sum(u^4) of its rows' own influences u = h w (r - value).
    """
    order = sorted(blocks)
    if order != list(range(len(order))):
        raise ReplayError(f"blocks {order} are here, not all from the log's first row on; fold every chunk with its first row's place in the log")
    whole = blocks[0]
    counts: list[tuple[float, Sums]] = [] if len(order) > 1 else [(1.0, whole)]
    for block in order[1:]:
        mean_square = (_PRIOR_ROWS + whole.square_importance_weight) / (_PRIOR_ROWS + whole.n)
        counts.append((mean_square**-0.5, blocks[block]))
        whole = merge(whole, blocks[block])
    total = sum(h * sums.n for h, sums in counts)
    mean: Float = sum((h * sums.n / total * sums.mean for h, sums in counts), np.zeros_like(whole.mean))
    comoment = np.zeros_like(whole.comoment)
    for h, sums in counts:
        apart = sums.mean - mean
        comoment += h * h * (sums.comoment + sums.n * np.outer(apart, apart))
    squares = sum(h * h * sums.square_importance_weight for h, sums in counts)
    largest = max((h * sums.max_importance_weight) ** 2 for h, sums in counts)
    n_weighty = max(squares / largest, 1.0) if largest > 0 else 1.0
    known = whole.estimator.fourths and mean[IMPORTANCE_WEIGHT] > 0
    freedom = (_freedom(counts, float(mean[PART] / mean[IMPORTANCE_WEIGHT])) if known else None) or n_weighty
    return whole, replace(whole, mean=mean, comoment=comoment * (whole.n / total * (whole.n - 1) / total)), n_weighty, freedom


def _freedom(counts: list[tuple[float, Sums]], value: float) -> float | None:
    """Satterthwaite's degrees of freedom of sum(u^2), u = h w (r - value): its square over sum(u^4), at least 1; None where the digits of sums do not
    say it, as where rewards are all alike."""
    own = slice(SQUARE, SQUARE_SQUARE + 1)
    g = np.array([value * value, -2.0 * value, 1.0])  # u^2 / h^2 in terms of w^2, w^2 r and w^2 r^2
    second = fourth = apart = 0.0
    for h, sums in counts:
        mean = float(g @ sums.mean[own])
        second += h**2 * sums.n * mean
        apart += h**2 * sums.n * float(np.abs(g) @ np.abs(sums.mean[own]))
        fourth += h**4 * (sums.n * mean * mean + float(g @ sums.comoment[own, own] @ g))
    told = fourth > 0 and second > apart * _LEFT_MIN
    return max(second * second / fourth, 1.0) if told and math.isfinite(second * second / fourth) else None
