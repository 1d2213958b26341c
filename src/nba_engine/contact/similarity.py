"""Which actions resemble each other: the same group, or tags that overlap enough; never the issue alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import numpy.typing as npt

_BLOCK = 128


@dataclass(frozen=True, slots=True)
class ContactAction:
    """What suppression needs to know of an action. `group` is that of its `issue`; both None for the null action."""

    id: str
    issue: str | None = None
    group: str | None = None
    tags: frozenset[str] = field(default_factory=frozenset)


@dataclass(frozen=True, slots=True)
class Similarity:
    """When two different actions are similar: by any one of the criteria in `by`. `at_least` in (0, 1] bounds the Jaccard index of tags."""

    by: tuple[Literal["group", "tags"], ...] = ("group", "tags")
    at_least: float = 0.5


def similar_blocks(actions: Sequence[ContactAction], similarity: Similarity) -> Iterator[tuple[int, npt.NDArray[np.bool_]]]:
    """The similarity of every action to every other, some rows at a time: (first row, bool[n_rows, n_actions]); nothing is similar to itself.

    Notes
    -----
    Jaccard index of two tag sets: `|a & b| / |a | b|`; two empty sets are not similar. The sets' sizes decide how many tags they must share.
    **Cost**: O(n_actions^2 x tags) of float32 matrix product, 10 MB of working memory at 10,000 actions.
    """
    n = len(actions)
    group = _numbers([None if a.group is None else (a.issue, a.group) for a in actions])
    incidence = _incidence(actions)
    n_tags = incidence.sum(axis=1).astype(np.int64)
    must_share = _must_share(2 * int(n_tags.max(initial=0)), similarity.at_least)
    sizes, size_of = np.unique(n_tags, return_inverse=True)
    bound = must_share[sizes[:, None] + n_tags[None, :]]
    for first in range(0, n, _BLOCK):
        rows = slice(first, min(first + _BLOCK, n))
        similar = np.zeros((rows.stop - first, n), dtype=bool)
        if "tags" in similarity.by:
            similar |= incidence[rows] @ incidence.T >= bound[size_of[rows]]
        if "group" in similarity.by:
            similar |= (group[rows, None] == group[None, :]) & (group[rows, None] >= 0)
        similar[np.arange(rows.stop - first), np.arange(first, rows.stop)] = False
        yield first, similar


def _must_share(total_max: int, at_least: float) -> npt.NDArray[np.float32]:
    """float32[total_max + 1]: for two sets of so many tags together, the least number they must share; infinite where none will do."""
    bound = np.full(total_max + 1, np.inf, dtype=np.float32)
    for total in range(1, total_max + 1):
        bound[total] = next(shared for shared in range(1, total + 1) if shared == total or shared / (total - shared) >= at_least)
    return bound


def _numbers(keys: Sequence[tuple[str | None, str] | None]) -> npt.NDArray[np.int32]:
    """Equal keys get equal numbers from 0; None gets -1."""
    known: dict[tuple[str | None, str], int] = {}
    return np.array([-1 if key is None else known.setdefault(key, len(known)) for key in keys], dtype=np.int32)


def _incidence(actions: Sequence[ContactAction]) -> npt.NDArray[np.float32]:
    """float32[n_actions, n_tags]: 1 where the action bears the tag; sums up to 2^24 are exact."""
    columns = {tag: i for i, tag in enumerate(sorted({tag for a in actions for tag in a.tags}))}
    incidence = np.zeros((len(actions), len(columns)), dtype=np.float32)
    for i, a in enumerate(actions):
        for tag in a.tags:
            incidence[i, columns[tag]] = 1.0
    return incidence
