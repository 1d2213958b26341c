"""What is odd about the rows of a log: looked at chunk by chunk, counted and named; what cannot be judged is set aside, never dropped in silence."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from nba_engine.errors import ReplayError, RequestError
from nba_engine.replay.importance import CHANCE_NEEDED, LIMITS, NUMBER_MAX, Float, within
from nba_engine.replay.naming import COLUMNS, NUMBERS
from nba_engine.replay.pmfs import Numbering

if TYPE_CHECKING:
    import pyarrow as pa

Mask = npt.NDArray[np.bool_]
Ints = npt.NDArray[np.int64]

JUDGED = (*NUMBERS, "at", "outcome_at", "pmf_log", "pmf_target")
"""Columns that are looked at, where a log has them; `action` too where there are distributions."""

_PMF_TOLERANCE = 1e-3
_NO_ROWS = np.zeros(0)


@dataclass(frozen=True, slots=True)
class Finding:
    """What is odd about `n` rows, the first being row `first_row` of the log (from 0); `set_aside` says whether they were left out."""

    text: str
    n: int
    first_row: int
    set_aside: bool

    def __str__(self) -> str:
        return f"{self.n} row{'s' * (self.n != 1)} ({'set aside' if self.set_aside else 'kept'}; the first is row {self.first_row}): {self.text}"


class Judge:
    """Judges chunk behind chunk of one log; what was found so far stands in `findings`, in the order in which it is looked for. `repeated`: the rows,
    ascending, that are known to repeat a decision."""

    def __init__(self, repeated: Ints | None = None) -> None:
        self.n_read = 0
        self._repeated = np.zeros(0, np.int64) if repeated is None else repeated
        self._found: dict[tuple[int, str], Finding] = {}
        self._numbering = Numbering()
        self._usable: Mask = np.zeros(0, np.bool_)
        self._n_looked_for = 0

    @property
    def findings(self) -> tuple[Finding, ...]:
        return tuple(self._found[key] for key in sorted(self._found))

    def judged(self, table: pa.Table) -> pa.Table:
        """The rows of the next chunk that can be judged, their numbers as float64; of them only the reward may be null."""
        import pyarrow as pa

        self._usable, self._n_looked_for = np.ones(table.num_rows, np.bool_), 0
        numbers = {name: self._numbers(table, name) for name in NUMBERS if name in table.column_names}
        numbers |= self._from_pmfs(table, numbers)
        self._look_at_numbers(table, numbers)
        repeated = np.zeros(table.num_rows, np.bool_)
        start, stop = np.searchsorted(self._repeated, [self.n_read, self.n_read + table.num_rows])
        repeated[self._repeated[start:stop] - self.n_read] = True
        self._note(repeated, "the decision stands in an earlier row already", True)
        if "at" in table.column_names and "outcome_at" in table.column_names:
            self._note(_early(table), "the outcome came back before the decision was made; it cannot have earned this reward", False)
        self.n_read += table.num_rows
        for name, values in numbers.items():
            if name not in table.column_names:
                table = table.append_column(name, pa.array(values))
            elif table.schema.field(name).type != pa.float64():
                column = pa.array(values, mask=table.column(name).is_null().to_numpy())
                table = table.set_column(table.column_names.index(name), name, column)
        return table if self._usable.all() else table.filter(self._usable)

    def _look_at_numbers(self, table: pa.Table, numbers: dict[str, Float]) -> None:
        odd = {name: values for name, values in numbers.items() if not within(name, values)}  # the others need no second look
        nothing = np.zeros(table.num_rows, np.bool_)
        if "action" in table.column_names and "p_log" in odd:
            nothing = np.isnan(odd["p_log"]) & table.column("action").is_null().to_numpy()
        self._note(nothing, "nothing was offered: what is judged are the decisions that offered something", True)
        for name, need in (("p_log", CHANCE_NEEDED), ("p_target", "[0, 1]")):
            p = odd.get(name, _NO_ROWS)
            inside = (p >= LIMITS[name][0]) & (p <= LIMITS[name][1])
            self._note(~inside & ~np.isnan(p), f"{name} lies outside {need}", True)
            self._note(np.isnan(p) & ~nothing[: len(p)], f"{name} is missing", True)
        silent = table.column("reward").is_null().to_numpy() if "reward" in odd else _NO_ROWS > 0
        self._note(silent, "no reward; it counts as 0, because what was recommended and not answered earned nothing", False)
        self._note(~(abs(odd.get("reward", _NO_ROWS)) <= NUMBER_MAX) & ~silent, "the reward is no finite number", True)
        for name in ("q_logged", "q_target"):
            self._note(~(abs(odd.get(name, _NO_ROWS)) <= NUMBER_MAX), f"{name} is no finite number", True)
        mass = odd.get("unsupported", _NO_ROWS)
        self._note(~((mass >= 0) & (mass <= LIMITS["unsupported"][1])), "unsupported lies outside [0, 1]", True)

    def _from_pmfs(self, table: pa.Table, numbers: dict[str, Float]) -> dict[str, Float]:
        """p_log, p_target and unsupported, as far as distributions give them and no column of their own does."""
        given = [name for name in ("pmf_log", "pmf_target") if name in table.column_names]
        if not given or "action" not in table.column_names:
            return {}
        chosen = self._numbering.numbers(table.column("action"))
        pmfs = {name: self._numbering.pmf(table.column(name), name) for name in given}
        found: dict[str, Float] = {}
        for name, pmf in pmfs.items():
            probability = f"p_{name[4:]}"
            own, inside = pmf.of(chosen)
            known = np.bincount(pmf.row, minlength=pmf.n) > 0
            self._note(known & ~(abs(pmf.total - 1) <= _PMF_TOLERANCE), f"{name} does not sum to 1", False)
            self._note(known & ~(pmf.total > 0), f"{name} holds no probabilities", True)
            if name == "pmf_log":
                self._note(known & ~inside, "the action is not in pmf_log: the log could not have chosen it", True)
                own = np.where(inside, own, np.nan)
            own = np.where(known, own, np.nan)
            if probability in numbers:
                apart = abs(numbers[probability] - own) > _PMF_TOLERANCE
                self._note(known & apart, f"{probability} is not what {name} says of the action; {probability} is taken", False)
            else:
                found[probability] = own
        if len(pmfs) == 2 and "unsupported" not in numbers:
            found["unsupported"] = np.minimum(pmfs["pmf_target"].outside(pmfs["pmf_log"]), 1.0)
        return found

    def _numbers(self, table: pa.Table, name: str) -> Float:
        """The column as float64[n], NaN where it is null."""
        import pyarrow as pa

        column = table.column(name)
        try:
            # Not safe: a whole number beyond 2**53 is rounded, as every double is, and not refused.
            return column.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:  # a text that is no number, or a type that never is one
            odd = ((i, value) for i, value in enumerate(column.to_pylist()) if not _is_number(value))
            row, value = next(odd, (None, None))
            what = f"holds {value!r} in row {self.n_read + row}, which is no number" if row is not None else f"does not hold plain numbers ({error})"
            raise ReplayError(f"column {name} {what}; it must say {COLUMNS[name]} (write 0.5 for 50 %, 1 for yes and 0 for no)") from None

    def _note(self, odd: Mask, text: str, set_aside: bool) -> None:
        """Rows that were set aside for another cause are not counted again."""
        self._n_looked_for += 1
        if not odd.any():
            return
        odd = odd & self._usable
        if odd.any():
            key, n, first_row = (self._n_looked_for, text), int(odd.sum()), self.n_read + int(np.argmax(odd))
            known = self._found.get(key)
            self._found[key] = Finding(text, n, first_row, set_aside) if known is None else replace(known, n=known.n + n)
            if set_aside:
                self._usable = self._usable & ~odd


def _is_number(value: Any) -> bool:
    try:
        return value is None or float(value) is not None
    except (TypeError, ValueError):
        return False


def _early(table: pa.Table) -> Mask:
    """Which outcomes came back before their decision was made; both moments must be known."""
    import pyarrow as pa
    import pyarrow.compute as pc

    at, back = table.column("at"), table.column("outcome_at")
    if pa.types.is_timestamp(at.type) and at.type == back.type:
        early = pc.less(back, at)
        return early.fill_null(False).to_numpy() if pc.any(early).as_py() else np.zeros(len(early), np.bool_)
    known = ~(at.is_null().to_numpy() | back.is_null().to_numpy())
    return known & (moments(table, "outcome_at", 0) < moments(table, "at", 0))


def moments(table: pa.Table, name: str, default_us: int | None) -> Ints:
    """A column of times as microseconds UTC, the default where it is null."""
    from nba_engine.facts.tables import moments_of

    try:
        return moments_of(table.column(name), default_us)
    except RequestError as error:
        said = str(error).replace("fact 'at'", f"column {name}").partition("; give")[0]
        raise ReplayError(f"{said}; give times with their zone, such as 2026-03-02T12:00:00Z, or epoch microseconds") from error
