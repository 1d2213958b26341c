"""Counter-based random numbers: a number is a hash of what it is for, so order, threads and batch size cannot change it.

The hash is the finaliser of splitmix64 (Steele, Lea, Flood 2014, "Fast splittable pseudorandom number generators", section 5).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from nba_engine.numerics.kernel import scalar

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2 = np.uint64(0x94D049BB133111EB)
_SHIFT_30, _SHIFT_27, _SHIFT_31, _SHIFT_11 = np.uint64(30), np.uint64(27), np.uint64(31), np.uint64(11)


def key_of(text: str) -> int:
    """A stable 64-bit key of a text (BLAKE2b), the same in every process and on every machine; about 1 us."""
    return int.from_bytes(hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "little")


def keys_of_texts(texts: Iterable[str]) -> npt.NDArray[np.uint64]:
    """`key_of` of many, uint64[n]; about 0.7 us each."""
    blake2b = hashlib.blake2b
    return np.frombuffer(b"".join([blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest() for text in texts]), "<u8")


def keys_of(keys: npt.NDArray[np.uint64], parts: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """`combine` of whole arrays, uint64[n] each."""
    z = (keys ^ (parts * _GOLDEN)) + _GOLDEN
    z = (z ^ (z >> _SHIFT_30)) * _MIX_1
    z = (z ^ (z >> _SHIFT_27)) * _MIX_2
    return z ^ (z >> _SHIFT_31)


@scalar
def combine(key, part):
    """uint64 key of (`key`, `part`), both uint64."""
    z = (key ^ (part * _GOLDEN)) + _GOLDEN
    z = (z ^ (z >> _SHIFT_30)) * _MIX_1
    z = (z ^ (z >> _SHIFT_27)) * _MIX_2
    return z ^ (z >> _SHIFT_31)


@scalar
def uniform(key):
    """float64 in the open interval (0, 1) from a uint64 key: 53 bits, centred in their cell."""
    return (np.float64(key >> _SHIFT_11) + 0.5) * 1.1102230246251565e-16
