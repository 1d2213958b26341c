"""Bounds that hold for any n and any law that wrote the log, by a gambler's wealth: nothing is asked for but true p_log given the past.

Rewards in [0, 1], a gambler who bets a share b that w r exceeds m has, if m is the mean, a fair game: wealth prod(1 + b (w_i r_i - m)) passes
2 / (1 - level) with chance (1 - level) / 2 at most, ever. What m makes the mean wealth over 18 shares b pass it is ruled out; from above
the same with w (1 - r) and 1 - m. Importance weights need no upper bound.

**Source** Waudby-Smith and Ramdas 2024, "Estimating means of bounded random variables by betting"; Waudby-Smith, Wu, Ramdas, Karampatziakis,
Mineiro 2022, "Anytime-valid off-policy inference for contextual bandits" (one-sided, w unbounded); Orabona and Jun 2024 (mixture over shares).
"""

from __future__ import annotations

import math

import numpy as np

from nba_engine.replay.importance import Float
from nba_engine.replay.sums import Atoms

_BETS = 0.99 * 0.6 ** np.arange(18)
"""Stakes, 0.99 to 0.0002: the best one for n rows is near sqrt(14 / n) / their deviation."""


def betting_bounds(atoms: Atoms, level: float) -> tuple[float, float]:
    """Bounds of a target's value from the distinct w, with rows and rewards in [0, 1] of each.

    A reward r within (0, 1) counts as r rows of 1 and 1 - r rows of 0: wealth is concave in r, so that the gambler has less and nothing more is
    ruled out. **Cost** O(18 d) per step of a root search, d the distinct w.
    """
    return above(atoms.importance_weight, atoms.reward, atoms.n, level), 1 - above(atoms.importance_weight, atoms.n - atoms.reward, atoms.n, level)


def contradicted(w: Float, n: Float, level: float) -> bool:
    """Whether a gambler on the importance weights alone, of each w `n` rows, rules out that they average 1, as those of true p_log do: they are too
    large, and what is won by them says nothing of rewards."""
    return above(w, n, n, level) >= 1.0


def ruled_out(gain: Float, level: float) -> float:
    """The largest mean in [0, 1] that rows which gained so much, at least 0 each, rule out from below."""
    distinct, times = np.unique(gain, return_counts=True)
    n = times.astype(np.float64)
    return above(distinct, n, n, level)


def above(w: Float, won: Float, n: Float, level: float) -> float:
    """The largest mean in [0, 1] that is ruled out from below: of each w, `won` of `n` rows gained w, the others nothing."""
    from scipy.optimize import brentq
    from scipy.special import logsumexp

    wanted, lost = math.log(2 / (1 - level)), float((n - won).sum())

    def over(mean: float) -> float:
        wealth = [float((won * np.log1p(bet * (w - mean))).sum()) + lost * math.log1p(-bet * mean) for bet in _BETS]
        return float(logsumexp(wealth)) - math.log(len(_BETS)) - wanted

    if over(0.0) <= 0:
        return 0.0
    if over(1.0) >= 0:
        return 1.0
    return max(0.0, float(brentq(over, 0.0, 1.0, xtol=1e-9)) - 1e-9)
