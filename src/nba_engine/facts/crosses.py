"""Features of two facts taken together: what a customer's situation adds to what its facts say one by one.

A cross of the facts a and b owns a block of features. Each fact has few places: a bool two, a text its first `TEXTS_MAX` vocabulary codes and
one for all others, a number `KNOTS` hats over z; one more is for null and missing. A feature belongs to a pair of places, and its value is the
product of the two sides' shares; besides, a number's straight line has a feature per place of the other fact, and two numbers have the product of
their lines.

    two categories   1 active feature
    number x category   3: two hats and the line, at the category's place
    two numbers   5: four pairs of hats and the product of the lines

Which facts are crossed is declared in the catalog or found by `watching`. **Cost** at most 5 active features and 316 features a cross.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from nba_engine.numerics.kernel import scalar

TEXTS_MAX, KNOTS, Z_MAX = 15, 7, 3.0
CATEGORY_SCALE, HATS_SCALE, LINE_SCALE = 1.0, 0.8, 0.5
ACTIVE_MAX = 5

BOOL, TEXT, NUMBER = range(3)


@dataclass(frozen=True, slots=True)
class Cross:
    """Two facts that are taken together: declared in the catalog or found; `evidence` is the log Bayes factor for their effect on each other when
    it was judged last, NaN before."""

    fact: str
    other: str
    declared: bool
    evidence: float


def bins(kind: int) -> list[str]:
    """The names of a side's places; a text stands as its code."""
    if kind == BOOL:
        return ["false", "true", "absent"]
    if kind == TEXT:
        return [*(f"#{code}" for code in range(1, TEXTS_MAX + 1)), "other", "absent"]
    return [*(f"hat {knot:+g}" for knot in np.linspace(-Z_MAX, Z_MAX, KNOTS)), "absent"]


def names(a: tuple[str, int], b: tuple[str, int]) -> list[tuple[str, str]]:
    """(facts, bins) of a cross's features; `a` and `b` are (fact, kind), a number first."""
    fact = name_of(a[0], b[0])
    pairs = [f"{one} x {other}" for one in bins(a[1]) for other in bins(b[1])]
    lines = [] if a[1] != NUMBER else ["z x z"] if b[1] == NUMBER else [f"z x {other}" for other in bins(b[1])]
    return [(fact, bin_) for bin_ in [*pairs, *lines]]


def name_of(a: str, b: str) -> str:
    """The name under which a cross's features stand."""
    return f"{a} x {b}"


def with_texts(name: tuple[str, str], texts: Mapping[str, Sequence[str]]) -> tuple[str, str]:
    """A feature's name with the texts that its codes stand for; `texts[column]` lists that column's vocabulary from code 1 on."""
    columns, parts = name[0].split(" x "), name[1].split(" x ")
    if len(columns) != len(parts):
        return name
    for i, (column, part) in enumerate(zip(columns, parts, strict=True)):
        known, code = texts.get(column, ()), int(part[1:]) if part.startswith("#") else 0
        if 0 < code <= len(known):
            parts[i] = f"={known[code - 1]}"
    return name[0], " x ".join(parts)


@scalar
def append_cross(kind_a, at_a, kind_b, at_b, first, index_out, value_out, n):
    """Write one cross's active features behind the `n`. `at_a` and `at_b` say where the sides stand: a number's z (NaN where it is absent), the
    place of a bool or text; a side that is a number comes first."""
    size_b = size_of(kind_b)
    if kind_a != NUMBER:
        return _append(first + np.int64(at_a) * size_b + np.int64(at_b), CATEGORY_SCALE, index_out, value_out, n)
    lines = first + size_of(NUMBER) * size_b
    knot_a, share_a = _hats(at_a)
    if kind_b != NUMBER:
        place = np.int64(at_b)
        n = _append(first + knot_a * size_b + place, HATS_SCALE * (1.0 - share_a), index_out, value_out, n)
        if math.isnan(at_a):
            return n
        n = _append(first + (knot_a + 1) * size_b + place, HATS_SCALE * share_a, index_out, value_out, n)
        return _append(lines + place, LINE_SCALE * at_a, index_out, value_out, n)
    knot_b, share_b = _hats(at_b)
    known_a, known_b = not math.isnan(at_a), not math.isnan(at_b)
    corner = first + knot_a * size_b + knot_b
    n = _append(corner, HATS_SCALE * (1.0 - share_a) * (1.0 - share_b), index_out, value_out, n)
    if known_b:
        n = _append(corner + 1, HATS_SCALE * (1.0 - share_a) * share_b, index_out, value_out, n)
    if known_a:
        n = _append(corner + size_b, HATS_SCALE * share_a * (1.0 - share_b), index_out, value_out, n)
    if known_a and known_b:
        n = _append(corner + size_b + 1, HATS_SCALE * share_a * share_b, index_out, value_out, n)
        n = _append(lines, LINE_SCALE * at_a * at_b, index_out, value_out, n)
    return n


@scalar
def size_of(kind):
    """How many places a side has; the last is for what is absent."""
    return KNOTS + 1 if kind == NUMBER else TEXTS_MAX + 2 if kind == TEXT else 3


@scalar
def category_place(kind, value, state):
    """The place of a bool or text."""
    if state != 0:
        return size_of(kind) - 1
    if kind == BOOL:
        return np.int64(value)
    return value - 1 if 0 < value <= TEXTS_MAX else np.int64(TEXTS_MAX)


@scalar
def _hats(z):
    """(knot, share of the next knot); the last place, alone, for NaN."""
    if math.isnan(z):
        return np.int64(KNOTS), 0.0
    place = (z + Z_MAX) * ((KNOTS - 1) / (2.0 * Z_MAX))
    knot = min(np.int64(place), KNOTS - 2)
    return knot, place - knot


@scalar
def _append(feature, value, index_out, value_out, n):
    index_out[n] = feature
    value_out[n] = value
    return n + 1
