"""Slow twins of facts/crosses.py, facts/watching.py and facts/association.py: features of two facts by name, tables of residuals as dictionaries."""

from __future__ import annotations

import math


def places_of(kind: int, at: float | None, texts_max: int, n_knots: int) -> dict[str, float]:
    """The places that a side is at, with their shares: a bool's or text's value, a number's z; None where the fact is absent."""
    if at is None:
        return {"absent": 1.0}
    if kind == 0:
        return {"true" if at else "false": 1.0}
    if kind == 1:
        return {f"#{int(at)}" if 1 <= at <= texts_max else "other": 1.0}
    knots = [-3.0 + 6.0 * k / (n_knots - 1) for k in range(n_knots)]
    heights = {f"hat {knot:+g}": 1.0 - abs(at - knot) * (n_knots - 1) / 6.0 for knot in knots}
    return {name: height for name, height in heights.items() if height > 0.0}


def cross_of(a: tuple[str, int, float | None], b: tuple[str, int, float | None], texts_max: int, n_knots: int,
             scales: tuple[float, float, float]) -> dict[tuple[str, str], float]:
    """The features of one cross that are not 0. Sides are (fact, kind: 0 bool, 1 text, 2 number; value); `scales` of category, hats and line."""
    if b[1] > a[1]:
        a, b = b, a
    fact, category, hats, line = f"{a[0]} x {b[0]}", *scales
    one, other = places_of(a[1], a[2], texts_max, n_knots), places_of(b[1], b[2], texts_max, n_knots)
    scale = category if a[1] != 2 else hats
    found = {(fact, f"{i} x {k}"): scale * x * y for i, x in one.items() for k, y in other.items()}
    if a[1] == 2 and a[2] is not None:
        if b[1] != 2:
            found |= {(fact, f"z x {k}"): line * a[2] for k in other}
        elif b[2] is not None:
            found[fact, "z x z"] = line * a[2] * b[2]
    return {name: value for name, value in found.items() if value != 0.0}


class NaiveTables:
    """Per pair and bucket: (place of a, place of b) -> [sum of residuals, sum of variances]."""

    def __init__(self, pairs: list[tuple[int, int]], every: int, n_turns: int, n_buckets: int) -> None:
        self.pairs, self.every, self.n_turns, self.n_buckets, self.n_seen = pairs, every, n_turns, n_buckets, 0
        self.cells: dict[tuple[int, int], dict[tuple[int, int], list[float]]] = {}

    def feed(self, places: list[int], bucket: int, reward: float, expected: float) -> None:
        """One outcome; `places` holds every side's place."""
        for pair, (a, b) in enumerate(self.pairs):
            if (self.n_seen - pair % self.n_turns) % self.every == 0:
                cell = self.cells.setdefault((pair, bucket % self.n_buckets), {}).setdefault((places[a], places[b]), [0.0, 0.0])
                cell[0] += reward - expected
                cell[1] += expected * (1.0 - expected)
        self.n_seen += 1


def left_over(cells: dict[tuple[int, int], list[float]], sweeps: int) -> dict[tuple[int, int], list[float]]:
    """What rows alone and columns alone do not explain, by turns."""
    left = {cell: list(sums) for cell, sums in cells.items()}
    for sweep in range(2 * sweeps):
        for line in {cell[sweep % 2] for cell in left}:
            members = [cell for cell in left if cell[sweep % 2] == line]
            over, under = sum(left[cell][0] for cell in members), sum(left[cell][1] for cell in members)
            for cell in members:
                left[cell][0] -= over / under * left[cell][1]
    return left


def log_evidence(residual: float, variance: float, prior: float) -> float:
    """Log Bayes factor of a coefficient N(0, prior) against 0."""
    return 0.5 * (prior * residual**2 / (1.0 + prior * variance) - math.log(1.0 + prior * variance))
