"""Columns that hold a whole distribution over the actions per row: of what was chosen its probability, and what one side has that the other lacks.

A distribution is a list (the action is a position in it), a map or struct (the action is a name), or text of either as JSON.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from nba_engine.errors import ReplayError
from nba_engine.replay.importance import Float

if TYPE_CHECKING:
    import pyarrow as pa

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Pmf:
    """`n` rows' distributions, entry behind entry: `row` int64[k] ascending, `action` int64[k] its number, `p` float64[k]."""

    n: int
    row: Ints
    action: Ints
    p: Float

    def of(self, chosen: Ints) -> tuple[Float, npt.NDArray[np.bool_]]:
        """The probability of each row's chosen action, and whether the distribution has it at all; 0 where it has not."""
        hit = self.action == chosen[self.row]
        found, inside = np.zeros(self.n), np.zeros(self.n, np.bool_)
        found[self.row[hit]], inside[self.row[hit]] = self.p[hit], True
        return found, inside

    @property
    def total(self) -> Float:
        """The sum of each row."""
        return np.bincount(self.row, self.p, self.n)

    def outside(self, other: Pmf) -> Float:
        """The mass of each row on what `other` gives no chance."""
        size = 1 + int(max(self.action.max(initial=0), other.action.max(initial=0)))
        possible = (other.row * size + other.action)[other.p > 0]
        return np.bincount(self.row, np.where(np.isin(self.row * size + self.action, possible), 0.0, self.p), self.n)


class Numbering:
    """Numbers of actions, by their names as they come. A position's name is its number: 7, 7.0 and '7' are one action, whoever wrote them."""

    def __init__(self) -> None:
        self._names: dict[str, int] = {}

    def pmf(self, column: pa.ChunkedArray, name: str) -> Pmf:
        """A column of distributions; null rows have no entries. ReplayError where it is something else."""
        import pyarrow as pa

        whole = one_array(column)
        if pa.types.is_string(whole.type) or pa.types.is_large_string(whole.type):
            whole = _parsed(whole, name)
        n = len(whole)
        if pa.types.is_struct(whole.type):
            return self._of_struct(whole, name)
        if pa.types.is_fixed_size_list(whole.type):
            whole = whole.cast(pa.list_(whole.type.value_type))
        if not (pa.types.is_map(whole.type) or pa.types.is_list(whole.type) or pa.types.is_large_list(whole.type)):
            raise ReplayError(f"column {name} holds {whole.type}; a distribution is a list, a map or a struct of numbers, or JSON of one")
        lengths = _lengths(whole)
        row = np.repeat(np.arange(n), lengths)
        if pa.types.is_map(whole.type):
            inside = slice(*np.asarray(whole.offsets)[[0, -1]].tolist())
            return Pmf(n, row, self.numbers(whole.keys[inside]), _float(whole.items[inside], name))
        flat = whole.flatten()
        first = np.cumsum(lengths) - lengths
        named = next((text for text in self._names if not re.fullmatch("-?[0-9]+", text)), None)
        if named is not None:
            raise ReplayError(f"column {name} holds lists, whose places are the actions 0, 1, 2 ..., and an action is called {named!r}; "
                              "give maps, or JSON objects, that name their actions")
        own = np.array([self._number(str(place)) for place in range(lengths.max(initial=0))], np.int64)
        return Pmf(n, row, own[np.arange(len(row)) - np.repeat(first, lengths)], _float(flat, name))

    def numbers(self, names: pa.Array | pa.ChunkedArray) -> Ints:
        """The number of each action; -1 for null."""
        import pyarrow as pa

        whole = one_array(names)
        try:
            coded = whole if pa.types.is_dictionary(whole.type) else whole.dictionary_encode()
        except pa.ArrowNotImplementedError:
            raise ReplayError(f"column action holds {whole.type}; give one name or number of an action in each row") from None
        own = [-1 if text is None else self._number(text) for text in _texts(coded.dictionary)]
        return np.array([*own, -1], np.int64)[np.asarray(coded.indices.fill_null(len(own)))]

    def _number(self, name: str) -> int:
        return self._names.setdefault(name, len(self._names))

    def _of_struct(self, whole: pa.Array, name: str) -> Pmf:
        n, fields = len(whole), [field.name for field in whole.type]
        p = np.stack([_float(whole.field(i), name) for i in range(len(fields))], axis=1) if fields else np.zeros((n, 0))
        known = ~np.isnan(p) & ~whole.is_null().to_numpy(zero_copy_only=False)[:, None]
        own = np.array([self._number(field) for field in fields], np.int64)
        row, place = np.nonzero(known)
        return Pmf(n, row, own[place], p[known])


def _texts(names: pa.Array) -> list[str | None]:
    import pyarrow as pa

    if not pa.types.is_floating(names.type):
        return names.cast(pa.string()).to_pylist()
    return [None if value is None or value != value else str(int(value)) if value.is_integer() else str(value) for value in names.to_pylist()]


def _parsed(texts: pa.Array, name: str) -> pa.Array:
    """JSON lists as lists, JSON objects as maps."""
    import pyarrow as pa

    try:
        values = [None if text is None else json.loads(text) for text in texts.to_pylist()]
        if any(isinstance(value, dict) for value in values):
            return pa.array([None if value is None else list(value.items()) for value in values], pa.map_(pa.string(), pa.float64()))
        return pa.array(values, pa.list_(pa.float64()))
    except (ValueError, AttributeError, TypeError, pa.ArrowException) as error:
        raise ReplayError(f"column {name} holds text that is no JSON list or object of numbers ({error})") from error


def _lengths(array: Any) -> Ints:
    """Of a list or map, 0 for null."""
    offsets = np.asarray(array.offsets).astype(np.int64)
    return np.where(array.is_null().to_numpy(zero_copy_only=False), 0, np.diff(offsets))


def _float(array: pa.Array, name: str) -> Float:
    import pyarrow as pa

    try:
        return array.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:  # a text that is no number, or a type that never is one
        raise ReplayError(f"column {name} holds probabilities that are no numbers ({error})") from error


def one_array(column: Any) -> Any:
    """A column as one array, whatever its chunks."""
    import pyarrow as pa

    if isinstance(column, pa.ChunkedArray) and column.num_chunks == 1:
        return column.chunk(0)  # combining would copy it
    found = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    return pa.concat_arrays(found.chunks) if isinstance(found, pa.ChunkedArray) else found
