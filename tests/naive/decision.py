"""Slow twin of the kernels of decision.py: sets and loops over candidates."""

from __future__ import annotations

import math


def eligible(
    tiers: list[set[int]], available: set[int], windows: list[tuple[int, int, int]], at: int, action: list[int]
) -> tuple[set[int], list[int]]:
    """Candidates left after availability and each tier of rules, and how many actions were left each time."""
    left = set(available)
    for candidate, first, last in windows:
        if not first <= at <= last:
            left.discard(candidate)
    counts = [n_actions(left, action)]
    for tier in tiers:
        left &= tier
        counts.append(n_actions(left, action))
    return left, counts


def valued(left: set[int], values: list[float | None]) -> list[int]:
    """Candidates in order whose value is known, finite and not negative; None is unknown."""
    return [c for c in sorted(left) if values[c] is not None and math.isfinite(values[c]) and values[c] >= 0.0]


def n_actions(candidates: set[int], action: list[int]) -> int:
    return len({action[c] for c in candidates})
