"""Slate estimators in plain loops, and marginals by walking through every ordered slate."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import permutations

Table = Sequence[Sequence[float]]


def value(name: str, reward: Table, p_log: Table, p_target: Table) -> float:
    n, length = len(reward), len(reward[0])
    total = 0.0
    for rank in range(length):
        weighed, weights = 0.0, 0.0
        for i in range(n):
            ratio = [target / log for log, target in zip(p_log[i], p_target[i], strict=True)]
            if name.endswith("sips"):
                w = math.prod(ratio)
            elif name.endswith("rips"):
                w = math.prod(ratio[: rank + 1])
            elif name.endswith("iips"):
                w = ratio[rank]
            else:
                w = 1 - length + sum(ratio)
            weighed += w * reward[i][rank]
            weights += w
        total += weighed / (weights if name.startswith("sn_") else n)
    return total


def marginals(law: Callable[[tuple[int, ...]], Sequence[float]], n_candidates: int, length: int) -> list[list[float]]:
    found = [[0.0] * n_candidates for _ in range(length)]
    for slate in permutations(range(n_candidates), length):
        steps = [law(tuple(sorted(slate[:rank])))[slate[rank]] for rank in range(length)]
        for rank in range(length):
            found[rank][slate[rank]] += math.prod(steps)
    return found
