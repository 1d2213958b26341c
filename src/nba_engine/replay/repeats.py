"""Which rows of a log repeat the decision of an earlier row, found in a pass ahead of the one that judges them.

Rows become 64-bit keys: two different decisions of n would have to share a key to be confused, a chance of n^2 / 2^65 for the whole log. Keys are
put aside in parts by their last bits, and each part is looked through in a table of its own, so that memory does not grow with the log: where there
are more than HELD_BYTES of them they wait in a temporary file.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from tempfile import SpooledTemporaryFile
from typing import IO, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from nba_engine.errors import ReplayError
from nba_engine.numerics.kernel import kernel
from nba_engine.numerics.random import combine, keys_of

Keys = npt.NDArray[np.uint64]
Ints = npt.NDArray[np.int64]
Columns = Sequence[pa.ChunkedArray]

_ODD = np.uint64(0x9E3779B97F4A7C15)

N_PARTS = 256
"""Of 50 million rows a part has 200,000 keys, whose table stays in the processor's cache."""
HELD_BYTES = 2**26
"""Keys and their rows, 12 bytes each, that are held in memory: those of 5.6 million rows."""


class _Batch(NamedTuple):
    """Where the keys of one batch of rows stand in the file: `n` keys from byte `at` on, then as many rows, counted from `first_row`; part p ends
    before the one of number `ends[p]`."""

    at: int
    first_row: int
    n: int
    ends: Ints

    def part(self, number: int) -> slice:
        return slice(int(self.ends[number - 1]) if number else 0, int(self.ends[number]))


def repeated_rows(batches: Iterable[Columns]) -> Ints:
    """The rows, ascending, that agree with an earlier row in all of these columns; where the first of them is null, none.

    **Cost** 40 to 70 ns a row beside reading them; 12 bytes a row in the folder of temporary files where the log is long, 8 bytes a repeat in memory.
    """
    try:
        with SpooledTemporaryFile(HELD_BYTES) as file:
            put = list(_put_aside(batches, file))
            return np.sort(np.concatenate([np.zeros(0, np.int64), *(_repeated_in(part, put, file) for part in range(N_PARTS))]))
    except OSError as error:
        raise ReplayError(f"looking for repeated decisions takes 12 bytes a row in the folder of temporary files, and that failed ({error}); make "
                          "room there, or name another folder in TMPDIR") from error


def _put_aside(batches: Iterable[Columns], file: IO[bytes]) -> Iterator[_Batch]:
    n_read = 0
    for columns in batches:
        keys = keys_of_rows(columns)
        by_part, rows, ends = np.empty_like(keys), np.empty(len(keys), np.uint32), np.zeros(N_PARTS, np.int64)
        _fill_parts(keys, ends, by_part, rows)
        n = int(ends[-1])
        yield _Batch(file.tell(), n_read, n, ends)
        file.write(by_part[:n].data)
        file.write(rows[:n].data)
        n_read += len(keys)


def _repeated_in(part: int, batches: Sequence[_Batch], file: IO[bytes]) -> Ints:
    n_keys = sum(own.stop - own.start for own in (batch.part(part) for batch in batches))
    table, found = np.zeros(n_keys + n_keys // 3 + 8, np.uint64), [np.zeros(0, np.int64)]
    for batch in batches:
        own = batch.part(part)
        keys, repeated = _read(file, batch.at, own, np.uint64), np.zeros(own.stop - own.start, np.bool_)
        _fill_found(keys, table, repeated)
        if repeated.any():
            found.append(batch.first_row + _read(file, batch.at + 8 * batch.n, own, np.uint32)[repeated])
    return np.concatenate(found)


def _read(file: IO[bytes], at: int, own: slice, kind: type[np.unsignedinteger]) -> npt.NDArray:
    found = np.empty(own.stop - own.start, kind)
    file.seek(at + own.start * found.itemsize)
    file.readinto(found.data)
    return found


def keys_of_rows(columns: Columns) -> Keys:
    """A key of the values of these columns together, uint64[n]; 0 where the first of them is null."""
    keys: Keys | None = None
    for column in columns:
        own = np.concatenate([np.zeros(0, np.uint64), *map(_keys_of_chunk, column.chunks)])
        if keys is None:
            keys = own
        else:
            _fill_joined(own, keys)
    return np.zeros(0, np.uint64) if keys is None else keys


def _keys_of_chunk(whole: pa.Array) -> Keys:
    if pa.types.is_dictionary(whole.type):  # as the texts themselves, each hashed once
        own = np.append(_keys_of_array(whole.dictionary), np.uint64(0))
        return own[whole.indices.fill_null(len(whole.dictionary)).to_numpy(zero_copy_only=False)]
    return _keys_of_array(whole)


def _keys_of_array(whole: pa.Array) -> Keys:
    if pa.types.is_integer(whole.type):
        numbers = whole.fill_null(0).to_numpy().astype(np.int64).view(np.uint64)
        found = np.maximum(keys_of(np.full(len(numbers), 1, np.uint64), numbers), np.uint64(1))
    else:
        binary = pa.types.is_binary(whole.type) or pa.types.is_fixed_size_binary(whole.type) or pa.types.is_string(whole.type)
        try:
            texts = whole.cast(pa.large_binary() if binary else pa.large_string())
        except pa.ArrowNotImplementedError as error:
            raise ReplayError(f"a column that tells decisions apart (decision_id, rank, action) holds {whole.type}; give texts or numbers") from error
        _, offsets, data = texts.buffers()
        starts = np.frombuffer(offsets, np.int64)[texts.offset : texts.offset + len(texts) + 1]
        found = np.empty(len(texts), np.uint64)
        first, end = int(starts[0]), int(starts[-1])
        words = np.empty((end - first) // 8 + 2, np.uint64)  # read by eight bytes, also behind the last text
        words[-2:] = 0
        if end > first:
            words.view(np.uint8)[: end - first] = np.frombuffer(data, np.uint8)[first:end]
        _fill_text_keys(words, starts, found)
    return np.where(whole.is_null().to_numpy(zero_copy_only=False), np.uint64(0), found) if whole.null_count else found


@kernel
def _fill_text_keys(words, starts, keys):
    """The key of each text: of text i the bytes `starts[i]` to `starts[i + 1]`. `words` hold those from `starts[0]` on, and one word more."""
    first = np.uint64(starts[0])
    seven, eight, top = np.uint64(7), np.uint64(8), np.uint64(63)
    for i in range(keys.shape[0]):
        at, end = np.uint64(starts[i]) - first, np.uint64(starts[i + 1]) - first
        key = end - at
        while at < end:
            word, shift = at >> np.uint64(3), (at & seven) * eight
            part = words[word] >> shift | words[word + np.uint64(1)] << np.uint64(1) << (top - shift)
            if at + eight > end:  # what stands behind the text's end is no part of it
                part &= (np.uint64(1) << (eight * (end - at))) - np.uint64(1)
            key = (key ^ part) * _ODD
            key ^= key >> np.uint64(32)
            at += eight
        keys[i] = max(combine(key, np.uint64(0)), np.uint64(1))


@kernel
def _fill_joined(own, keys):
    """Join every key but 0 with one more part."""
    for i in range(keys.shape[0]):
        if keys[i] != 0:
            keys[i] = max(combine(keys[i], own[i]), np.uint64(1))


@kernel
def _fill_parts(keys, ends, by_part, rows):
    """Keys (but 0) and their places sorted by part, in their order within it; `ends` come as zeros, one for each of 2^k parts."""
    last = np.uint64(ends.shape[0] - 1)
    for i in range(keys.shape[0]):
        ends[keys[i] & last] += keys[i] != 0
    start = 0
    for part in range(ends.shape[0]):
        start, ends[part] = start + ends[part], start
    for i in range(keys.shape[0]):
        if keys[i] != 0:
            place = ends[keys[i] & last]
            by_part[place], rows[place] = keys[i], i
            ends[keys[i] & last] = place + 1


@kernel
def _fill_found(keys, table, found):
    """Put keys (but 0) into an open table with room for them; found where one was there before. Places go by a key's upper half."""
    size, upper = np.uint64(table.shape[0]), np.uint64(32)
    for i in range(keys.shape[0]):
        key = keys[i]
        if key == 0:
            continue
        place = (key >> upper) * size >> upper
        while table[place] != 0 and table[place] != key:
            place += np.uint64(1)
            if place == size:
                place = np.uint64(0)
        found[i] = table[place] == key
        table[place] = key
