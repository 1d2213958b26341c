"""Which rows of a log repeat the decision of an earlier row, in memory that does not grow with the log.

Rows become 64-bit keys. In a first pass every key marks seven bits of one word of a table of fixed size; a row that finds its bits marked is
perhaps a repeat. A second pass, only where there are such, follows their keys alone and sees which row had each of them first. Two different
decisions of n would have to share a key to be confused: a chance of n^2 / 2^65.

**Source** Bloom 1970, "Space/time trade-offs in hash coding with allowable errors"; Putze, Sanders, Singler 2009 (one word per key).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from nba_engine.numerics.kernel import kernel
from nba_engine.numerics.random import combine, keys_of
from nba_engine.replay.pmfs import one_array

Keys = npt.NDArray[np.uint64]
Ints = npt.NDArray[np.int64]

_ODD = np.uint64(0x9E3779B97F4A7C15)

WORDS_MAX = 2**24
"""Words of the table at most, 8 bytes each: at 50 million decisions one row in several thousand must be followed."""


def repeated_rows(read: Callable[[], Iterable[Keys]], n_rows: int | None) -> Ints:
    """The rows, ascending, whose key stands in an earlier row; 0 is no key. `read` goes through all keys anew; `n_rows` None where not known.

    **Cost** about 50 ns a row and 128 MB at most.
    """
    n_words = WORDS_MAX if n_rows is None else min(WORDS_MAX, 1 << (2 * n_rows + 1).bit_length())
    marked = np.zeros(n_words, np.uint64)
    doubtful: list[Keys] = []
    for keys in read():
        found = np.zeros(len(keys), np.uint8)
        _fill_marked(keys, marked, found)
        doubtful.append(np.unique(keys[found != 0]))
    followed = np.unique(np.concatenate(doubtful)) if doubtful else np.zeros(0, np.uint64)
    if not len(followed):
        return np.zeros(0, np.int64)
    table = np.zeros(1 << (2 * len(followed) + 1).bit_length(), np.uint64)
    seen = np.zeros(len(table), np.uint8)
    _fill_table(followed, table)
    repeats: list[Ints] = []
    start = 0
    for keys in read():
        found = np.zeros(len(keys), np.uint8)
        _fill_repeated(keys, table, seen, found)
        repeats.append(start + np.flatnonzero(found))
        start += len(keys)
    return np.concatenate(repeats)


def keys_of_rows(columns: Iterable[pa.ChunkedArray]) -> Keys:
    """A key of the values of these columns together, uint64[n]; 0 where the first of them is null."""
    keys: Keys | None = None
    for column in columns:
        own = _keys_of_column(column)
        keys = own if keys is None else np.where(keys == 0, np.uint64(0), np.maximum(keys_of(keys, own), np.uint64(1)))
    return np.zeros(0, np.uint64) if keys is None else keys


def _keys_of_column(column: pa.ChunkedArray) -> Keys:
    whole = one_array(column)
    if pa.types.is_dictionary(whole.type):  # as the texts themselves, each hashed once
        own = np.append(_keys_of_array(whole.dictionary), np.uint64(0))
        return own[whole.indices.fill_null(len(whole.dictionary)).to_numpy(zero_copy_only=False)]
    return _keys_of_array(whole)


def _keys_of_array(whole: pa.Array) -> Keys:
    absent = whole.is_null().to_numpy(zero_copy_only=False)
    if pa.types.is_integer(whole.type):
        numbers = whole.fill_null(0).to_numpy().astype(np.int64).view(np.uint64)
        found = keys_of(np.full(len(numbers), 1, np.uint64), numbers)
    else:
        texts = whole.cast(pa.large_string())
        _, offsets, data = texts.buffers()
        starts = np.frombuffer(offsets, np.int64)[texts.offset : texts.offset + len(texts) + 1]
        found = np.empty(len(texts), np.uint64)
        first, end = int(starts[0]), int(starts[-1])
        words = np.zeros((end - first) // 8 + 2, np.uint64)  # read by eight bytes, also behind the last text
        if end > first:
            words.view(np.uint8)[: end - first] = np.frombuffer(data, np.uint8)[first:end]
        _fill_text_keys(words, starts - first, found)
    return np.where(absent, np.uint64(0), np.maximum(found, np.uint64(1)))


@kernel
def _fill_text_keys(words, starts, keys):
    """The key of each text; of text i the bytes `starts[i]` to `starts[i + 1]` of `words`, which has one more than the texts need."""
    seven, eight, top = np.uint64(7), np.uint64(8), np.uint64(63)
    for i in range(keys.shape[0]):
        at, end = np.uint64(starts[i]), np.uint64(starts[i + 1])
        key = end - at
        while at < end:
            word, shift = at >> np.uint64(3), (at & seven) * eight
            part = words[word] >> shift | words[word + np.uint64(1)] << np.uint64(1) << (top - shift)
            if at + eight > end:  # what stands behind the text's end is no part of it
                part &= (np.uint64(1) << (eight * (end - at))) - np.uint64(1)
            key = (key ^ part) * _ODD
            key ^= key >> np.uint64(32)
            at += eight
        keys[i] = combine(key, np.uint64(0))


@kernel
def _fill_marked(keys, marked, found):
    """Mark seven bits of one word for every key but 0; found where they were marked before."""
    last = np.uint64(marked.shape[0] - 1)
    for i in range(keys.shape[0]):
        key = keys[i]
        if key == 0:
            continue
        bits = np.uint64(0)
        for k in range(7):
            bits |= np.uint64(1) << ((key >> np.uint64(6 * k)) & np.uint64(63))
        word = (key >> np.uint64(40)) & last
        found[i] = marked[word] & bits == bits
        marked[word] |= bits


@kernel
def _fill_table(keys, table):
    """Put distinct keys into an open table whose size is a power of two, over twice their number."""
    last = np.uint64(table.shape[0] - 1)
    for i in range(keys.shape[0]):
        place = keys[i] & last
        while table[place] != 0:
            place = (place + np.uint64(1)) & last
        table[place] = keys[i]


@kernel
def _fill_repeated(keys, table, seen, found):
    """Found where a key of the table was seen before."""
    last = np.uint64(table.shape[0] - 1)
    for i in range(keys.shape[0]):
        if keys[i] == 0:
            continue
        place = keys[i] & last
        while table[place] != 0 and table[place] != keys[i]:
            place = (place + np.uint64(1)) & last
        if table[place] != 0:
            found[i] = seen[place]
            seen[place] = 1
