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


def jackknife_error(name: str, columns: Sequence[Column], parameter: float = math.nan) -> float:
    """Standard error by leaving out one row at a time: (n - 1) / n times the sum of squared deviations, square root."""
    n = len(columns[0])
    left_out = [value(name, *([*column[:i], *column[i + 1 :]] for column in columns), parameter=parameter) for i in range(n)]
    middle = sum(left_out) / n
    return math.sqrt((n - 1) / n * sum((one - middle) ** 2 for one in left_out))


def effective_sample_size(w: Column) -> float:
    squares = sum(one * one for one in w)
    return sum(w) ** 2 / squares if squares > 0 else 0.0
