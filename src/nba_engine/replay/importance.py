"""Logged rows as checked arrays, and what follows from the probabilities of both sides alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from nba_engine.errors import ReplayError

Float = npt.NDArray[np.float64]

TOLERANCE = 1e-9
"""By how much a probability may exceed 1, or a row of them differ from 1, for rounding's sake."""

P_LOG_MIN = 1e-30
"""Less no generator draws, and the fourth power of its importance weight would soon be no number any more."""
CHANCE_NEEDED = f"(0, 1]: what was chosen had a chance (under {P_LOG_MIN:g} is none)"

NUMBER_MAX = 1e90
"""The largest reward, or word of a model on one: the square of what it earns by the largest importance weight is still a number."""
_FINITE = (-NUMBER_MAX, NUMBER_MAX)
LIMITS: Mapping[str, tuple[float, float]] = {
    "reward": _FINITE, "p_log": (P_LOG_MIN, 1 + TOLERANCE), "p_target": (0.0, 1 + TOLERANCE), "q_logged": _FINITE, "q_target": _FINITE,
    "unsupported": (0.0, 1 + TOLERANCE),
}  # fmt: skip
"""The least and the largest that a number of a row can be."""


@dataclass(frozen=True, slots=True)
class Rows:
    """A chunk of a log, checked. Each array is float64[n]; `q_logged`, `q_target` and `unsupported` may be missing.

    `importance_weight` is p_target / p_log of each row: how much oftener the target would have chosen what was chosen.
    """

    reward: Float
    p_log: Float
    p_target: Float
    q_logged: Float | None = None
    q_target: Float | None = None
    unsupported: Float | None = None
    importance_weight: Float = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "importance_weight", self.p_target / self.p_log)

    def between(self, start: int, stop: int) -> Rows:
        """The rows from `start` to before `stop`, as views."""
        given = (self.reward, self.p_log, self.p_target, self.q_logged, self.q_target, self.unsupported)
        return Rows(*(None if column is None else column[start:stop] for column in given))  # type: ignore[arg-type]


def check_rows(*, reward: Any, p_log: Any, p_target: Any, q_logged: Any = None, q_target: Any = None, unsupported: Any = None) -> Rows:
    """Take columns in as a checked chunk.

    Raises
    ------
    ReplayError
        No rows, lengths differ, a number that is not finite, `p_log` outside (0, 1], `p_target` or `unsupported` outside [0, 1].
    """
    given = {"reward": reward, "p_log": p_log, "p_target": p_target, "q_logged": q_logged, "q_target": q_target, "unsupported": unsupported}
    columns = {name: _column(name, values) for name, values in given.items() if values is not None or name in ("reward", "p_log", "p_target")}
    n = len(columns["reward"])
    if n == 0:
        raise ReplayError("the log holds no rows; an estimate needs at least one")
    for name, values in columns.items():
        if len(values) != n:
            raise ReplayError(f"{name} has {len(values)} rows, reward has {n}; give one number per logged decision")
        if not within(name, values):
            low, high = LIMITS[name]
            need = CHANCE_NEEDED if name == "p_log" else "[0, 1]"
            finite = f"every number must be finite, and at most {NUMBER_MAX:g}; leave out rows whose value is not known"
            _require(name, values, abs(values) <= NUMBER_MAX, finite)
            _require(name, values, (values >= low) & (values <= high), f"a probability lies in {need}")
    return Rows(**columns)


def within(name: str, values: Float) -> bool:
    """Whether all values of a column can be: two looks at it, and no more where nothing is odd."""
    low, high = LIMITS[name]
    return bool(values.min(initial=high) >= low and values.max(initial=low) <= high)  # NaN is neither


def unsupported_mass(pmf_log: npt.ArrayLike, pmf_target: npt.ArrayLike) -> Float:
    """The target's probability of what the log could not choose, per row.

    Parameters
    ----------
    pmf_log, pmf_target
        float64[n, n_candidates]: probabilities over all candidates; rows sum to 1.

    Returns
    -------
    float64[n] in [0, 1]; hand it to `estimate` as `unsupported`.

    Examples
    --------
    >>> unsupported_mass([[0.5, 0.5, 0.0]], [[0.2, 0.5, 0.3]])
    array([0.3])
    """
    log, target = _pmf("pmf_log", pmf_log), _pmf("pmf_target", pmf_target)
    if log.shape != target.shape:
        raise ReplayError(f"pmf_log has shape {log.shape}, pmf_target {target.shape}; give both over the same rows and candidates")
    return np.where(log > 0, 0.0, target).sum(axis=1)


def target_reward(pmf_target: npt.ArrayLike, q: npt.ArrayLike) -> Float:
    """`q_target` of `estimate`: the reward that the model `q` expects where the target chooses; float64[n, n_candidates] both, float64[n] back.

    Divided by the row's sum, so that probabilities that were rounded when they were written down do no harm.
    """
    target = np.asarray(pmf_target, dtype=np.float64)
    return (target * np.asarray(q, dtype=np.float64)).sum(axis=1) / target.sum(axis=1)


def _column(name: str, values: Any) -> Float:
    try:
        column = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ReplayError(f"{name} cannot be read as numbers ({error}); give one number per logged decision") from error
    if column.ndim != 1:
        raise ReplayError(f"{name} has {column.ndim} dimensions; give one number per logged decision")
    return column


def _require(name: str, column: Float, fits: npt.NDArray[np.bool_], need: str) -> None:
    if not fits.all():
        row = int(np.argmin(fits))
        raise ReplayError(f"{name} is {column[row]} in row {row} ({np.count_nonzero(~fits)} such rows); {need}")


def _pmf(name: str, values: npt.ArrayLike) -> Float:
    pmf = np.asarray(values, dtype=np.float64)
    if pmf.ndim != 2 or not (pmf >= 0).all() or not (abs(pmf.sum(axis=1) - 1) <= TOLERANCE * pmf.shape[1]).all():
        raise ReplayError(f"{name} must hold one row of probabilities per decision, each at least 0 and summing to 1")
    return pmf
