"""What a chunk of a log leaves behind: means, their co-moments and facts about w that merge in any order. Reading them is estimators.py's."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from nba_engine.errors import ReplayError
from nba_engine.replay.importance import Float, Rows

BASE, PART, IMPORTANCE_WEIGHT, SQUARE, SQUARE_PART, SQUARE_SQUARE = range(6)
"""Terms of which the means are kept; those of squares only where `Estimator.squares`, or, and then all three, where fourth moments are asked for."""

PIECE_ROWS = 2**13
"""Rows whose terms stay in the processor's cache while they are summed; over 10,000 BLAS would wake its threads for so little."""


def as_it_is(w: Float, _: float) -> Float:
    """The importance weights themselves."""
    return w


def nothing(_: Float, __: float) -> float:
    """No row counts: what was logged is not looked at."""
    return 0.0


def _alone(_: Float, __: float) -> float:
    return 1.0


def _squared(w: Float, _: float) -> Float:
    return w * w


@dataclass(frozen=True, slots=True)
class Estimator:
    """One way to estimate.

    `combine` makes of the sums a value and the variance of one row's influence on it. `adjust(w, parameter)` gives w'; `limits` hold the
    parameter: at least the first, under the second (infinity itself is allowed). `model` asks for a reward model, `squares` for the means of
    w^2 and w^2 r, `atoms` for the distinct w. `fourths`: on a log of a learner, fourth moments say how well the variance is known (adaptive.py).
    """

    name: str
    combine: Callable[[Sums], tuple[float, float]]
    adjust: Callable[[Float, float], Any]
    model: bool = False
    parameter: str | None = None
    limits: tuple[float, float] = (0.0, float("inf"))
    squares: bool = False
    atoms: bool = False
    fourths: bool = False


ATOMS_MAX = 2**16
"""Distinct importance weights that are kept apart. Where there are more, those that share their first 12 binary digits count as their mean."""
_DROPPED_BITS = 40
_BINS_MAX = 2**20


@dataclass(frozen=True, slots=True)
class Atoms:
    """The distinct importance weights in ascending order, and per each the rows, their rewards' sum and sum of squares; float64[n_distinct]."""

    importance_weight: Float
    n: Float
    reward: Float
    square_reward: Float


class Term(NamedTuple):
    """What a row adds to one of the means: `adjust(w, parameter)` times what `of` names."""

    adjust: Callable[[Float, float], Any]
    parameter: float
    of: Literal["one", "reward", "square_reward", "residual", "q_target"]


class Joint(NamedTuple):
    """Several estimators: their terms, each once; at which places in them each estimator finds its own; of which pairs co-moments are kept."""

    estimators: tuple[Estimator, ...]
    terms: tuple[Term, ...]
    places: tuple[tuple[int, ...], ...]
    pairs: tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class Moments:
    """What a log leaves behind: the means of k terms, their centred co-moments float64[k, k] (0 where nobody asked), and the facts about w."""

    n: int
    mean: Float
    comoment: Float
    square_importance_weight: float
    max_importance_weight: float
    unsupported: float | None


@dataclass(frozen=True, slots=True)
class Sums(Moments):
    """The moments of one estimator's terms (A, B, C, ...), of which it reads its value."""

    estimator: Estimator
    parameter: float
    atoms: Atoms | None = None


def _terms_of(estimator: Estimator, parameter: float, fourths: bool) -> tuple[Term, ...]:
    """The three or five terms whose means the estimator is made of; with `fourths` also the squares whose co-moments are fourth moments."""
    base: Literal["one", "reward", "q_target"] = "q_target" if estimator.model else "reward"
    first = Term(_alone if estimator.model or estimator.squares or estimator.atoms else nothing, 0.0, base)
    adjusted = estimator.adjust, parameter if estimator.parameter else 0.0
    # dm never looks at what was logged.
    part = Term(*adjusted, "residual" if estimator.model and estimator.adjust is not nothing else "reward")
    squares = Term(_squared, 0.0, "one"), Term(_squared, 0.0, "reward"), Term(_squared, 0.0, "square_reward")
    return first, part, Term(as_it_is, 0.0, "one"), *squares[: 3 if fourths and estimator.fourths else 2 if estimator.squares else 0]


def joint(estimators: Iterable[tuple[Estimator, float]], fourths: bool = False) -> Joint:
    """Estimators with their parameters as one set of terms: those that share an adjustment or a mean compute it once."""
    known = tuple(estimators)
    own = [_terms_of(*one, fourths) for one in known]
    terms = tuple(dict.fromkeys(term for some in own for term in some))
    places = tuple(tuple(terms.index(term) for term in some) for some in own)
    pairs = {(max(i, j), min(i, j)) for some in places for i in some for j in some if nothing not in (terms[i].adjust, terms[j].adjust)}
    return Joint(tuple(estimator for estimator, _ in known), terms, places, tuple(sorted(pairs)))


def columns_of(wanted: Joint, rows: Rows) -> Float:
    """The terms of every row, float64[k, n]. ReplayError where they need a reward model that the rows do not have."""
    for one in wanted.estimators:
        if one.model and (rows.q_target is None or (rows.q_logged is None and one.adjust is not nothing)):
            raise ReplayError(f"{one.name} needs a reward model: give q_logged (of the logged action) and q_target (expected under the target)")
    residual = None if rows.q_logged is None else rows.reward - rows.q_logged
    factors: dict[str, Any] = {"one": 1.0, "reward": rows.reward, "q_target": rows.q_target, "residual": residual}
    if any(term.of == "square_reward" for term in wanted.terms):
        factors["square_reward"] = rows.reward * rows.reward
    columns = np.empty((len(wanted.terms), len(rows.reward)))
    weights: dict[tuple[Any, float], Any] = {}
    for column, (adjust, parameter, of) in zip(columns, wanted.terms, strict=True):
        if (adjust, parameter) not in weights:
            weights[adjust, parameter] = adjust(rows.importance_weight, parameter)
        np.multiply(weights[adjust, parameter], factors[of], out=column)
    return columns


def fold_jointly(wanted: Joint, rows: Rows) -> Moments:
    """Sum up one chunk for several estimators. **Cost** O(n): some 40 ns a row for all thirteen."""
    found: Moments | None = None
    for start in range(0, len(rows.reward), PIECE_ROWS):
        piece = rows if len(rows.reward) <= PIECE_ROWS else rows.between(start, start + PIECE_ROWS)
        w, columns = piece.importance_weight, columns_of(wanted, piece)
        mean = columns.mean(axis=1)
        columns -= mean[:, None]
        comoment = np.zeros((len(mean), len(mean)))
        for i, j in wanted.pairs:
            comoment[i, j] = comoment[j, i] = np.dot(columns[i], columns[j])
        unsupported = None if piece.unsupported is None else float(piece.unsupported.sum())
        own = Moments(len(w), mean, comoment, float(np.dot(w, w)), float(w.max()), unsupported)
        found = own if found is None else merge_moments(found, own)
    if found is None:
        raise ReplayError("the log holds no rows; an estimate needs at least one")
    return found


def read(moments: Moments, places: Sequence[int], estimator: Estimator, parameter: float, atoms: Atoms | None = None) -> Sums:
    """One estimator's sums among those of several."""
    own = list(places)
    return Sums(moments.n, moments.mean[own], moments.comoment[np.ix_(own, own)], moments.square_importance_weight,
                moments.max_importance_weight, moments.unsupported, estimator, parameter, atoms)  # fmt: skip


def fold(estimator: Estimator, rows: Rows, parameter: float = float("nan"), fourths: bool = False) -> Sums:
    """Sum up one chunk. **Cost** O(n), under 100 ns a row (benchmarks/bench_estimators.py); with atoms O(n log n)."""
    wanted = joint([(estimator, parameter)], fourths)
    return read(fold_jointly(wanted, rows), wanted.places[0], estimator, parameter, atoms_of(rows) if estimator.atoms else None)


def merge(a: Sums, b: Sums) -> Sums:
    """The sums of both chunks together, whatever their sizes."""
    if (a.estimator, repr(a.parameter)) != (b.estimator, repr(b.parameter)):
        raise ReplayError(f"sums of {a.estimator.name} and {b.estimator.name} (or of different parameters) cannot be merged")
    atoms = None if a.atoms is None or b.atoms is None else merge_atoms(a.atoms, b.atoms)
    return read(merge_moments(a, b), range(len(a.mean)), a.estimator, a.parameter, atoms)


def merge_moments(a: Moments, b: Moments) -> Moments:
    """The moments of both chunks together."""
    mean, comoment = merge_means(a.n, a.mean, a.comoment, b.n, b.mean, b.comoment)
    return Moments(
        n=a.n + b.n,
        mean=mean,
        comoment=comoment,
        square_importance_weight=a.square_importance_weight + b.square_importance_weight,
        max_importance_weight=max(a.max_importance_weight, b.max_importance_weight),
        unsupported=None if a.unsupported is None or b.unsupported is None else a.unsupported + b.unsupported,
    )


def merge_means(n_a: int, mean_a: Float, comoment_a: Float, n_b: int, mean_b: Float, comoment_b: Float) -> tuple[Float, Float]:
    """Means and centred co-moments of both chunks together.

    **Source** Chan, Golub, LeVeque 1979, "Updating formulae and a pairwise algorithm for computing sample variances", eq. 2.1.
    """
    n, apart = n_a + n_b, mean_b - mean_a
    return mean_a + apart * (n_b / n), comoment_a + comoment_b + np.outer(apart, apart) * (n_a / n * n_b)


def by_delta(sums: Sums, gradient: npt.ArrayLike) -> float:
    """Variance of one row's influence on a function of the first means whose gradient is given; 0 for a single row."""
    g = np.asarray(gradient, dtype=np.float64)
    return max(float(g @ sums.comoment[: g.size, : g.size] @ g), 0.0) / (sums.n - 1) if sums.n > 1 else 0.0


def atoms_of(rows: Rows) -> Atoms:
    """The distinct importance weights of a chunk."""
    return _atoms(rows.importance_weight, None, rows.reward, rows.reward * rows.reward)


def merge_atoms(a: Atoms, b: Atoms) -> Atoms:
    """Those of both chunks together."""
    return _atoms(*(np.concatenate((getattr(a, name), getattr(b, name))) for name in Atoms.__slots__))


def _atoms(w: Float, n: Float | None, reward: Float, square_reward: Float) -> Atoms:
    """Of rows, or where `n` is given of as many rows as it says."""
    if len(w) > ATOMS_MAX and len(np.unique(w[:: max(1, len(w) // 512)])) > 256:  # surely too many to be kept apart: no need to sort them
        return _coarse_atoms(w, n, reward, square_reward)
    distinct, place = np.unique(w, return_inverse=True)
    rows = np.bincount(place, n, len(distinct)).astype(np.float64)
    found = Atoms(distinct, rows, *(np.bincount(place, values, len(distinct)) for values in (reward, square_reward)))
    return found if len(distinct) <= ATOMS_MAX else _coarse_atoms(distinct, found.n, found.reward, found.square_reward)


def _coarse_atoms(w: Float, n: Float | None, reward: Float, square_reward: Float) -> Atoms:
    digits = w.view(np.int64) >> _DROPPED_BITS
    first = int(digits.min()) or int(digits.min(where=digits > 0, initial=2**62))
    place = np.maximum(digits - (first - 1), 0, out=digits)
    if place.max() >= _BINS_MAX:
        place = np.unique(w.view(np.int64) >> _DROPPED_BITS, return_inverse=True)[1]
    rows = np.bincount(place, n)
    total, rewards, squares = (np.bincount(place, values) for values in (w if n is None else n * w, reward, square_reward))
    taken = np.flatnonzero(rows)
    return Atoms(total[taken] / rows[taken], rows[taken].astype(np.float64), rewards[taken], squares[taken])
