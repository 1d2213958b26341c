"""An Arrow table's columns -> encoded rows, column by column; the same rows as `Encoder.encode` makes one by one.

Each column that has the Arrow type its fact suggests is converted as a whole; any other goes through the same conversion of single values that
`encode` uses, so what is accepted and what is refused is the same. A null cell is a fact given as null; a fact without a column is missing.
Cost: about 10 ns per number and 30 ns per text, lists some 50 ns per item; other types 1 us per value.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from nba_engine.errors import FactsError, RequestError
from nba_engine.facts import values as convert
from nba_engine.facts.columns import MISSING, NULL, Column
from nba_engine.facts.encoding import Encoder, Row
from nba_engine.moments import duration_us, epoch_us
from nba_engine.schema import BUILT_IN_FACTS, TIMESTAMP

Ints = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]
Texts = tuple[npt.NDArray[np.int32], npt.NDArray[np.int32]]
"""Of a column of lists: the code of every text, and how many texts each row has."""


_TO_US = pc.CastOptions(pa.timestamp("us", "UTC"), allow_time_truncate=True)
"""To microseconds, cutting off what is finer; what does not fit into 64 bits is an error."""

FACT_PREFIX = "fact."
"""Before the name of a fact whose own name is the name of another column."""

Place = tuple[str | None, str | None]
"""A channel and its direction."""


class Rows(msgspec.Struct, gc=False):
    """n encoded interactions; arrays as in `Row`, all texts of row r standing in `item_codes[item_offsets[r, 0]:item_offsets[r, -1]]`."""

    values: Ints
    states: npt.NDArray[np.uint8]
    item_codes: npt.NDArray[np.int32]
    item_offsets: npt.NDArray[np.int32]

    def slice(self, a: int, b: int) -> Rows:
        """Rows `a` to `b`, as views."""
        return Rows(self.values[a:b], self.states[a:b], self.item_codes, self.item_offsets[a:b])


def fact_columns(encoder: Encoder, table: pa.Table, taken: Sequence[str]) -> pa.Table:
    """The columns of facts under the names of their facts. Columns `taken` say something else; a fact of such a name stands as `fact.<name>`, and any
    other may (so a table that was exported can be read)."""
    declared = {column.name for column in encoder.columns}
    known = {name.partition(".")[0] for name in declared}
    names = {column: column.removeprefix(FACT_PREFIX) for column in table.column_names if column.startswith(FACT_PREFIX) and column not in declared}
    names = {column: name for column, name in names.items() if name.partition(".")[0] in known}
    dropped = {*taken, *names.values()}
    kept = table.drop_columns([column for column in table.column_names if column in dropped])
    return kept.rename_columns([names.get(column, column) for column in kept.column_names])


def encode_table(encoder: Encoder, table: pa.Table, now_us: Ints, places: Sequence[Place], place: Ints,
                 profiles: Sequence[Mapping[str, Any]] = ()) -> Rows:
    """The rows of `table`, whose columns are facts (structs as struct columns), at `now_us` int64[n] UTC microseconds.

    `places`: the channels that occur, with their directions; `place` int64[n]: which of them each row has, from the end where negative.
    `profiles`, if any, one a row: further facts where the table has no column for them. Raises FactsError naming the first fact that is of a
    wrong type.
    """
    profiles = [encoder.flattened(profile) for profile in profiles]
    n, columns = len(now_us), encoder.columns
    values, states = np.zeros((n, len(columns)), np.int64), np.full((n, len(columns)), MISSING, np.uint8)
    texts: dict[int, Texts] = {}
    given_columns = dict(zip(table.column_names, table.columns, strict=True))
    for i, column in enumerate(columns):
        if column.fact in BUILT_IN_FACTS:
            continue
        array, absent = _array_of(given_columns, column.name)
        if array is None:
            if profiles and column.name.partition(".")[0] not in given_columns:
                given = [profile.get(column.name, convert.ABSENT) for profile in profiles]
                values[:, i] = _one_by_one(given, encoder, column, texts, i)
                states[:, i] = [MISSING if value is convert.ABSENT else NULL if value is None else 0 for value in given]
            continue
        found = _texts(array, encoder, column) if _is_text_list(column) else None
        if found is not None:
            texts[i] = found
            values[:, i] = found[1]
        else:
            values[:, i] = _numbers(array, encoder, column, texts, i)
        states[:, i] = _nulls(array) * np.uint8(NULL) if array.null_count else 0
        if absent is not None:
            states[absent, i] = MISSING
    _fill_built_in(encoder, now_us, places, place, values, states)
    item_codes, item_offsets = _items([texts.get(i) for i, column in enumerate(columns) if column.kind == "list"], n)
    encoder.note_unknown(table.column_names)
    return Rows(values, states, item_codes, item_offsets)


def check_table(encoder: Encoder, table: pa.Table) -> None:
    """Raises FactsError naming the first fact that `encode_table` would refuse; converts only where the Arrow type does not settle it."""
    given = dict(zip(table.column_names, table.columns, strict=True))
    for i, column in enumerate(encoder.columns):
        array, _ = (None, None) if column.fact in BUILT_IN_FACTS else _array_of(given, column.name)
        if array is None or _is_settled(array.type, column.kind):
            continue
        if not (_is_text_list(column) and _flat_texts(array, column) is not None):
            _numbers(array, encoder, column, {}, i)


def _is_settled(type_: pa.DataType, kind: str) -> bool:
    """Whether all values of this type are taken for a fact, or an item of a list, of a kind."""
    is_ = pa.types
    if is_.is_integer(type_):
        return kind in ("int", "double") and not is_.is_uint64(type_)
    return (kind == "double" and is_.is_floating(type_)) or (kind == "bool" and is_.is_boolean(type_)) or (kind == "string" and _is_text(type_))


def table_of(given: Any) -> pa.Table:
    """What a caller gives as a table, as one of pyarrow's; RequestError where it cannot be read as such."""
    try:
        return given if isinstance(given, pa.Table) else pa.table(given)
    except (TypeError, ValueError, OverflowError, pa.ArrowException) as error:  # texts that are no valid Unicode are a ValueError
        raise RequestError(f"the table is a {type(given).__name__} that cannot be read ({error}); give a pyarrow Table, a data frame that exports "
                           "Arrow, or a mapping of names to columns of one length and type", "table") from error


def learn_texts(encoder: Encoder, table: pa.Table) -> pa.Table:
    """Give codes to the texts of a table's facts that have none yet, in the order in which learning row after row would; the table with its columns
    of texts as dictionaries, so that no text is looked at twice."""
    given = dict(zip(table.column_names, table.columns, strict=True))
    for column in encoder.columns:
        if not column.has_vocabulary or column.fact in BUILT_IN_FACTS:
            continue
        array, _ = _array_of(given, column.name)
        if array is None:
            continue
        if column.name in given and _is_text(array.type) and not pa.types.is_dictionary(array.type):
            array = array.dictionary_encode()
            given[column.name] = pa.chunked_array([array])
            texts = array.dictionary.to_pylist()
        else:
            texts = _distinct_texts(array, column)
        codes = encoder.vocabulary.codes(column.name)
        for text in texts:
            if text not in codes:
                encoder.vocabulary.learn(column.name, text)
    return pa.table(given)


def _distinct_texts(array: pa.Array, column: Column) -> list[str]:
    """The texts of a column in order of first appearance."""
    flat = array.flatten() if _is_text_list(column) and (pa.types.is_list(array.type) or pa.types.is_large_list(array.type)) else array
    if _is_text(flat.type):
        found = flat.unique().to_pylist()
    else:
        values = [convert.plain(value, column.type, column.name) for value in _pylist(array) if value is not None]
        found = list(dict.fromkeys(text for value in values for text in value) if column.kind == "list" else dict.fromkeys(values))
    return [text for text in found if text is not None]


def texts_of(table: pa.Table, name: str, optional: bool) -> pa.DictionaryArray:
    """A column of texts, dictionary-encoded; all null where it may be left out and is. RequestError names a row that holds something else."""
    if name not in table.column_names:
        return pa.nulls(table.num_rows, pa.string()).dictionary_encode()
    array = _whole(table.column(name))
    if pa.types.is_null(array.type):
        array = array.cast(pa.string())
    nulls = _nulls(array)
    if not _is_text(array.type) or (nulls.any() and not optional):
        row = int(np.argmax(nulls if _is_text(array.type) else ~nulls))
        value = array[row].as_py()
        raise RequestError(f"row {row}: {name} is {value!r} of type {type(value).__name__}; give a text", "table")
    return array if pa.types.is_dictionary(array.type) else array.cast(pa.string()).dictionary_encode()


def moments_of(column: pa.ChunkedArray, default_us: int | None) -> Ints:
    """Microseconds UTC of a column of times, the default where null; RequestError names a row that holds something else."""
    if pa.types.is_timestamp(column.type) and column.type.tz is not None and (default_us is not None or not column.null_count):
        try:
            whole = column.cast(options=_TO_US).cast(pa.int64())
        except pa.ArrowInvalid as error:
            raise RequestError(f"column at: {error}; give times of the years 1 to 9999", "table") from None
        given: Ints = _filled(whole, 0)
        for row in (int(given.argmin()), int(given.argmax())) if len(given) else ():
            _moment(int(given[row]), row)
        return given if default_us is None else _filled(whole, default_us)
    found = [default_us if value is None and default_us is not None else _moment(value, row) for row, value in enumerate(column.to_pylist())]
    return np.array(found, np.int64)


def _moment(value: Any, row: int) -> int:
    try:
        return epoch_us(convert.plain(value, TIMESTAMP, "at"))
    except FactsError as error:
        raise RequestError(f"row {row}: {error}", "table") from None


def row_of(encoder: Encoder, table: pa.Table, row: int, now_us: int, channel: str | None, direction: str | None,
           profile: Mapping[str, Any] | None = None) -> Row:
    """One row as `encode` makes it: for what needs the facts themselves."""
    return encoder.encode({**(profile or {}), **table.slice(row, 1).to_pylist(maps_as_pydicts="strict")[0]}, now_us, channel, direction)


def _array_of(given: Mapping[str, pa.ChunkedArray], name: str) -> tuple[pa.Array | None, Flags | None]:
    """The array of a column or of a struct's field (`address.city`), None where there is none; and where the struct itself is null."""
    if name in given:
        return _whole(given[name]), None
    first, *path = name.split(".")
    if not path or first not in given:
        return None, None
    array = _whole(given[first])
    absent = np.zeros(len(array), np.bool_)
    for field in path:
        if not pa.types.is_struct(array.type):
            raise FactsError(f"fact {first!r}: the column is {array.type}, need a struct", first)
        if array.type.get_field_index(field) < 0:
            return None, None
        absent |= _nulls(array)
        array = pc.struct_field(array, field)
    return array, absent


def _whole(column: pa.ChunkedArray) -> pa.Array:
    found = column.combine_chunks()
    found = found.chunk(0) if isinstance(found, pa.ChunkedArray) else found
    return found.dictionary_decode() if pa.types.is_dictionary(found.type) and not pa.types.is_string(found.type.value_type) else found


def _nulls(array: pa.Array) -> Flags:
    return array.is_null().to_numpy(zero_copy_only=False) if array.null_count else np.zeros(len(array), np.bool_)


def _numbers(array: pa.Array, encoder: Encoder, column: Column, texts: dict[int, Texts], i: int) -> Ints:
    """What stands in `Row.values` for each value, 0 for null."""
    kind, is_ = column.kind, pa.types
    try:
        if kind == "int" and is_.is_integer(array.type):
            return _filled(array.cast(pa.int64()), 0)
        if kind == "double" and (is_.is_floating(array.type) or is_.is_integer(array.type)):
            return np.ascontiguousarray(_filled(array.cast(pa.float64(), safe=False), 0.0)).view(np.int64)
        if kind == "bool" and is_.is_boolean(array.type):
            return _filled(array.cast(pa.uint8()), 0)
        if kind == "timestamp" and is_.is_timestamp(array.type) and array.type.tz is not None:
            return _moments(array.cast(options=_TO_US).cast(pa.int64()), column.name)
        if kind == "timestamp" and is_.is_int64(array.type):
            return _moments(array, column.name)
        if kind == "duration" and is_.is_duration(array.type):
            return _filled(array.cast(pa.duration("us"), safe=False).cast(pa.int64()), 0)
        if kind == "string" and _is_text(array.type):
            return _codes(array, encoder.vocabulary.codes(column.name))
        if (kind == "list" and (is_.is_list(array.type) or is_.is_large_list(array.type))
                and _is_settled(array.type.value_type, column.type.parameters[0].kind) and not array.flatten().null_count):
            return _filled(pc.list_value_length(array).cast(pa.int64()), 0)
    except pa.ArrowInvalid as error:
        raise FactsError(f"fact {column.name!r}: {error}; give values of type {column.type}", column.name) from None
    return _one_by_one(_pylist(array), encoder, column, texts, i)


def _moments(array: pa.Array, name: str) -> Ints:
    """Microseconds, 0 for null; FactsError as `encode` raises it where one is of no year from 1 to 9999."""
    found: Ints = _filled(array, 0)
    for extreme in (found.min(), found.max()) if len(found) else ():
        convert.plain(int(extreme), TIMESTAMP, name)
    return found


def _one_by_one(given: Sequence[Any], encoder: Encoder, column: Column, texts: dict[int, Texts], i: int) -> Ints:
    """The values of a column whose Arrow type says too little, each as `encode` takes it; null and absent ones 0."""
    codes = encoder.vocabulary.codes(column.name) if column.has_vocabulary else {}
    found = [None if value is None or value is convert.ABSENT else convert.plain(value, column.type, column.name) for value in given]
    if column.kind == "list" and column.has_vocabulary:
        lengths = np.array([0 if value is None else len(value) for value in found], np.int32)
        texts[i] = np.array([codes.get(text, 0) for value in found if value for text in value], np.int32), lengths
        return lengths.astype(np.int64)
    number = _NUMBER_OF.get(column.kind) or (lambda value: codes.get(value, 0) if column.kind == "string" else 0)
    try:
        return np.array([0 if value is None else number(value) for value in found], np.int64)
    except OverflowError:
        raise FactsError(f"fact {column.name!r}: a value does not fit into 64 bits; give values from -2**63 to 2**63 - 1", column.name) from None


_NUMBER_OF: dict[str, Callable[[Any], int]] = {
    "int": int,
    "double": lambda value: int(np.float64(value).view(np.int64)),
    "bool": int,
    "timestamp": epoch_us,
    "duration": duration_us,
    "list": len,
    "other": lambda value: len(value) if isinstance(value, Mapping) else 0,
}


def _pylist(array: pa.Array) -> list[Any]:
    return array.to_pylist(maps_as_pydicts="strict") if pa.types.is_map(array.type) else array.to_pylist()


def _texts(array: pa.Array, encoder: Encoder, column: Column) -> Texts | None:
    """Codes and lengths of lists of texts; None where the column is something else."""
    flat = _flat_texts(array, column)
    if flat is None:
        return None
    return _codes(flat, encoder.vocabulary.codes(column.name)), _filled(pc.list_value_length(array).cast(pa.int32()), 0)


def _flat_texts(array: pa.Array, column: Column) -> pa.Array | None:
    """The texts of all lists, one behind the other; None where the column is something else."""
    if not ((pa.types.is_list(array.type) or pa.types.is_large_list(array.type)) and _is_text(array.type.value_type)):
        return None
    flat = array.flatten()
    if flat.null_count:
        raise FactsError(f"fact {column.name!r}: a list holds null, need a list of {column.type.parameters[0]}", column.name)
    return flat


def _codes(array: pa.Array, codes: Mapping[str, int]) -> npt.NDArray[np.int32]:
    """The code of each text, 0 for null and for a text without one; each distinct text is looked up once."""
    coded = array if pa.types.is_dictionary(array.type) else array.dictionary_encode()
    known = np.array([0 if text is None else codes.get(text, 0) for text in coded.dictionary.to_pylist()] + [0], np.int32)
    return known[_filled(coded.indices.cast(pa.int64()), len(known) - 1)]


def _filled(array: pa.Array, default: float) -> npt.NDArray[Any]:
    return (array.fill_null(default) if array.null_count else array).to_numpy(zero_copy_only=False)


def _items(lists: Sequence[Texts | None], n: int) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int32]]:
    """The texts of all lists, row behind row and in a row list behind list: codes and offsets int32[n, n_lists + 1]."""
    lengths = np.zeros((n, len(lists)), np.int64)
    for k, texts in enumerate(lists):
        if texts is not None:
            lengths[:, k] = texts[1]
    ends = np.cumsum(lengths.reshape(-1)).reshape(n, len(lists))
    starts = ends - lengths
    codes = np.empty(int(lengths.sum()), np.int32)
    for k, texts in enumerate(lists):
        if texts is not None and len(texts[0]):
            before = np.cumsum(lengths[:, k]) - lengths[:, k]
            codes[np.repeat(starts[:, k] - before, lengths[:, k]) + np.arange(len(texts[0]))] = texts[0]
    first = starts[:, :1] if lists else np.zeros((n, 1), np.int64)
    return codes, np.ascontiguousarray(np.hstack([first, ends]), dtype=np.int32)


def _fill_built_in(encoder: Encoder, now_us: Ints, places: Sequence[Place], place: Ints, values: Ints, states: npt.NDArray[np.uint8]) -> None:
    absent = np.array([MISSING if channel is None else 0 for channel, _ in places], np.uint8)[place]
    for i, column in enumerate(encoder.columns):
        if column.fact not in BUILT_IN_FACTS:
            continue
        if column.name == "now":
            values[:, i], states[:, i] = now_us, 0
            continue
        codes = encoder.vocabulary.codes(column.name)
        texts = [pair[0] if column.name == "channel" else pair[1] for pair in places]
        values[:, i], states[:, i] = np.array([0 if text is None else codes.get(text, 0) for text in texts], np.int64)[place], absent


def _is_text(type_: pa.DataType) -> bool:
    if pa.types.is_dictionary(type_):
        return _is_text(type_.value_type)
    return pa.types.is_string(type_) or pa.types.is_large_string(type_) or pa.types.is_string_view(type_)


def _is_text_list(column: Column) -> bool:
    return column.kind == "list" and column.has_vocabulary
