"""Many estimators over one pass: what they share is folded once."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from nba_engine.errors import ReplayError
from nba_engine.replay.adaptive import Blocks, fold_in_time, merge_in_time
from nba_engine.replay.estimators import ESTIMATORS, Estimate, choose_estimator, conclude, finish, finish_in_time
from nba_engine.replay.importance import Float, Rows
from nba_engine.replay.intervals import Ints, draw_subjects
from nba_engine.replay.sums import (
    BASE,
    Atoms,
    Estimator,
    Moments,
    Sums,
    as_it_is,
    atoms_of,
    by_delta,
    fold_jointly,
    joint,
    merge_atoms,
    merge_moments,
    read,
)
from nba_engine.replay.verdict import Thresholds


def _mean_reward(sums: Sums) -> tuple[float, float]:
    return float(sums.mean[BASE]), by_delta(sums, [1.0, 0.0, 0.0, 0.0, 0.0])


_LOGGED = Estimator("as logged", _mean_reward, as_it_is, squares=True), math.nan
"""What the log itself earned, as a reading of the means of cressie_read; folded whatever was asked for."""


@dataclass(frozen=True, slots=True)
class Tail:
    """How the importance weights are spread: quantiles, the largest, and the share of their sum that the largest hundredth of rows carries.

    `steps`: up to 200 pairs (w, share of the rows whose importance weight is at least w), ascending.
    """

    median: float
    quantile_90: float
    quantile_99: float
    largest: float
    top_percent_share: float
    steps: tuple[tuple[float, float], ...]


class Folding:
    """The sums of several estimators, by name with their parameters (None where they have none), and what every report needs beside them."""

    def __init__(self, parameters: Mapping[str, float | None], adaptive: bool = False) -> None:
        self._adaptive = adaptive
        self._blocks: dict[int, Blocks] = {}
        self._bounded = True
        self._chosen = [_chosen(name, parameter) for name, parameter in parameters.items()]
        self._joint = joint([*self._chosen, _LOGGED])
        self._atoms: Atoms | None = None
        self._moments: Moments | None = None
        self._drawn: Float | None = None

    def add(self, rows: Rows, subject: Ints | None = None) -> None:
        """Take in a chunk; where the log's writer learned, the next one in the order of time. With the numbers of its rows' subjects it is the
        whole log, and intervals are those of draws of whole subjects."""
        if subject is not None:
            self._drawn = draw_subjects([*self._chosen, _LOGGED], rows, subject)
        if self._adaptive:
            for i, (estimator, parameter) in enumerate(self._chosen):
                self._blocks[i] = merge_in_time(self._blocks.get(i, {}), fold_in_time(estimator, rows, self.n, parameter))
            self._bounded &= bool(0 <= rows.reward.min() <= rows.reward.max() <= 1)
        atoms, moments = atoms_of(rows), fold_jointly(self._joint, rows)
        self._atoms = atoms if self._atoms is None else merge_atoms(self._atoms, atoms)
        self._moments = moments if self._moments is None else merge_moments(self._moments, moments)

    @property
    def n(self) -> int:
        """Rows so far."""
        return 0 if self._moments is None else self._moments.n

    def estimates(self, thresholds: Thresholds | None) -> tuple[Estimate, ...]:
        """One per estimator, in the order in which they were named."""
        if self._adaptive:
            atoms = self._atoms if self._bounded else None
            return tuple(finish_in_time(self._blocks[i], atoms, thresholds) for i in range(len(self._chosen)))
        return tuple(self._by_subject(i, finish(self._read(i), thresholds)) for i in range(len(self._chosen)))

    def logged(self) -> Estimate:
        """What the log itself earned per row."""
        sums = self._read(-1)
        value, variance = sums.estimator.combine(sums)
        found = conclude("as logged", value, variance, n=sums.n, mean_weight=1.0, weight_comoment=0.0, square_weight=float(sums.n),
                         largest_weight=1.0, unsupported=0.0)  # fmt: skip
        return self._by_subject(-1, found)

    def _by_subject(self, place: int, found: Estimate) -> Estimate:
        if self._drawn is None:
            return found
        values = self._drawn[place]
        low, high = np.nanquantile(values, [0.025, 0.975])
        return replace(found, std_error=float(np.nanstd(values)), interval=(float(low), float(high)))

    def tail(self) -> Tail:
        """How the importance weights are spread; exact up to sums.ATOMS_MAX distinct ones, to a 4,096th of themselves beyond."""
        atoms = self._atoms
        if atoms is None:
            raise ReplayError("the log holds no rows; an estimate needs at least one")
        w, n_below = atoms.importance_weight, np.cumsum(atoms.n)
        n, total = float(n_below[-1]), float((w * atoms.n).sum())
        quantiles = [float(w[np.searchsorted(n_below, share * n)]) for share in (0.5, 0.9, 0.99)]
        top = float(max(1, round(n / 100)))
        n_above = n - n_below
        carried = float((w * np.clip(top - n_above, 0.0, atoms.n)).sum())
        at_least = (n_above + atoms.n) / n
        shown = np.unique(np.searchsorted(-at_least, -np.geomspace(1.0, at_least[-1], 200)))
        steps = tuple(zip(w[shown].tolist(), at_least[shown].tolist(), strict=True))
        return Tail(*quantiles, self._read(-1).max_importance_weight, carried / total if total > 0 else 0.0, steps)

    def _read(self, place: int) -> Sums:
        if self._moments is None:
            raise ReplayError("the log holds no rows; an estimate needs at least one")
        estimator, parameter = [*self._chosen, _LOGGED][place]
        return read(self._moments, self._joint.places[place], estimator, parameter, self._atoms if estimator.atoms else None)


def _chosen(name: str, parameter: float | None) -> tuple[Estimator, float]:
    known = ESTIMATORS.get(name)
    return choose_estimator(name, {} if known is None or parameter is None else {known.parameter or "parameter": parameter})

