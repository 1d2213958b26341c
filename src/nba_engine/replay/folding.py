"""Many estimators over one pass: what they share is folded once, piece by piece as the processor's cache holds them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from nba_engine.errors import ReplayError
from nba_engine.replay.adaptive import Blocks, fold_in_time, merge_in_time
from nba_engine.replay.estimators import ESTIMATORS, Estimate, choose_estimator, conclude, finish, finish_in_time
from nba_engine.replay.importance import Rows
from nba_engine.replay.sums import BASE, Atoms, Estimator, Sums, atoms_of, fold, merge, merge_atoms
from nba_engine.replay.verdict import Thresholds

PIECE_ROWS = 2**15
"""Rows whose columns stay in the cache while they are summed."""

_EVERY = ESTIMATORS["cressie_read"], math.nan
"""Folded whatever was asked for: its means hold those of maximum_likelihood and of the log itself."""


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
        self._blocks: dict[Any, Blocks] = {}
        self._bounded = True
        self._chosen = [_chosen(name, parameter) for name, parameter in parameters.items()]
        self._atoms: Atoms | None = None
        self._sums: dict[Any, Sums] = {}

    def add(self, rows: Rows) -> None:
        """Take in a chunk; where the log's writer learned, the next one in the order of time."""
        kinds = {_kind(*one): one for one in [*self._chosen, _EVERY] if not one[0].atoms}
        atoms = atoms_of(rows)
        self._atoms = atoms if self._atoms is None else merge_atoms(self._atoms, atoms)
        if self._adaptive:
            first_row = self.n
            for key, (estimator, parameter) in {_kind(*one): one for one in self._chosen}.items():
                self._blocks[key] = merge_in_time(self._blocks.get(key, {}), fold_in_time(estimator, rows, first_row, parameter))
            self._bounded &= bool(0 <= rows.reward.min() <= rows.reward.max() <= 1)
            kinds = {_kind(*_EVERY): _EVERY}
        for start in range(0, len(rows.reward), PIECE_ROWS):
            piece = rows.between(start, start + PIECE_ROWS)
            for key, (estimator, parameter) in kinds.items():
                own = fold(estimator, piece, parameter)
                self._sums[key] = own if key not in self._sums else merge(self._sums[key], own)

    @property
    def n(self) -> int:
        """Rows so far."""
        sums = self._sums.get(_kind(*_EVERY))
        return 0 if sums is None else sums.n

    def estimates(self, thresholds: Thresholds | None) -> tuple[Estimate, ...]:
        """One per estimator, in the order in which they were named."""
        kinds = [(estimator, _kind(estimator, parameter)) for estimator, parameter in self._chosen]
        if not self._adaptive:
            return tuple(finish(self._read(estimator, kind), thresholds) for estimator, kind in kinds)
        atoms = self._atoms if self._bounded else None
        own = [{block: replace(sums, estimator=estimator) for block, sums in self._blocks[kind].items()} for estimator, kind in kinds]
        return tuple(finish_in_time(blocks, atoms, thresholds) for blocks in own)

    def logged(self) -> Estimate:
        """What the log itself earned per row."""
        sums = self._sums[_kind(*_EVERY)]
        n, variance = sums.n, float(sums.comoment[BASE, BASE]) / max(sums.n - 1, 1)
        return conclude("as logged", float(sums.mean[BASE]), variance, n=n, mean_weight=1.0, weight_comoment=0.0, square_weight=float(n),
                        largest_weight=1.0, unsupported=0.0)

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
        largest = self._sums[_kind(*_EVERY)].max_importance_weight
        return Tail(*quantiles, largest, carried / total if total > 0 else 0.0, steps)

    def _read(self, estimator: Estimator, kind: tuple[object, ...]) -> Sums:
        if not estimator.atoms:
            return replace(self._sums[kind], estimator=estimator)
        sums = self._sums[_kind(*_EVERY)]
        return replace(sums, estimator=estimator, mean=sums.mean[:3], comoment=sums.comoment[:3, :3], atoms=self._atoms)


def _chosen(name: str, parameter: float | None) -> tuple[Estimator, float]:
    known = ESTIMATORS.get(name)
    return choose_estimator(name, {} if known is None or parameter is None else {known.parameter or "parameter": parameter})


def _kind(estimator: Estimator, parameter: float) -> tuple[object, ...]:
    """Estimators of one kind differ only in how their sums are read."""
    return estimator.adjust, repr(parameter), estimator.model, estimator.squares, estimator.atoms
