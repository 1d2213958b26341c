"""Slow twin of facts/widening.py: outcomes by fact in which a text was said that no feature names."""

from __future__ import annotations


def unnamed(names: list[tuple[str, str]], rows: list[list[int]]) -> dict[str, int]:
    """`names`: (fact, bin) of all features; `rows`: each outcome's active features."""
    found = {fact: 0 for fact, bin_ in names if bin_ == "other"}
    for row in rows:
        for fact in found:
            found[fact] += any(names[feature] == (fact, "other") for feature in row)
    return found
