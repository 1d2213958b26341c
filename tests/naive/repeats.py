"""Twin of replay/repeats.py: keys of texts by plain integers, repeats by a set."""

from __future__ import annotations

_MASK = (1 << 64) - 1


def text_key(text: str) -> int:
    data = text.encode()
    key = len(data)
    for start in range(0, len(data), 8):
        key = (key ^ int.from_bytes(data[start : start + 8], "little")) * 0x9E3779B97F4A7C15 & _MASK
        key ^= key >> 32
    return max(_mixed((key + 0x9E3779B97F4A7C15) & _MASK), 1)


def _mixed(z: int) -> int:
    """splitmix64's output function (Steele, Lea, Flood 2014)."""
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9 & _MASK
    z = (z ^ (z >> 27)) * 0x94D049BB133111EB & _MASK
    return z ^ (z >> 31)


def repeated_rows(keys: list[int]) -> list[int]:
    seen: set[int] = set()
    repeats: list[int] = []
    for row, key in enumerate(keys):
        if key in seen:
            repeats.append(row)
        if key != 0:
            seen.add(key)
    return repeats
