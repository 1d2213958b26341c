"""Sets of small numbers as bits in uint64 words: bit `i` is bit `i % 64` of word `i // 64`."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from nba_engine.numerics.kernel import scalar

_ONE = np.uint64(1)
_ZERO = np.uint64(0)


def n_words(n: int) -> int:
    """Words needed for `n` bits."""
    return (n + 63) // 64


def pack(flags: npt.NDArray[np.bool_]) -> npt.NDArray[np.uint64]:
    """bool[..., n] -> uint64[..., n_words(n)]; unused high bits are 0."""
    flags = np.asarray(flags, dtype=bool)
    padded = np.zeros((*flags.shape[:-1], n_words(flags.shape[-1]) * 64), dtype=bool)
    padded[..., : flags.shape[-1]] = flags
    return np.ascontiguousarray(np.packbits(padded, axis=-1, bitorder="little")).view(np.uint64)


def unpack(words: npt.NDArray[np.uint64], n: int) -> npt.NDArray[np.bool_]:
    """uint64[w] -> bool[n], the inverse of `pack`."""
    return np.unpackbits(np.ascontiguousarray(words).view(np.uint8), count=n, bitorder="little").astype(bool)


@scalar
def has_bit(words, i):
    """Whether bit `i` of uint64[w] is set."""
    return (words[i >> 6] >> np.uint64(i & 63)) & _ONE != _ZERO


@scalar
def set_bit(words, i):
    """Set bit `i` of uint64[w]."""
    words[i >> 6] |= _ONE << np.uint64(i & 63)


@scalar
def clear_bit(words, i):
    """Clear bit `i` of uint64[w]."""
    words[i >> 6] &= ~(_ONE << np.uint64(i & 63))


@scalar
def position_of(bit):
    """The position of the only bit set in a uint64: the number of ones below it."""
    below = bit - np.uint64(1)
    below = below - ((below >> np.uint64(1)) & np.uint64(0x5555555555555555))
    below = (below & np.uint64(0x3333333333333333)) + ((below >> np.uint64(2)) & np.uint64(0x3333333333333333))
    below = (below + (below >> np.uint64(4))) & np.uint64(0x0F0F0F0F0F0F0F0F)
    return np.int64((below * np.uint64(0x0101010101010101)) >> np.uint64(56))


_ONE, _TWO, _FOUR, _TOP_BYTE = np.uint64(1), np.uint64(2), np.uint64(4), np.uint64(56)
_ALTERNATE, _PAIRS = np.uint64(0x5555555555555555), np.uint64(0x3333333333333333)
_NIBBLES, _EACH_BYTE = np.uint64(0x0F0F0F0F0F0F0F0F), np.uint64(0x0101010101010101)


@scalar
def n_set(word):
    """How many bits of a uint64 are set (Warren, Hacker's Delight, 2nd edition, section 5-1)."""
    word = word - ((word >> _ONE) & _ALTERNATE)
    word = (word & _PAIRS) + ((word >> _TWO) & _PAIRS)
    return np.int64((((word + (word >> _FOUR)) & _NIBBLES) * _EACH_BYTE) >> _TOP_BYTE)
