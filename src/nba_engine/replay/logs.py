"""Reading a log of decisions: whose columns are which, and what is odd about its rows, counted and named."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from nba_engine.catalog.faults import nearest, suggestion
from nba_engine.catalog.loading import read as read_source
from nba_engine.errors import CatalogError, ReplayError, RequestError
from nba_engine.replay.importance import TOLERANCE, Float, Rows, check_rows

if TYPE_CHECKING:
    import pyarrow as pa

Mask = npt.NDArray[np.bool_]

COLUMNS: Mapping[str, str] = {
    "reward": "what the logged decision earned",
    "p_log": "with what probability the log chose what it chose",
    "p_target": "with what probability the target chooses the same",
    "q_logged": "a reward model's word on the logged action",
    "q_target": "what that model expects under the target",
    "unsupported": "the target's mass on what the log could not choose",
    "action": "what was chosen",
    "subject": "who was asked for",
    "at": "when it was decided",
    "outcome_at": "when the reward came back",
    "decision_id": "which decision the row belongs to",
    "rank": "where in its slate the row stood, from 1",
}
"""The columns of a log and what they say. `reward` and `p_log` are needed."""

_NUMBERS = ("reward", "p_log", "p_target", "q_logged", "q_target", "unsupported")
_OTHER_NAMES: Mapping[str, tuple[str, ...]] = {
    "reward": ("click", "clicked", "converted", "outcome", "label", "y"),
    "p_log": ("selection_probability", "pscore", "propensity_score", "probability", "logging_probability", "p"),
    "p_target": ("evaluation_pscore", "eval_pscore", "target_probability"),
}
"""What others call them: to suggest, never to assume."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What is odd about `n` rows, the first being row `first_row` of the log (from 0); `set_aside` says whether they were left out."""

    text: str
    n: int
    first_row: int
    set_aside: bool

    def __str__(self) -> str:
        return f"{self.n} row{'s' * (self.n != 1)} ({'set aside' if self.set_aside else 'kept'}; the first is row {self.first_row}): {self.text}"


@dataclass(frozen=True, slots=True)
class Log:
    """Rows that can be judged, under the names of `COLUMNS`, beside all other columns as they were; and what was found while reading."""

    table: pa.Table
    n_read: int
    findings: tuple[Finding, ...]

    @staticmethod
    def read(path_or_table: Any, columns: Mapping[str, str] | str | Path | None = None) -> Log:
        """A log from Parquet (.parquet), CSV (.csv), Arrow (.arrow, .feather), or anything that exports Arrow or is a mapping of columns.

        Parameters
        ----------
        path_or_table : where it is, or what it is. One row per offer; decisions of several offers carry `decision_id` and `rank`.
        columns : their names by ours (`COLUMNS`), where they differ; or a YAML or JSON file of such a mapping. `selection_probability`, as
            `nba export` writes it, is taken as p_log where nothing else is.

        Raises
        ------
        ReplayError : a needed column is missing (the text names what looks like it), holds no numbers, or no row is left.

        Notes
        -----
        Set aside, each counted in `findings`: rows whose p_log is not in (0, 1] or p_target not in [0, 1], whose reward is no finite number, and
        all but the first of those that repeat a decision (the same decision_id and rank, or action where there are no ranks). Counted and kept:
        no reward (0, by intention to treat), outcomes before their decision. **Cost**: the whole log is held in memory.
        """
        given = _table(path_or_table)
        table = _renamed(given, _mapping(columns))
        numbers = {name: _numbers(table, name) for name in _NUMBERS if name in table.column_names}
        table, findings = _judged(table, numbers)
        if not table.num_rows:
            raise ReplayError("\n".join([f"none of the log's {given.num_rows} rows can be judged", *(f"  {finding}" for finding in findings)]))
        return Log(table, given.num_rows, findings)

    def rows(self) -> Rows:
        """The rows that `estimate` judges: of slates only what was placed first, for what stands below was chosen given what stands above."""
        table = self.first_offers()
        if "p_target" not in table.column_names:
            raise ReplayError(f"the log has no column p_target ({COLUMNS['p_target']}){_resembling('p_target', table.column_names)}")
        return check_rows(**{name: table.column(name).to_numpy() for name in _NUMBERS if name in table.column_names})  # type: ignore[arg-type]

    def first_offers(self) -> pa.Table:
        """The table without what stood below rank 1."""
        if "rank" not in self.table.column_names:
            return self.table
        return self.table.filter(np.asarray(self.table.column("rank").to_numpy(zero_copy_only=False)) == 1)


def _table(given: Any) -> pa.Table:
    import pyarrow as pa

    if not isinstance(given, str | Path):
        try:
            return given if isinstance(given, pa.Table) else pa.table(given)
        except (TypeError, ValueError, pa.ArrowException) as error:
            raise ReplayError(f"came {type(given).__name__}, no table ({error}); give a path, an Arrow table or a mapping of columns") from error
    suffix = Path(given).suffix.lower()
    try:
        if suffix == ".parquet":
            from pyarrow import parquet

            return parquet.read_table(given)
        if suffix == ".csv":
            from pyarrow import csv

            return csv.read_csv(given)
        if suffix in (".arrow", ".feather"):
            from pyarrow import feather

            return feather.read_table(given)
    except (OSError, pa.ArrowException) as error:
        raise ReplayError(f"the log {given} cannot be read ({error})") from error
    raise ReplayError(f"the log {given} ends in {suffix or 'nothing'!r}; give .parquet, .csv, .arrow or .feather")


def _mapping(columns: Mapping[str, str] | str | Path | None) -> dict[str, str]:
    if columns is None:
        return {}
    value = columns
    if isinstance(columns, str | Path):
        try:
            source = read_source(columns)
        except CatalogError as error:
            raise ReplayError(f"the names of columns cannot be read; {'; '.join(fault.message for fault in error.faults)} ({columns})") from error
        if source.faults:
            raise ReplayError("\n".join([f"{columns} cannot be used", *(f"  {fault}" for fault in source.faults)]))
        value = source.value
    if not isinstance(value, Mapping) or not all(isinstance(theirs, str) for theirs in value.values()):
        raise ReplayError(f"columns holds {value!r}; give a mapping of our names to yours, such as {{p_log: pscore}}")
    for ours in value:
        if ours not in COLUMNS:
            raise ReplayError(f"columns names {ours!r}, which is no column of a log{suggestion(ours, COLUMNS)}")
    return {str(ours): theirs for ours, theirs in value.items()}


def _renamed(table: pa.Table, mapping: dict[str, str]) -> pa.Table:
    known = table.column_names
    if len(set(known)) < len(known):
        raise ReplayError(f"the log has two columns of one name among {', '.join(known)}; rename one")
    for ours, theirs in mapping.items():
        if theirs not in known:
            raise ReplayError(f"columns says that {ours} is {theirs!r}, which the log does not have{suggestion(theirs, known)}")
    if "p_log" not in mapping and "p_log" not in known and "selection_probability" in known:
        mapping = mapping | {"p_log": "selection_probability"}
    for ours in ("reward", "p_log"):
        if ours not in mapping and ours not in known:
            raise ReplayError(f"the log has no column {ours} ({COLUMNS[ours]}){_resembling(ours, known)}")
    kept = [name for name in known if name not in mapping and name not in mapping.values()]
    return table.select([*mapping.values(), *kept]).rename_columns([*mapping, *kept])


def _resembling(ours: str, known: list[str]) -> str:
    lowered = {name.lower(): name for name in known}
    near = next((lowered[other] for other in _OTHER_NAMES.get(ours, ()) if other in lowered), None) or nearest(ours, known)
    if near is None:
        return f"; it has {', '.join(known)}. Say which one it is: columns={{{ours!r}: ...}}"
    return f"; {near!r} looks like it: if it is, say columns={{{ours!r}: {near!r}}}"


def _numbers(table: pa.Table, name: str) -> Float:
    """The column as float64[n], NaN where it is null."""
    import pyarrow as pa

    try:
        column = table.column(name).cast(pa.float64())
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise ReplayError(f"column {name} holds {table.column(name).type} that are no numbers ({error}); it must say {COLUMNS[name]}") from error
    return np.array(column.to_numpy(zero_copy_only=False))


def _judged(table: pa.Table, numbers: dict[str, Float]) -> tuple[pa.Table, tuple[Finding, ...]]:
    """The rows that can be judged, their numbers as float64 without nulls, and what was found."""
    import pyarrow as pa

    findings: list[Finding] = []
    usable = np.ones(table.num_rows, dtype=np.bool_)

    def note(odd: Mask, text: str, set_aside: bool) -> None:
        nonlocal usable
        if odd.any():
            findings.append(Finding(text, int(odd.sum()), int(np.argmax(odd)), set_aside))
            usable = usable & ~odd if set_aside else usable

    for name, need in (("p_log", "(0, 1]: what was chosen had a chance"), ("p_target", "[0, 1]")):
        if name in numbers:
            p = numbers[name]
            inside = (p >= 0 if name == "p_target" else p > 0) & (p <= 1 + TOLERANCE)
            note(~inside & ~np.isnan(p), f"{name} lies outside {need}", True)
            note(np.isnan(p), f"{name} is missing", True)
    silent = table.column("reward").is_null().to_numpy()
    note(silent, "no reward; it counts as 0, because what was recommended and not answered earned nothing", False)
    numbers["reward"] = np.where(silent, 0.0, numbers["reward"])
    note(~np.isfinite(numbers["reward"]), "the reward is no finite number", True)
    note(_repeats(table), "the decision stands in an earlier row already", True)
    if "at" in table.column_names and "outcome_at" in table.column_names:
        note(_early(table), "the outcome came back before the decision was made; it cannot have earned this reward", False)
    for name, values in numbers.items():
        table = table.set_column(table.column_names.index(name), name, pa.array(values))
    return table.filter(usable), tuple(findings)


def _repeats(table: pa.Table) -> Mask:
    """Which rows repeat the decision and rank (or action) of an earlier one."""
    if "decision_id" not in table.column_names:
        return np.zeros(table.num_rows, dtype=np.bool_)
    key = np.zeros(table.num_rows, dtype=np.int64)
    for name in ("decision_id", "rank" if "rank" in table.column_names else "action"):
        if name in table.column_names:
            codes = np.unique(table.column(name).to_numpy(zero_copy_only=False).astype(str), return_inverse=True)[1]
            key = key * (int(codes.max(initial=0)) + 1) + codes
    repeats = np.ones(table.num_rows, dtype=np.bool_)
    repeats[np.unique(key, return_index=True)[1]] = False
    return repeats


def _early(table: pa.Table) -> Mask:
    """Which outcomes came back before their decision was made; both moments must be known."""
    from nba_engine.facts.tables import moments_of

    known = ~(table.column("at").is_null().to_numpy() | table.column("outcome_at").is_null().to_numpy())
    try:
        return known & (moments_of(table.column("outcome_at"), 0) < moments_of(table.column("at"), 0))
    except RequestError as error:
        raise ReplayError(f"at and outcome_at must be moments: {error}") from error
