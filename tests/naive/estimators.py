"""The estimators in plain loops, each from its own formula (docs/maths/ope.md)."""

from __future__ import annotations

import math
from collections.abc import Sequence

Column = Sequence[float]


def weights(p_log: Column, p_target: Column) -> list[float]:
    return [target / log for log, target in zip(p_log, p_target, strict=True)]


def value(name: str, reward: Column, p_log: Column, p_target: Column, q: Column, v: Column, parameter: float = math.nan) -> float:
    """`q` is the model's word on the logged action, `v` its expectation under the target."""
    n = len(reward)
    if name in ("cressie_read", "maximum_likelihood"):
        return _reweighed(name, reward, weights(p_log, p_target))
    total, total_weight = 0.0, 0.0
    for r, w, q_i, v_i in zip(reward, weights(p_log, p_target), q, v, strict=True):
        total_weight += w
        if name in ("ips", "snips"):
            total += w * r
        elif name == "clipped_ips":
            total += min(w, parameter) * r
        elif name == "sg_ips":
            total += w * r / (1 - parameter + parameter * w)
        elif name == "dm":
            total += v_i
        elif name == "dr":
            total += v_i + w * (r - q_i)
        elif name == "clipped_dr":
            total += v_i + min(w, parameter) * (r - q_i)
        elif name == "sndr":
            total += w * (r - q_i)
        elif name == "switch_dr":
            total += v_i + (w * (r - q_i) if w <= parameter else 0.0)
        elif name == "dr_os":
            total += v_i + (parameter * w / (w * w + parameter) * (r - q_i) if parameter > 0 else 0.0)
        elif name == "sg_dr":
            total += v_i + w * (r - q_i) / (1 - parameter + parameter * w)
    if name == "snips":
        return total / total_weight if total_weight > 0 else math.nan
    if name == "sndr":
        return sum(v) / n + total / total_weight if total_weight > 0 else math.nan
    return total / n


def _reweighed(name: str, reward: Column, w: Column) -> float:
    """Rows count so that the w average 1; what cannot be reached counts with the mean reward."""
    n = len(w)
    if sum(w) < n * (1 - 1e-12):
        counts = [1 / n] * n
    elif name == "cressie_read":  # counts linear in w, over the log and one more row of w = 0, with sum 1 and mean w 1
        a, b = sum(w) / (n + 1), sum(one * one for one in w) / (n + 1)
        counts = [(1 + (1 - a) * (one - a) / (b - a * a)) / (n + 1) for one in w]
    else:  # counts 1 / (n (1 + tilt (w - 1))), the tilt halved in until the w average 1, no row counting more than 1
        low, high = 0.0, min([1.0, *((n - 1) / n / (1 - one) for one in w if one < 1)])
        for _ in range(200):
            middle = (low + high) / 2
            if sum((one - 1) / (1 + middle * (one - 1)) for one in w) > 0:
                low = middle
            else:
                high = middle
        counts = [1 / n / (1 + high * (one - 1)) for one in w]
    missing = max(0.0, 1 - sum(count * one for count, one in zip(counts, w, strict=True)))
    return sum(count * one * r for count, one, r in zip(counts, w, reward, strict=True)) + missing * sum(reward) / n


def jackknife_error(name: str, columns: Sequence[Column], parameter: float = math.nan) -> float:
    """Standard error by leaving out one row at a time: (n - 1) / n times the sum of squared deviations, square root."""
    n = len(columns[0])
    left_out = [value(name, *([*column[:i], *column[i + 1 :]] for column in columns), parameter=parameter) for i in range(n)]
    middle = sum(left_out) / n
    return math.sqrt((n - 1) / n * sum((one - middle) ** 2 for one in left_out))


def effective_sample_size(w: Column) -> float:
    squares = sum(one * one for one in w)
    return sum(w) ** 2 / squares if squares > 0 else 0.0
