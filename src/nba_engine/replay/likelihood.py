"""Two estimators that choose how much each row counts so that the importance weights average 1, as they must: readings of `Sums`.

Both look for the distribution nearest to the log's under which E[w] = 1, allowing rows that the log may have missed with any w from 0 upwards;
what is then missing from E[w] counts with the mean reward of the log. Where the mean w lies under 1 nothing seen can mend that, and both are

    mean(w r) + (1 - mean(w)) mean(r)

**Source** Kallus and Uehara 2019, "Intrinsically efficient, stable, and bounded off-policy evaluation"; Karampatziakis, Langford, Mineiro 2020,
"Empirical likelihood for contextual bandits" (the power divergences CR(lambda), here -2 and, by likelihood, 0).
"""

from __future__ import annotations

import numpy as np

from nba_engine.errors import ReplayError
from nba_engine.replay.sums import Atoms, Sums, by_delta

_ROUNDING = 1e-12
"""Mean importance weights so close to 1 count as 1, so that the order of summation cannot decide which formula holds."""


def cressie_read(sums: Sums) -> tuple[float, float]:
    """Value and row variance under CR(-2), in closed form from five means: one pass, constant memory, any order.

    With a, b, x, y the means of w, w^2, w r, w^2 r, each with a row of w = 0 added:  ((b - a) x + (1 - a) y) / (b - a^2).
    """
    mean_reward, part, mean_weight, square, square_part = (float(mean) for mean in sums.mean)
    if mean_weight < 1 - _ROUNDING:
        return _short(sums, mean_reward, part, mean_weight)
    share = sums.n / (sums.n + 1)
    a, b, x, y = share * mean_weight, share * square, share * part, share * square_part
    below = b - a * a
    value = ((b - a) * x + (1 - a) * y) / below
    gradient = np.array([0.0, b - a, 2 * a * value - x - y, x - value, 1 - a]) * (share / below)
    return value, by_delta(sums, gradient)


def maximum_likelihood(sums: Sums) -> tuple[float, float]:
    """Value and row variance under the nonparametric likelihood: each row counts 1 / (1 + b (w - 1)), b found by bisection and secants.

    No sums of fixed size suffice for b; what is folded are the distinct w with their rows, rewards and squares. Memory and the cost of finding b
    grow with the number of distinct w (two for a fixed target on a uniform log, up to n where probabilities are continuous); merging loses nothing.
    The variance is that of the infinitesimal jackknife; it does not know of the bend where the mean w passes 1.
    """
    mean_reward, part, mean_weight = (float(mean) for mean in sums.mean[:3])
    if mean_weight < 1 - _ROUNDING:
        return _short(sums, mean_reward, part, mean_weight)
    if sums.atoms is None:
        raise ReplayError("maximum_likelihood needs the distinct importance weights; fold the rows with its own estimator")
    return _tilted(sums.atoms, sums.n, mean_reward)


def _short(sums: Sums, mean_reward: float, part: float, mean_weight: float) -> tuple[float, float]:
    gradient = np.zeros(len(sums.mean))
    gradient[:3] = 1 - mean_weight, 1.0, -mean_reward
    return part + (1 - mean_weight) * mean_reward, by_delta(sums, gradient)


def _tilted(atoms: Atoms, n: int, mean_reward: float) -> tuple[float, float]:
    from scipy.optimize import brentq

    w, over = atoms.importance_weight, atoms.importance_weight - 1

    def slope(tilt: float) -> float:
        return float((atoms.n * over / (1 + tilt * over)).sum())

    # No row may count more than once: that bounds the tilt from the smallest w; a row of w = 0 that was never seen bounds it by 1.
    most = min(1.0, (n - 1) / n / (1 - w[0])) if w[0] < 1 else 1.0
    inside = slope(most) < 0 < slope(0.0)
    tilt = float(brentq(slope, 0.0, most, xtol=1e-15)) if inside else most
    kept = 1 / (1 + tilt * over)
    missing = max(0.0, 1 - float((atoms.n * w * kept).sum()) / n)
    value = float((w * kept * atoms.reward).sum()) / n + missing * mean_reward
    if n < 2:
        return value, 0.0
    # One row's influence is slope_r * r + constant, both by its w: first at this tilt, then through what the row does to the tilt.
    level = mean_reward if missing > 0 else 0.0
    by_tilt = -float((over * w * kept**2 * (atoms.reward - level * atoms.n)).sum()) / n if inside else 0.0
    curve = float((atoms.n * (over * kept) ** 2).sum()) / n
    slope_r = w * kept + missing
    constant = over * kept * (by_tilt / curve if inside else 0.0) - level * w * kept
    total = float((slope_r * atoms.reward + constant * atoms.n).sum()) / n
    constant = constant - total
    squares = slope_r**2 * atoms.square_reward + 2 * slope_r * constant * atoms.reward + constant**2 * atoms.n
    return value, max(float(squares.sum()), 0.0) / (n - 1)
