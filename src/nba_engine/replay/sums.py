"""What a chunk of a log leaves behind: means, their co-moments and facts about w that merge in any order. Reading them is estimators.py's."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from nba_engine.errors import ReplayError
from nba_engine.replay.importance import Float, Rows

BASE, PART, IMPORTANCE_WEIGHT, SQUARE, SQUARE_PART = range(5)
"""Columns of which the means are kept; the last two only where `Estimator.squares`."""


def as_it_is(w: Float, _: float) -> Float:
    """The importance weights themselves."""
    return w


def nothing(w: Float, _: float) -> Float:
    """No row counts: what was logged is not looked at."""
    return np.zeros_like(w)


@dataclass(frozen=True, slots=True)
class Estimator:
    """One way to estimate.

    `combine` makes of the sums a value and the variance of one row's influence on it. `adjust(w, parameter)` gives w'; `limits` hold the
    parameter: at least the first, under the second (infinity itself is allowed). `model` asks for a reward model, `squares` for the means of
    w^2 and w^2 r, `atoms` for the distinct w.
    """

    name: str
    combine: Callable[[Sums], tuple[float, float]]
    adjust: Callable[[Float, float], Float]
    model: bool = False
    parameter: str | None = None
    limits: tuple[float, float] = (0.0, float("inf"))
    squares: bool = False
    atoms: bool = False


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


@dataclass(frozen=True, slots=True)
class Sums:
    """What a log leaves behind: the means (A, B, C, ...), their centred co-moments float64[k, k], and the facts about w."""

    estimator: Estimator
    parameter: float
    n: int
    mean: Float
    comoment: Float
    square_importance_weight: float
    max_importance_weight: float
    unsupported: float | None
    atoms: Atoms | None = None


def columns_of(estimator: Estimator, rows: Rows, parameter: float) -> Float:
    """The columns whose means the estimator is made of, float64[3 or 5, n]."""
    columns = np.zeros((5 if estimator.squares else 3, len(rows.reward)))
    columns[IMPORTANCE_WEIGHT] = w = rows.importance_weight
    if estimator.squares or estimator.atoms:
        columns[BASE] = rows.reward
    if estimator.squares:
        columns[SQUARE] = w * w
        columns[SQUARE_PART] = columns[SQUARE] * rows.reward
    if estimator.model:
        q_logged = rows.reward if estimator.adjust is nothing else rows.q_logged  # dm never looks at what was logged
        if rows.q_target is None or q_logged is None:
            raise ReplayError(f"{estimator.name} needs a reward model: give q_logged (of the logged action) and q_target (expected under the target)")
        columns[BASE] = rows.q_target
        columns[PART] = estimator.adjust(w, parameter) * (rows.reward - q_logged)
    else:
        columns[PART] = estimator.adjust(w, parameter) * rows.reward
    return columns


def fold(estimator: Estimator, rows: Rows, parameter: float = float("nan")) -> Sums:
    """Sum up one chunk. **Cost** O(n), under 100 ns a row (benchmarks/bench_estimators.py); with atoms O(n log n)."""
    columns = columns_of(estimator, rows, parameter)
    w = columns[IMPORTANCE_WEIGHT]
    square, largest = float(np.einsum("n,n->", w, w)), float(w.max())
    atoms = atoms_of(rows) if estimator.atoms else None
    mean = columns.mean(axis=1)
    columns -= mean[:, None]  # from here on w is centred
    return Sums(
        estimator=estimator,
        parameter=parameter,
        n=len(w),
        mean=mean,
        # einsum and not `@`: BLAS would wake its threads for so little, which on a busy machine takes 20 times as long.
        comoment=np.einsum("in,jn->ij", columns, columns),
        square_importance_weight=square,
        max_importance_weight=largest,
        unsupported=None if rows.unsupported is None else float(rows.unsupported.sum()),
        atoms=atoms,
    )


def merge(a: Sums, b: Sums) -> Sums:
    """The sums of both chunks together, whatever their sizes."""
    if (a.estimator, repr(a.parameter)) != (b.estimator, repr(b.parameter)):
        raise ReplayError(f"sums of {a.estimator.name} and {b.estimator.name} (or of different parameters) cannot be merged")
    mean, comoment = merge_moments(a.n, a.mean, a.comoment, b.n, b.mean, b.comoment)
    return Sums(
        estimator=a.estimator,
        parameter=a.parameter,
        n=a.n + b.n,
        mean=mean,
        comoment=comoment,
        square_importance_weight=a.square_importance_weight + b.square_importance_weight,
        max_importance_weight=max(a.max_importance_weight, b.max_importance_weight),
        unsupported=None if a.unsupported is None or b.unsupported is None else a.unsupported + b.unsupported,
        atoms=None if a.atoms is None or b.atoms is None else merge_atoms(a.atoms, b.atoms),
    )


def merge_moments(n_a: int, mean_a: Float, comoment_a: Float, n_b: int, mean_b: Float, comoment_b: Float) -> tuple[Float, Float]:
    """Means and centred co-moments of both chunks together.

    **Source** Chan, Golub, LeVeque 1979, "Updating formulae and a pairwise algorithm for computing sample variances", eq. 2.1.
    """
    n, apart = n_a + n_b, mean_b - mean_a
    return mean_a + apart * (n_b / n), comoment_a + comoment_b + np.outer(apart, apart) * (n_a / n * n_b)


def by_delta(sums: Sums, gradient: npt.ArrayLike) -> float:
    """Variance of one row's influence on a function of the means whose gradient is given; 0 for a single row."""
    g = np.asarray(gradient, dtype=np.float64)
    return max(float(g @ sums.comoment @ g), 0.0) / (sums.n - 1) if sums.n > 1 else 0.0


def atoms_of(rows: Rows) -> Atoms:
    """The distinct importance weights of a chunk."""
    return _atoms(rows.importance_weight, np.ones(len(rows.reward)), rows.reward, rows.reward**2)


def merge_atoms(a: Atoms, b: Atoms) -> Atoms:
    """Those of both chunks together."""
    return _atoms(*(np.concatenate((getattr(a, name), getattr(b, name))) for name in Atoms.__slots__))


def _atoms(w: Float, n: Float, reward: Float, square_reward: Float) -> Atoms:
    if len(w) > ATOMS_MAX and len(np.unique(w[:: max(1, len(w) // 512)])) > 256:  # surely too many to be kept apart: no need to sort them
        return _coarse_atoms(w, n, reward, square_reward)
    distinct, place = np.unique(w, return_inverse=True)
    found = Atoms(distinct, *(np.bincount(place, values, len(distinct)) for values in (n, reward, square_reward)))
    return found if len(distinct) <= ATOMS_MAX else _coarse_atoms(distinct, found.n, found.reward, found.square_reward)


def _coarse_atoms(w: Float, n: Float, reward: Float, square_reward: Float) -> Atoms:
    digits = w.view(np.int64) >> _DROPPED_BITS
    first = int(digits[digits > 0].min(initial=2**62))
    place = np.where(digits > 0, digits - first + 1, 0)
    if place.max() >= _BINS_MAX:
        place = np.unique(digits, return_inverse=True)[1]
    rows, total, rewards, squares = (np.bincount(place, values) for values in (n, n * w, reward, square_reward))
    taken = rows > 0
    return Atoms(total[taken] / rows[taken], rows[taken], rewards[taken], squares[taken])
