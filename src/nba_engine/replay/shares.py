"""Logs that do not say with what probability they chose: the probability estimated from the rows themselves, with its own uncertainty.

Where the log chose by some columns and nothing else, an action's share among the rows that agree on them (a cell) estimates its probability. With
m(c, a) the mean of w r in a cell and action, and m(c) in a cell, the influence of a row on mean(w r) is then

    w r - m(c, a) + m(c)

which is the doubly robust form whose model is the cells' own means: it gives the same value as mean(w r), and an interval that knows that the
shares are estimated. It does not know of columns that were left out: if the log looked at anything else, the estimate is wrong.
**Source** Hirano, Imbens, Ridder 2003, "Efficient estimation of average treatment effects using the estimated propensity score".
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from nba_engine.errors import ReplayError
from nba_engine.replay.importance import Float, Rows, check_rows
from nba_engine.replay.pmfs import one_array

if TYPE_CHECKING:
    import pyarrow as pa

CELL_ROWS_MIN = 30
"""Rows that a cell needs; where more than half of the log stands in smaller cells nothing is estimated."""

Ints = npt.NDArray[np.int64]


def rows_by_shares(table: pa.Table, chosen_by: Sequence[str], p_target: Float, reward: Float) -> tuple[Rows, str]:
    """Rows with estimated p_log and the model of the cells' means, for dr and sndr; and what a reader must know.

    `unsupported` is the target's mass on actions that a cell never shows, known where p_target depends on nothing but cell and action.
    ReplayError where most cells are too small. **Cost** O(n log n), the rows in memory.
    """
    cell = _codes(table, chosen_by)
    both = np.unique(cell * (1 + _codes(table, ["action"]).max(initial=0)) + _codes(table, ["action"]), return_inverse=True)[1]
    n_cell, n_both = np.bincount(cell)[cell], np.bincount(both)[both]
    n_small = int(np.count_nonzero(n_cell < CELL_ROWS_MIN))
    by = ", ".join(chosen_by)
    if 2 * n_small > len(cell):
        raise ReplayError(
            f"the log's probabilities cannot be estimated{by and f' by {by}'}: {n_small} of {len(cell)} rows stand in cells of fewer than "
            f"{CELL_ROWS_MIN} rows; name fewer or coarser columns in chosen_by"
        )
    p_log = n_both / n_cell
    w = p_target / p_log
    earned, carried = (np.bincount(both, column)[both] for column in (w * reward, w))
    q_logged = np.divide(earned, carried, out=np.zeros(len(w)), where=carried > 0)
    q_target = np.bincount(cell, w * reward)[cell] / n_cell
    unsupported = np.clip(1 - np.bincount(cell, w)[cell] / n_cell, 0.0, 1.0)
    unsupported[unsupported < 1e-9] = 0.0
    among = f"the rows that agree on {by} ({len(np.unique(cell))} cells)" if by else "all rows"
    note = (
        f"the log does not say with what probability it chose: p_log is the share of the action among {among}. "
        "The intervals know that it is estimated; they do not know of anything else that the log may have chosen by"
    )
    if n_small:
        note += f". {n_small} rows stand in cells of fewer than {CELL_ROWS_MIN} rows"
    return check_rows(reward=reward, p_log=p_log, p_target=p_target, q_logged=q_logged, q_target=q_target, unsupported=unsupported), note


def _codes(table: pa.Table, names: Sequence[str]) -> Ints:
    """A number per row, equal where these columns are; null equals null."""
    import pyarrow as pa

    codes = np.zeros(table.num_rows, np.int64)
    for name in names:
        column = one_array(table.column(name))
        coded = column if pa.types.is_dictionary(column.type) else column.dictionary_encode()
        own = coded.indices.fill_null(len(coded.dictionary)).to_numpy(zero_copy_only=False).astype(np.int64)
        codes = np.unique(codes * (1 + own.max(initial=0)) + own, return_inverse=True)[1]
    return codes
