"""Which rows of a log repeat the decision of an earlier row, told while the log is read.

Rows become 64-bit keys, and a table holds those that came: two different decisions of n would have to share a key to be confused, a chance of
n^2 / 2^65 for the whole log. A log of more than KEYS_MAX rows is looked through by parts, so that the table has a largest size: each part is the
keys of one remainder, all but the first are looked for in passes ahead of the one that reads the rows.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from nba_engine.numerics.kernel import kernel
from nba_engine.numerics.random import combine, keys_of

Keys = npt.NDArray[np.uint64]
Ints = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]
Columns = Sequence[pa.ChunkedArray]

_ODD = np.uint64(0x9E3779B97F4A7C15)

KEYS_MAX = 50_000_000
"""Keys that are held at once: 533 MB of them where the number of rows is known, else the next power of two of bytes."""


class Repeats:
    """Which of the next rows agree with an earlier row in all of these columns; where the first of them is null, none.

    `read` goes through these columns of the log anew, `n_rows` is their length, None where not known. **Cost** some 60 ns a row and 10.7 bytes, at
    most 533 MB; where the number of rows is not known, up to 21 bytes a row.
    """

    def __init__(self, read: Callable[[], Iterable[Columns]], n_rows: int | None) -> None:
        self._n_parts = max(1, math.ceil((n_rows or 0) / KEYS_MAX))
        self._n_of_part = None if n_rows is None else math.ceil(n_rows / self._n_parts)
        self._ahead = np.unique(np.concatenate([np.zeros(0, np.int64), *(self._rows(read(), part) for part in range(1, self._n_parts))]))
        self._held, self._n_read = _Held(self._n_of_part), 0

    def among(self, columns: Columns) -> Mask:
        """True where one of the next rows repeats an earlier one."""
        keys = keys_of_rows(columns)
        found = self._held.found(self._of_part(keys, 0))
        start, stop = np.searchsorted(self._ahead, [self._n_read, self._n_read + len(keys)])
        found[self._ahead[start:stop] - self._n_read] = True
        self._n_read += len(keys)
        return found

    def _of_part(self, keys: Keys, part: int) -> Keys:
        return keys if self._n_parts == 1 else np.where(keys % np.uint64(self._n_parts) == part, keys, np.uint64(0))

    def _rows(self, read: Iterable[Columns], part: int) -> Ints:
        held, found = _Held(self._n_of_part), [np.zeros(0, np.int64)]
        n_read = 0
        for columns in read:
            keys = keys_of_rows(columns)
            found.append(n_read + np.flatnonzero(held.found(self._of_part(keys, part))))
            n_read += len(keys)
        return np.concatenate(found)


class _Held:
    """Keys that came so far, in an open table at most three quarters full."""

    def __init__(self, n_keys: int | None) -> None:
        self._table = np.zeros(_cells(n_keys or 2**14), np.uint64)
        self._n = 0

    def found(self, keys: Keys) -> Mask:
        if _cells(self._n + len(keys)) > len(self._table):
            self._grow(_cells(2 * (self._n + len(keys))))
        found = np.zeros(len(keys), np.bool_)
        _fill_found(keys, self._table, found)
        self._n += len(keys) - int(np.count_nonzero(found))
        return found

    def _grow(self, n_cells: int) -> None:
        held = self._table[self._table != 0]
        self._table = np.zeros(n_cells, np.uint64)
        _fill_found(held, self._table, np.zeros(len(held), np.bool_))


def _cells(n_keys: int) -> int:
    return n_keys + n_keys // 3 + 8


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
        texts = whole.cast(pa.large_binary() if binary else pa.large_string())
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
