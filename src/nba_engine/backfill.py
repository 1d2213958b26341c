"""History from elsewhere: a table of who was shown what and what came back, taken into contact history and beliefs in time order.

It is read, checked, encoded and learned column by column; what comes out is what the same outcomes, recorded one by one, would have left. Every
row is an offer of its own, but one whose label takes an answer back: that is said of the offer of an earlier row.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from nba_engine.contact.history import EVENT
from nba_engine.contact.names import DIRECTIONS, PRESENTED_NUMBER, treatment_text
from nba_engine.errors import OutcomeError, RequestError
from nba_engine.learning import SKIPPED, State
from nba_engine.numerics.random import key_of, keys_of

if TYPE_CHECKING:
    import pyarrow as pa

    from nba_engine.catalog.definition import Definition
    from nba_engine.catalog.plan import Plan

_NEEDED = ("subject", "channel", "at", "action", "label")
_TAKEN = (*_NEEDED, "treatment", "reason", "rank", "selection_probability")
_TEXTS = ("subject", "channel", "action", "label", "treatment", "reason")
_LEARNED_AT_ONCE = 8192  # half as many cost 5 % more a row, and so do four times as many
_KEY_MASK = np.uint64((1 << 63) - 1)

Ints = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Past:
    """Checked rows in time order, as a table of `subject`, `channel`, `at` (int64 microseconds), `action`, `treatment`, `label`, `reason`, `rank`
    (from 1) and the declared facts, those of a taken name as `fact.<name>`; `name` makes the keys of their offers."""

    name: str
    rows: pa.Table

    @property
    def first_at_us(self) -> int:
        return self.rows.column("at")[0].as_py() if self.rows.num_rows else 0

    def to_bytes(self) -> bytes:
        """The rows as an Arrow stream, the name among its metadata."""
        import pyarrow as pa

        sink = pa.BufferOutputStream()
        rows = self.rows.replace_schema_metadata({"name": self.name})
        with pa.ipc.new_stream(sink, rows.schema, options=pa.ipc.IpcWriteOptions(compression="lz4")) as writer:
            writer.write_table(rows)
        return sink.getvalue().to_pybytes()


def from_bytes(payload: bytes) -> Past:
    """The inverse of `Past.to_bytes`."""
    import pyarrow as pa

    rows = pa.ipc.open_stream(payload).read_all()
    return Past((rows.schema.metadata or {})[b"name"].decode(), rows)


def read(table: Any, plan: Plan) -> pa.Table:
    """The rows of a table, as `Past` holds them, checked against the catalog. RequestError or OutcomeError name the first row that does not fit."""
    import pyarrow as pa

    from nba_engine.facts.tables import FACT_PREFIX, check_table, fact_columns, moments_of, table_of, texts_of

    given = table_of(table)
    missing = [c for c in _NEEDED if c not in given.column_names]
    if missing:
        raise RequestError(f"the table has no column {', '.join(missing)}; it has {', '.join(given.column_names)}", "table")
    at_us = moments_of(given.column("at"), None)
    texts = {column: texts_of(given, column, optional=column in ("channel", "treatment", "reason")) for column in _TEXTS}
    definition = plan.catalog.definition
    for what, known_texts in (("channel", definition.channels), ("label", definition.outcomes), ("reason", definition.reasons)):
        _check_known(texts[what], known_texts, what)
    texts["treatment"] = _treatments(texts["action"], texts["treatment"], texts["channel"], plan)
    known = {column.name.partition(".")[0] for column in plan.encoder.columns}
    facts = fact_columns(plan.encoder, given, _TAKEN)
    plan.encoder.note_unknown(facts.column_names)
    check_table(plan.encoder, facts)  # a fact of a wrong type is found before anything has changed
    columns = {f"{FACT_PREFIX}{c}" if c in _TAKEN else c: facts.column(c) for c in facts.column_names if c in known}
    rows = pa.table({**texts, "at": at_us, "rank": _ranks(given), **columns})
    return rows if (at_us[1:] >= at_us[:-1]).all() else rows.take(np.argsort(at_us, kind="stable"))


def apply(past: Past, state: State) -> int:
    """Take the rows in; returns how many taught the beliefs. What the catalog no longer knows is passed over."""
    definition, rows = state.plan.catalog.definition, past.rows
    candidate, kinds = _candidates(rows, state)
    specs = _by_text(rows.column("label"), lambda text: definition.outcomes.get(text or ""))
    known = (candidate >= 0) & np.array([spec is not None and spec.exposure != SKIPPED for spec in specs.of], np.bool_)[specs.index]
    offer, answered = _answers(rows, definition)
    _remember_contacts(past, state, np.flatnonzero(known), offer, answered, kinds)
    rewards = np.array([-1.0 if spec is None or spec.reward is None else spec.reward for spec in specs.of])[specs.index]
    reasons = _by_text(rows.column("reason"), lambda text: definition.reasons.get(text or ""))
    teaches = np.array([reason is None or reason.learn for reason in reasons.of], np.bool_)[reasons.index]
    taught = np.flatnonzero(known & answered & teaches & (rewards >= 0.0))
    ranks = rows.column("rank").to_numpy()
    for start in range(0, len(taught), _LEARNED_AT_ONCE):
        part = taught[start : start + _LEARNED_AT_ONCE]
        teach(_these(rows, part), ranks[part], candidate[part].astype(np.int32), rewards[part], state)
    return len(taught)


def _these(rows: pa.Table, part: Ints) -> pa.Table:
    """The rows of these numbers, which ascend; not copied where none is left out."""
    first, n = int(part[0]), len(part)
    return rows.slice(first, n) if part[-1] - first == n - 1 else rows.take(part)


def teach(rows: pa.Table, ranks: Ints, candidates: npt.NDArray[np.int32], rewards: npt.NDArray[np.float64], state: State) -> None:
    """Let the beliefs learn these rows, one after the other."""
    found = encoded(rows, state.plan, are_learned=True)
    state.beliefs.update_rows(found, ranks, candidates, rewards)
    if state.challenger is not None:
        state.challenger.beliefs.update_rows(found, ranks, candidates, rewards)


def encoded(rows: pa.Table, plan: Plan, are_learned: bool = False) -> Any:
    """The facts of these rows as `plan` encodes them; where they are learned, texts that have no code yet are given one."""
    from nba_engine.facts.tables import encode_table, fact_columns, learn_texts

    facts, definition = fact_columns(plan.encoder, rows, _TAKEN), plan.catalog.definition
    if are_learned:
        facts = learn_texts(plan.encoder, facts)
    places = _by_text(rows.column("channel"), lambda name: (name, None if name not in definition.channels else definition.channels[name].direction))
    return encode_table(plan.encoder, facts, rows.column("at").to_numpy(), places.of, places.index)


def _answers(rows: pa.Table, definition: Definition) -> tuple[Ints, Flags]:
    """The row whose offer each row, in time order, speaks of, and whether it is that offer's answer in the end. A row that takes back what no row
    before it says is an offer of its own: an export holds each offer's last answer only."""
    specs = _by_text(rows.column("label"), lambda text: (text, definition.outcomes.get(text or "")))
    answers = np.array([spec is not None and spec.exposure is None for _, spec in specs.of], np.bool_)[specs.index]
    offer = np.arange(rows.num_rows)
    revoking = np.array([spec is not None and spec.revokes is not None for _, spec in specs.of], np.bool_)[specs.index]
    if not revoking.any():
        return offer, answers
    whom = [_by_text(rows.column(column), lambda text: text) for column in ("subject", "action", "treatment")]
    key = np.ravel_multi_index([column.index for column in whom], [len(column.of) for column in whom])
    standing: dict[tuple[int, str], list[int]] = {}
    for row in np.flatnonzero(answers & np.isin(key, key[revoking])).tolist():
        label, spec = specs.of[specs.index[row]]
        if spec.revokes is not None:
            revoked = standing.get((int(key[row]), spec.revokes))
            if not revoked:
                continue
            last = revoked.pop()
            offer[row], answers[last] = offer[last], False
        standing.setdefault((int(key[row]), label), []).append(row)
    return offer, answers


def _remember_contacts(past: Past, state: State, kept: Ints, offer: Ints, answered: Flags, kinds: _ByText) -> None:
    """The events of rows `kept`: a presentation where the row is an offer of its own, and the offer's answer where it is that; subject by subject."""
    definition, names, rows = state.plan.catalog.definition, state.contacts.names, past.rows
    subjects = _by_text(rows.column("subject").take(kept), lambda text: text)
    order = np.argsort(subjects.index, kind="stable")
    kept, group = kept[order], subjects.index[order]
    offer, is_own = offer[kept], offer[kept] == kept
    at_us = rows.column("at").to_numpy()[kept]
    numbered = [(names.number("action", a), names.number("treatment", treatment_text(a, t))) for a, t in kinds.of]
    numbers = np.array(numbered or [(0, 0)])[kinds.index[kept]]
    labels = _by_text(rows.column("label").take(kept), lambda text: names.number("label", text))
    reasons = _by_text(rows.column("reason").take(kept), lambda text: -1 if text is None else names.number("reason", text))
    channels = _by_text(rows.column("channel").take(offer), lambda text: _channel_numbers(text, definition, names))
    of = np.repeat(np.arange(len(kept)), is_own.astype(np.int64) + answered[kept])
    events = np.zeros(len(of), EVENT)
    answer = ~is_own[of]
    answer[1:] |= of[1:] == of[:-1]
    events["at"] = at_us[of]
    keys = keys_of(np.full(rows.num_rows, key_of(past.name), np.uint64), np.arange(rows.num_rows, dtype=np.uint64))
    events["offer"] = keys[offer[of]]
    events["interaction"] = keys[_first_at_once(kept, group, at_us, rows.num_rows)[offer[of]]] & _KEY_MASK
    events["action"], events["treatment"] = numbers[of].T
    events["label"] = np.where(answer, np.array(labels.of or [0])[labels.index][of], PRESENTED_NUMBER)
    events["reason"] = np.where(answer, np.array(reasons.of or [0])[reasons.index][of], -1)
    events["channel"], events["direction"] = np.array(channels.of or [(0, 0)])[channels.index][of].T
    counts = np.bincount(group[of], minlength=len(subjects.of))
    state.contacts.extend(subjects.of, events, np.concatenate([[0], np.cumsum(counts)]))


def _first_at_once(kept: Ints, group: Ints, at_us: Ints, n_rows: int) -> Ints:
    """For each row the first one of its subject at the same moment: they are one interaction. `kept` rows stand subject by subject, in time order."""
    is_first = np.ones(len(kept), np.bool_)
    is_first[1:] = (group[1:] != group[:-1]) | (at_us[1:] != at_us[:-1])
    found = np.arange(n_rows)
    found[kept] = kept[is_first][np.cumsum(is_first) - 1]
    return found


def _channel_numbers(name: str | None, definition: Any, names: Any) -> tuple[int, int]:
    channel = definition.channels.get(name or "")
    return -1 if name is None else names.number("channel", name), -1 if channel is None else DIRECTIONS.index(channel.direction)


@dataclass(frozen=True, slots=True)
class _ByText:
    """What each distinct value of a column stands for, in order of first appearance, and which one each row has."""

    of: list[Any]
    index: Ints


def _by_text(column: Any, meaning: Any) -> _ByText:
    """Null counts as a value, None."""
    coded = column.combine_chunks() if hasattr(column, "combine_chunks") else column
    coded = coded.chunk(0) if hasattr(coded, "chunk") and not hasattr(coded, "indices") else coded
    texts = [*coded.dictionary.to_pylist(), None]
    index = coded.indices.fill_null(len(texts) - 1).to_numpy(zero_copy_only=False).astype(np.int64)
    first = np.full(len(texts), len(index))
    first[index[::-1]] = np.arange(len(index))[::-1]  # of several the last is written: the first row that has the text
    used = np.argsort(first, kind="stable")[: np.count_nonzero(first < len(index))]
    rank = np.empty(len(texts), np.int64)
    rank[used] = np.arange(len(used))
    return _ByText([meaning(texts[i]) for i in used.tolist()], rank[index])


def _candidates(rows: pa.Table, state: State) -> tuple[Ints, _ByText]:
    """The candidate of each row in the present catalog, -1 where it has none; and the distinct (action, treatment) of the rows."""
    actions, treatments = (_by_text(rows.column(c), lambda text: text) for c in ("action", "treatment"))
    pair = actions.index * (len(treatments.of) + 1) + treatments.index
    distinct, index = np.unique(pair, return_inverse=True)
    kinds = [(actions.of[p // (len(treatments.of) + 1)], treatments.of[p % (len(treatments.of) + 1)]) for p in distinct.tolist()]
    candidate = np.array([state.plan.candidate_of.get(kind, -1) for kind in kinds] or [-1], np.int64)
    return candidate[index] if len(index) else np.zeros(0, np.int64), _ByText(kinds, index)


def _check_known(column: Any, known: Any, what: str) -> None:
    """`what` is a word of the catalog. A dictionary may hold texts that no row has."""
    for place, text in enumerate(column.dictionary.to_pylist()):
        rows = [] if text in known else np.flatnonzero(column.indices.fill_null(-1).to_numpy(zero_copy_only=False) == place)
        if len(rows):
            if what == "channel":
                raise RequestError(f"row {rows[0]}: channel {text!r} is not in the catalog", "table")
            raise OutcomeError(f"row {rows[0]}: {what} {text!r} is not {'an outcome' if what == 'label' else 'a reason'} of the catalog", what)


def _treatments(actions: Any, treatments: Any, channels: Any, plan: Plan) -> Any:
    """The treatment of each row that was shown, as Arrow texts: as it says, else the action's only one on the channel; RequestError where there is
    none."""
    import pyarrow as pa

    asked = [_by_text(column, lambda text: text) for column in (actions, treatments, channels)]
    sizes = [len(column.of) for column in asked]
    triple = np.ravel_multi_index([column.index for column in asked], sizes) if len(actions) else np.zeros(0, np.int64)
    distinct, first, place = np.unique(triple, return_index=True, return_inverse=True)
    found: list[str | None] = [None] * len(distinct)
    for k in np.argsort(first).tolist():
        texts = [column.of[i] for column, i in zip(asked, np.unravel_index(distinct[k], sizes), strict=True)]
        found[k] = _treatment(*texts, plan, int(first[k]))
    return pa.DictionaryArray.from_arrays(pa.array(place, pa.int32()), pa.array(found, pa.string())).dictionary_decode().dictionary_encode()


def _treatment(action: str, treatment: str | None, channel: str | None, plan: Plan, row: int) -> str | None:
    known = plan.candidate_of
    if (action, treatment) in known:
        return treatment
    if action not in plan.action_ids:
        raise RequestError(f"row {row}: action {action!r} is not in the catalog", "table")
    index = plan.channel_of.get(channel or "", -1)
    fitting = [t for (a, t), c in known.items() if a == action and index in (-1, plan.channel[c])]
    if treatment is not None or len(fitting) != 1:
        known_as = ", ".join(map(str, fitting)) or "none"
        raise RequestError(f"row {row}: treatment {treatment!r} of action {action!r} on channel {channel!r} is not in the catalog; "
                           f"known are {known_as}; name it in a column treatment", "table")
    return fitting[0]


def _ranks(table: pa.Table) -> Ints:
    if "rank" not in table.column_names:
        return np.ones(table.num_rows, np.int64)
    ranks: Sequence[Any] = table.column("rank").to_pylist()
    for row, rank in enumerate(ranks):
        if rank is not None and (isinstance(rank, bool) or not isinstance(rank, int) or rank < 1):
            raise RequestError(f"row {row}: rank is {rank!r}; a whole number from 1 on is needed", "table")
    return np.array([rank or 1 for rank in ranks], np.int64)
