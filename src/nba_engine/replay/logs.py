"""Reading a log of decisions: opened at once, read when its rows are needed, whole or chunk by chunk."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nba_engine.errors import ReplayError
from nba_engine.replay.importance import Rows, check_rows
from nba_engine.replay.judging import JUDGED, Finding, Judge
from nba_engine.replay.naming import CHOSEN_BY, COLUMNS, NUMBERS, Naming, missing
from nba_engine.replay.sources import Source, open_source

if TYPE_CHECKING:
    import pyarrow as pa

    from nba_engine.replay.repeats import Ints


class Log:
    """Logged decisions under the names of `naming.COLUMNS`, beside all other columns as they are.

    Nothing but the columns is known until rows are asked for. `run` folds a log in one pass without holding it; `table` holds all of it.
    """

    def __init__(self, source: Source, naming: Naming) -> None:
        self._source, self._naming = source, naming
        self._judged: Judge | None = None

    @staticmethod
    def read(path_or_table: Any, columns: Mapping[str, Any] | str | Path | None = None) -> Log:
        """A log from Parquet (.parquet), CSV (.csv), Arrow (.arrow, .feather), the folder of a store, or anything that exports Arrow or is a mapping
        of columns.

        Parameters
        ----------
        path_or_table : where it is, or what it is. One row per offer; decisions of several offers carry `decision_id` and `rank`. A store must
            not be open in an engine meanwhile.
        columns : their names by ours (`naming.COLUMNS`), where they differ; or a YAML or JSON file of such a mapping. `selection_probability`, as
            `nba export` writes it, is taken as p_log where nothing else is. For a log that does not say with what probability it chose, `chosen_by`
            names the columns that the choice depended on ([] for none): p_log is then estimated (`shares.py`).

        Raises
        ------
        ReplayError : a needed column is missing (the text names what looks like it), now; a column that must hold numbers does not, or no row is
            left, when rows are asked for.

        Notes
        -----
        Set aside, each counted in `findings`: rows whose p_log is not in (0, 1] or p_target not in [0, 1], whose action is not in the log's own
        distribution, whose reward or reward model is no finite number, and all but the first of those that repeat a decision (the same
        decision_id and rank, or action where there are no ranks). Counted and kept: no reward (0, by intention to treat), outcomes before their
        decision, distributions that do not sum to 1. **Cost**: benchmarks/replay_speed.py.

        Examples
        --------
        >>> log = Log.read({"reward": [1, 0], "pscore": [0.5, 2.0]}, {"p_log": "pscore"})
        >>> print(log.n_read, *log.findings)
        2 1 row (set aside; the first is row 1): p_log lies outside (0, 1]: what was chosen had a chance (under 1e-30 is none)
        """
        source = open_source(path_or_table)
        return Log(source, Naming.of(columns, source.schema.names))

    @property
    def columns(self) -> tuple[str, ...]:
        """What the log has, under our names."""
        return tuple(self._naming.theirs)

    @property
    def chosen_by(self) -> tuple[str, ...] | None:
        """The columns that a log without probabilities chose by; None where it has them, or nobody said."""
        return None if self.has_probabilities else self._naming.chosen_by

    @property
    def has_probabilities(self) -> bool:
        """Whether the log says with what probability it chose."""
        return "p_log" in self.columns or "pmf_log" in self.columns

    @property
    def findings(self) -> tuple[Finding, ...]:
        """What was odd, in the order in which it is looked for."""
        return self._known().findings

    @property
    def n_read(self) -> int:
        """How many rows the log has, those set aside among them."""
        return self._known().n_read

    @cached_property
    def table(self) -> pa.Table:
        """All rows that can be judged, in memory; of the numbers only the reward may be null."""
        import pyarrow as pa

        return pa.concat_tables(self.chunks()).combine_chunks()

    def distinct(self, name: str) -> set[Any]:
        """The values of one column, of all rows as they are."""
        import pyarrow.compute as pc

        theirs = self._naming.theirs[name]
        return {value for table in self._source.read([theirs]) for value in pc.unique(table.column(theirs)).to_pylist()}

    def rows(self) -> Rows:
        """The rows that `estimate` judges: of slates only what was placed first, for what stands below was chosen given what stands above it."""
        return rows_of(self.table)

    def first_offers(self) -> pa.Table:
        """The table without what stood below rank 1."""
        return first_offers(self.table)

    def chunks(self, columns: Sequence[str] | None = None, advance: Callable[[int, int | None], None] | None = None) -> Iterator[pa.Table]:
        """The rows that can be judged, some 262,000 at a time: these columns (all without) and whatever is looked at to judge them.

        `advance` is told how many rows of how many (None where not known) have been read; where decisions have ids, which are read ahead to find
        repeats, each of the two passes counts half. ReplayError where no row is left at the end.
        """
        looked_at = {*JUDGED, "rank"} | ({"action"} if {"pmf_log", "pmf_target"} & set(self.columns) or columns is None else set())
        ours = [name for name in self.columns if columns is None or name in columns or name in looked_at]
        told = advance or (lambda done, n: None)
        repeated, n_ahead = self._repeated(told)
        judge, n_kept = Judge(repeated), 0
        for batch in self._source.read([self._naming.theirs[name] for name in ours]):
            judged = judge.judged(batch.rename_columns(ours))
            n_kept += judged.num_rows
            told((n_ahead + judge.n_read) // 2 if n_ahead else judge.n_read, self._source.n_rows)
            yield judged
        self._judged = judge
        if not n_kept:
            text = f"none of the log's {judge.n_read} rows can be judged" if judge.n_read else "the log has no rows; give one per logged decision"
            raise ReplayError("\n".join([text, *(f"  {finding}" for finding in judge.findings)]))

    def _known(self) -> Judge:
        if self._judged is None:
            deque(self.chunks(()), 0)
        return self._judged or Judge()

    def _repeated(self, advance: Callable[[int, int | None], None]) -> tuple[Ints | None, int]:
        """The rows that repeat a decision, and how many were read for it; none where the log names no decisions."""
        if "decision_id" not in self.columns:
            return None, 0
        from nba_engine.replay.repeats import repeated_rows

        names = ("decision_id", "rank" if "rank" in self.columns else "action")
        n_read = 0

        def read() -> Iterator[Sequence[pa.ChunkedArray]]:
            nonlocal n_read
            for batch in self._source.read([self._naming.theirs[name] for name in names if name in self.columns]):
                yield batch.columns
                n_read += batch.num_rows
                advance(n_read // 2, self._source.n_rows)

        return repeated_rows(read()), n_read


def first_offers(table: pa.Table) -> pa.Table:
    """Of slates what was placed first; rows without a rank stand for themselves. ReplayError where ranks do not count from 1."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if "rank" not in table.column_names:
        return table
    rank = table.column("rank")
    if not (pa.types.is_integer(rank.type) or pa.types.is_floating(rank.type) or pa.types.is_null(rank.type)):
        raise ReplayError(f"column rank holds {rank.type}; it must say {COLUMNS['rank']}")
    if (least := pc.min(rank).as_py()) is not None and least < 1:
        raise ReplayError(f"column rank holds {least}; it must say {COLUMNS['rank']}: where ranks count from 0, add 1")
    first = pc.equal(rank, 1).fill_null(True)
    return table if pc.all(first).as_py() in (True, None) else table.filter(first)


def rows_of(table: pa.Table, **more: Any) -> Rows:
    """The numbers of a judged table's first offers; `more` stand in for columns of these names. What has no reward earned 0."""
    table = first_offers(table)
    columns = {name: table.column(name).to_numpy() for name in NUMBERS if name in table.column_names} | more
    for name in ("p_log", "p_target"):
        if name not in columns:
            raise _unknown(name, table.column_names)
    if table.column("reward").null_count:
        columns["reward"] = np.nan_to_num(columns["reward"])
    return check_rows(**columns) if more or not table.num_rows else Rows(**columns)  # a judged table was looked at already


def _unknown(name: str, known: list[str]) -> ReplayError:
    if name == "p_target":
        return missing(name, known)
    return ReplayError(f"the log does not say with what probability it chose: give p_log, or {CHOSEN_BY}, the columns that the choice depended on")
