"""A table of requests, read: who is asked for, where, when, in which interaction, and the facts; and which of them are repeats."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from nba_engine.catalog.plan import Plan
from nba_engine.errors import RequestError
from nba_engine.facts.tables import fact_columns, moments_of, table_of, texts_of
from nba_engine.records import Decision, unnamed

REQUEST_COLUMNS = ("subject", "channel", "at", "interaction", "request_id")
"""What a column of that name says about the request; every other column is a fact, and a fact of such a name stands as `fact.<name>`."""


@dataclass(frozen=True, slots=True)
class Requests:
    """A table of requests, read: who, where (the channel's index, -1 for all), when, in which interaction; the facts' columns."""

    subjects: list[str]
    channel_index: npt.NDArray[np.int64]
    at_us: npt.NDArray[np.int64]
    interactions: list[str | None]
    request_ids: list[str | None]
    facts: pa.Table

    def __len__(self) -> int:
        return len(self.subjects)

    def take(self, rows: list[int]) -> Requests:
        """The requests of these rows."""
        return Requests([self.subjects[i] for i in rows], self.channel_index[rows], self.at_us[rows],
                        [self.interactions[i] for i in rows], [self.request_ids[i] for i in rows], self.facts.take(pa.array(rows, pa.int64())))


def read(table: Any, plan: Plan, now_us: int) -> Requests:
    """Check the request columns of a table. RequestError names the first row that does not fit."""
    whole = table_of(table)
    if "subject" not in whole.column_names:
        raise RequestError(f"the table has no column 'subject'; it has {', '.join(whole.column_names) or 'none'}", "table")
    n = whole.num_rows
    subjects: list[str] = texts_of(whole, "subject", optional=False).dictionary_decode().to_pylist()
    interactions, request_ids = (texts_of(whole, name, optional=True).dictionary_decode().to_pylist() for name in ("interaction", "request_id"))
    asked = texts_of(whole, "channel", optional=True)
    place = asked.indices.fill_null(-1).to_numpy(zero_copy_only=False)
    known = np.array([plan.channel_of.get(channel, -2) for channel in asked.dictionary.to_pylist()] + [-1], np.int64)[place]
    if (known == -2).any():
        row = int(np.argmax(known == -2))
        channels = ", ".join(plan.channel_ids) or "none"
        raise RequestError(f"row {row}: channel {asked[row].as_py()!r} is not in the catalog; known are {channels}, or null for all", "table")
    at_us = moments_of(whole.column("at"), now_us) if "at" in whole.column_names else np.full(n, now_us, np.int64)
    return Requests(subjects, known, at_us, interactions, request_ids, fact_columns(plan.encoder, whole, REQUEST_COLUMNS))


def interaction_keys(requests: Requests, n_decisions: Callable[[str], int]) -> list[str]:
    """The interaction of each row: the one it names, else one of its own, numbered per subject as `decide` would row by row."""
    asked: dict[str, int] = {}
    keys: list[str] = []
    for subject, named in zip(requests.subjects, requests.interactions, strict=True):
        before = asked.get(subject)
        n = asked[subject] = 1 + (n_decisions(subject) if before is None else before)
        keys.append(unnamed(n) if named is None else named)
    return keys


def repeats(requests: Requests, plan: Plan, find: Callable[[str], Decision | None]) -> tuple[dict[int, int], dict[int, Decision]]:
    """Rows whose request id came before: in an earlier row (row -> that row), or with a decision that `find` knows (row -> decision).

    RequestError where an id comes with another subject or channel than before.
    """
    channels = (*plan.channel_ids, None)
    first: dict[str, int] = {}
    again: dict[int, int] = {}
    known: dict[int, Decision] = {}
    for row, request_id in enumerate(requests.request_ids):
        if request_id is None:
            continue
        asked = requests.subjects[row], channels[requests.channel_index[row]]
        earlier = first.setdefault(request_id, row)
        decision = find(request_id) if earlier == row else known.get(earlier)
        before = requests.subjects[earlier], channels[requests.channel_index[earlier]]
        if decision is not None:
            before = decision.subject, decision.channel
        if before != asked:
            raise RequestError(f"row {row}: request_id {request_id!r} was used for subject {before[0]!r} on channel {before[1]!r}; give "
                               "every request an id of its own", "request_id")
        if decision is not None:
            known[row] = decision
        elif earlier != row:
            again[row] = earlier
    return again, known
