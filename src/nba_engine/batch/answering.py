"""Requests in, an Arrow table of offers out, through the same stages as one decision.

Columns are encoded as columns, the stages take a chunk of rows at a time, and chunks may run on several threads: the kernels release the
interpreter. Beliefs are those of the start, whatever is learned meanwhile; contact histories are read as each chunk begins.
"""

from __future__ import annotations

import queue
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from nba_engine.arbitration.priority import COST_TERM, CONTEXT_WEIGHT_TERM, LEVER_TERM, VALUE_TERM
from nba_engine.arbitration.slates import PROBABILITY
from nba_engine.batch.requests import Requests
from nba_engine.beliefs import Scorer
from nba_engine.catalog.plan import ControlGroup, Plan
from nba_engine.contact.history import History
from nba_engine.decision import Workspace, judge
from nba_engine.facts.encoding import Encoder
from nba_engine.facts.tables import Rows, encode_table, row_of
from nba_engine.records import Decision, Offer

CHUNK_BYTES_MAX = 2**25
CHUNK_ROWS_MAX = 256
BLOCK_ROWS = 4096

Floats = npt.NDArray[np.float64]
Progress = Callable[[int, int], None]
ProfileOf = Callable[[str], Mapping[str, Any] | None]


@dataclass(frozen=True, slots=True)
class Standing:
    """What requests are answered from, as it stands at the start: plan and encoder, scorers for so many rows, histories that nobody else writes,
    what else is known of a subject, and the engine's seed."""

    plan: Plan
    encoder: Encoder
    scorer: Callable[[int], Scorer]
    histories_of: Callable[[Sequence[str]], list[History]]
    profile_of: ProfileOf | None
    seed: int


def answer(standing: Standing, requests: Requests, keys: Sequence[str], limit: int, threads: int, progress: Progress | None) -> pa.Table:
    """Decide every row; a row of the answer per offer in order of the requests, and one without an action where nothing is offered.

    `keys`: the interaction of each row.
    """
    plan = standing.plan
    limit = min(limit, len(plan.action_ids))
    n_rows = max(1, min(CHUNK_ROWS_MAX, CHUNK_BYTES_MAX // (300 * max(1, plan.n_candidates))))
    starts = range(0, len(requests), BLOCK_ROWS)
    workers: queue.SimpleQueue[_Worker] = queue.SimpleQueue()
    for _ in range(max(1, min(threads, len(starts)))):
        workers.put(_Worker(standing, requests, keys, limit, n_rows, standing.scorer(n_rows), Workspace(plan, n_rows)))

    def block(start: int) -> pa.Table:
        worker = workers.get()
        try:
            return worker.answer(start, min(start + BLOCK_ROWS, len(requests)))
        finally:
            workers.put(worker)

    found: list[pa.Table] = []
    for start, part in zip(starts, _in_order(block, starts, threads), strict=True):
        found.append(part)
        if progress is not None:
            progress(min(start + BLOCK_ROWS, len(requests)), len(requests))
    return pa.concat_tables(found) if found else workers.get().answer(0, 0)


def with_repeats(found: pa.Table, kept: Sequence[int], again: Mapping[int, int], known: Mapping[int, Decision]) -> pa.Table:
    """The whole answer: `found` answers the rows `kept`; row `r` of `again` is answered as row `again[r]`, row `r` of `known` by that decision."""
    places: dict[int, list[int]] = {}
    for place, row in enumerate(found.column("row").to_pylist()):
        places.setdefault(kept[row], []).append(place)
    decided = pa.Table.from_pylist([{"row": row, **fields} for row, decision in known.items() for fields in _fields(decision)], found.schema)
    for place, row in enumerate(decided.column("row").to_pylist(), start=found.num_rows):
        places.setdefault(row, []).append(place)
    places.update({row: places[earlier] for row, earlier in again.items()})
    order = [(row, place) for row in sorted(places) for place in places[row]]
    whole = pa.concat_tables([found, decided]).take([place for _, place in order])
    return whole.set_column(0, "row", pa.array([row for row, _ in order], pa.int64()))


def _fields(decision: Decision) -> list[dict[str, Any]]:
    """The columns of the answer for a decision that was made before."""
    shared = {"subject": decision.subject, "at": decision.at, "interaction": decision.interaction, "request_id": decision.request_id,
              "slate_probability": decision.slate_probability, "control_group": decision.control_group}
    names = [name for name in Offer.__struct_fields__ if name != "script"]
    return [{**shared, **{name: getattr(offer, name) for name in names}} for offer in decision.offers] or [shared]


def _in_order(block: Callable[[int], pa.Table], starts: Sequence[int], threads: int) -> Iterator[pa.Table]:
    if threads < 2:
        yield from map(block, starts)
        return
    with ThreadPoolExecutor(threads) as pool:
        yield from pool.map(block, starts)


class _Drawn(NamedTuple):
    """What a chunk's offers are made of, row behind row: how many each row has, and of each its candidate, terms float64[k, 4], propensity
    at its rank and probability."""

    n_offers: npt.NDArray[np.int64]
    candidate: npt.NDArray[np.int32]
    terms: Floats
    propensity: Floats
    probability: Floats


@dataclass(slots=True)
class _Worker:
    """Decides block after block in arrays of its own: columns are encoded by the block, candidates judged by chunks of `n_rows`."""

    standing: Standing
    requests: Requests
    keys: Sequence[str]
    limit: int
    n_rows: int
    scorer: Scorer
    work: Workspace

    def answer(self, start: int, stop: int) -> pa.Table:
        """The offers of rows `start` to `stop` of the requests."""
        asked, standing, plan = self.requests, self.standing, self.standing.plan
        subjects, at_us = asked.subjects[start:stop], asked.at_us[start:stop]
        places, place = [*zip(plan.channel_ids, plan.directions, strict=True), (None, None)], asked.channel_index[start:stop]
        facts = asked.facts.slice(start, stop - start)
        profiles = [] if standing.profile_of is None else [standing.profile_of(subject) or {} for subject in subjects]
        rows = encode_table(standing.encoder, facts, at_us, places, place, profiles)
        histories = standing.histories_of(subjects)
        groups = [plan.control_group(standing.seed, subject) for subject in subjects] if plan.control_groups else [None] * len(subjects)

        def variables(r: int) -> Any:
            return standing.encoder.variables(
                row_of(standing.encoder, facts, r, int(at_us[r]), *places[place[r]], profiles[r] if profiles else None))

        parts = [self._drawn(start, a, min(a + self.n_rows, stop - start), rows, histories, groups, variables)
                 for a in range(0, max(stop - start, 1), self.n_rows)]
        return self._table(start, _Drawn(*map(np.concatenate, zip(*parts, strict=True))), groups)

    def _drawn(self, start: int, a: int, b: int, rows: Rows, histories: Sequence[History], groups: Sequence[ControlGroup | None],
               variables: Callable[[int], Any]) -> _Drawn:
        """Judge rows `a` to `b` of a block that begins at row `start` of the requests."""
        asked, plan, work, n = self.requests, self.standing.plan, self.work, b - a
        chunk = slice(start + a, start + b)
        work.at_us[:n], work.channel_index[:n] = asked.at_us[chunk], asked.channel_index[chunk]
        work.noise_keys[:n] = plan.noise_keys(self.standing.seed, asked.subjects[chunk], self.keys[chunk], asked.at_us[chunk])
        work.kinds[:n], work.limits[:n] = plan.exploration.kind, self.limit
        for r, group in enumerate(groups[a:b]):
            if group is not None:
                work.serve(r, group)
        drawn = judge(plan, self.scorer, histories[a:b], rows.slice(a, b), self.limit, work, lambda r: variables(a + r))
        n_offers = np.where(drawn.n_chosen < 0, -drawn.n_chosen - 1, drawn.n_chosen)
        ranked = np.arange(self.limit) < n_offers[:, None]
        candidates, propensity, terms = drawn.candidates[ranked], drawn.propensity[ranked], drawn.terms[:, : self.limit][ranked]
        self.scorer.put_at_ranks(np.concatenate([[0], np.cumsum(n_offers)]), candidates, self.limit, propensity)
        return _Drawn(n_offers, candidates, terms, propensity, terms[:, PROBABILITY])

    def _table(self, start: int, drawn: _Drawn, groups: Sequence[ControlGroup | None]) -> pa.Table:
        """A row per offer, and one for each request without any."""
        plan, asked, n_offers = self.standing.plan, self.requests, drawn.n_offers
        row = np.repeat(np.arange(len(n_offers)), np.maximum(n_offers, 1))
        with_offer = n_offers[row] > 0
        offer_row, at = row[with_offer], row + start
        own = plan.channel[drawn.candidate]
        channel = np.where(own < 0, asked.channel_index[start + offer_row], own)
        value, context_weight, lever, cost = (drawn.terms[:, term] for term in (VALUE_TERM, CONTEXT_WEIGHT_TERM, LEVER_TERM, COST_TERM))
        slate_probability = np.ones(len(n_offers))
        np.multiply.at(slate_probability, offer_row, drawn.probability)
        first = np.cumsum(n_offers) - n_offers

        def spread(column: npt.NDArray[Any], type_: pa.DataType) -> pa.Array:
            """A value per offer, null where there is none."""
            whole = np.zeros(len(row), column.dtype)
            whole[with_offer] = column
            return pa.array(whole, type_, mask=~with_offer)

        def named(index: npt.NDArray[Any], texts: Sequence[str | None]) -> pa.Array:
            return pa.DictionaryArray.from_arrays(_without_negative(spread(index, pa.int32())), pa.array(texts, pa.string()))

        return pa.table({
            "row": at,
            "subject": pa.array([asked.subjects[i] for i in at.tolist()], pa.string()),
            "at": pa.array(asked.at_us[at], pa.timestamp("us", "UTC")),
            "interaction": pa.array([self.keys[i] for i in at.tolist()], pa.string()),
            "request_id": pa.array([asked.request_ids[i] for i in at.tolist()], pa.string()),
            "rank": spread((np.arange(len(offer_row)) - first[offer_row] + 1).astype(np.int32), pa.int32()),
            "action": named(plan.action[drawn.candidate], plan.action_ids),
            "treatment": named(drawn.candidate, plan.treatments).dictionary_decode(),
            "channel": named(channel.astype(np.int32), plan.channel_ids),
            "propensity": spread(drawn.propensity, pa.float64()),
            "value": spread(value, pa.float64()),
            "context_weight": spread(context_weight, pa.float64()),
            "lever": spread(lever, pa.float64()),
            "cost": spread(cost, pa.float64()),
            "priority": spread(drawn.propensity * value * context_weight * lever - cost, pa.float64()),
            "selection_probability": spread(drawn.probability, pa.float64()),
            "slate_probability": slate_probability[row],
            "control_group": pa.array([None if (group := groups[i]) is None else group.name for i in row.tolist()], pa.string()),
        })


def _without_negative(index: pa.Array) -> pa.Array:
    """Indices into a dictionary, null where they are negative."""
    numbers = index.fill_null(-1).to_numpy()
    return pa.array(np.maximum(numbers, 0), pa.int32(), mask=numbers < 0)


