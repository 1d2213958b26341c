"""History from elsewhere: a table of who was shown what and what came back, taken into contact history and beliefs in time order."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nba_engine.errors import FactsError, OutcomeError, RequestError
from nba_engine.facts import values
from nba_engine.journal import codec
from nba_engine.learning import PRESENTED, SKIPPED, State
from nba_engine.numerics.random import key_of
from nba_engine.schema import TIMESTAMP

if TYPE_CHECKING:
    import pyarrow as pa

_NEEDED = ("subject", "channel", "at", "action", "label")
_OPTIONAL = ("treatment", "reason", "rank", "selection_probability")


@dataclass(slots=True)
class PastOffer:
    """One row: what was offered, when (microseconds), what came back, and the facts of that moment. `rank` from 1."""

    subject: str
    channel: str | None
    at_us: int
    action: str
    treatment: str | None
    label: str
    reason: str | None
    rank: int
    facts: Mapping[str, Any]


@dataclass(slots=True)
class Past:
    """Rows in time order; `name` makes the keys of their offers."""

    name: str
    rows: list[PastOffer]

    @property
    def first_at_us(self) -> int:
        return self.rows[0].at_us if self.rows else 0

    def to_bytes(self) -> bytes:
        rows = [[r.subject, r.channel, r.at_us, r.action, r.treatment, r.label, r.reason, r.rank, r.facts] for r in self.rows]
        return codec.pack({"name": self.name, "rows": rows})


def from_bytes(payload: bytes) -> Past:
    """The inverse of `Past.to_bytes`."""
    entry = codec.unpack(payload)
    return Past(entry["name"], [PastOffer(*row) for row in entry["rows"]])


def read(table: Any, state: State, name: str) -> Past:
    """Check a table against the catalog. RequestError or OutcomeError name the first row that does not fit; nothing has changed then."""
    import pyarrow as pa

    columns: pa.Table = table if isinstance(table, pa.Table) else pa.table(table)
    missing = [c for c in _NEEDED if c not in columns.column_names]
    if missing:
        raise RequestError(f"the table has no column {', '.join(missing)}; it has {', '.join(columns.column_names)}", "table")
    definition = state.plan.catalog.definition
    rows: list[PastOffer] = []
    for i, record in enumerate(columns.to_pylist()):
        offer = _past_offer(record, i)
        offer.treatment = _treatment(offer, state, i)
        if offer.channel is not None and offer.channel not in definition.channels:
            raise RequestError(f"row {i}: channel {offer.channel!r} is not in the catalog", "table")
        if offer.label not in definition.outcomes:
            raise OutcomeError(f"row {i}: label {offer.label!r} is not an outcome of the catalog")
        if offer.reason is not None and offer.reason not in definition.reasons:
            raise OutcomeError(f"row {i}: reason {offer.reason!r} is not a reason of the catalog")
        row = _encoded(offer, state)
        offer.facts = state.plan.encoder.facts_of(row)
        rows.append(offer)
    return Past(name, sorted(rows, key=lambda offer: offer.at_us))


def apply(past: Past, state: State) -> int:
    """Take the rows in; returns how many taught the beliefs. What the catalog no longer knows is passed over."""
    definition, n_taught = state.plan.catalog.definition, 0
    for i, offer in enumerate(past.rows):
        candidate = state.plan.candidate_of.get((offer.action, offer.treatment))
        spec = definition.outcomes.get(offer.label)
        reason = definition.reasons.get(offer.reason or "")
        if candidate is None or spec is None or spec.exposure == SKIPPED:
            continue
        channel = definition.channels.get(offer.channel or "")
        interaction_key = key_of(f"{past.name}\x1f{offer.subject}\x1f{offer.at_us}")
        contact = {"interaction_key": interaction_key, "action": offer.action, "treatment": offer.treatment, "channel": offer.channel,
                   "direction": None if channel is None else channel.direction, "at_us": offer.at_us}
        offer_key = key_of(f"{past.name}\x1f{i}")
        if spec.exposure == PRESENTED:
            state.contacts.present(offer.subject, offer_key, **contact)
            continue
        state.contacts.answer(offer.subject, offer_key, label=offer.label, reason=offer.reason, **contact)
        if spec.reward is not None and (reason is None or reason.learn):
            row = _encoded(offer, state)
            state.plan.encoder.learn_texts(row)
            state.beliefs.update(row, offer.rank, candidate, spec.reward)
            n_taught += 1
    return n_taught


def _treatment(offer: PastOffer, state: State, i: int) -> str | None:
    """The treatment that was shown: as the row says, else the action's only one on the channel; RequestError where there is none."""
    known = state.plan.candidate_of
    if (offer.action, offer.treatment) in known:
        return offer.treatment
    if offer.action not in state.plan.action_ids:
        raise RequestError(f"row {i}: action {offer.action!r} is not in the catalog", "table")
    index = state.plan.channel_of.get(offer.channel or "", -1)
    fitting = [treatment for (action, treatment), c in known.items() if action == offer.action and index in (-1, state.plan.channel[c])]
    if offer.treatment is not None or len(fitting) != 1:
        known_as = ", ".join(map(str, fitting)) or "none"
        raise RequestError(f"row {i}: treatment {offer.treatment!r} of action {offer.action!r} on channel {offer.channel!r} is not in the catalog; "
                           f"known are {known_as}; name it in a column treatment", "table")
    return fitting[0]


def _past_offer(record: Mapping[str, Any], i: int) -> PastOffer:
    try:
        moment = values.plain(record["at"], TIMESTAMP, "at")
    except FactsError as error:
        raise RequestError(f"row {i}: {error}", "table") from None
    rank = record.get("rank")
    if rank is not None and (isinstance(rank, bool) or not isinstance(rank, int) or rank < 1):
        raise RequestError(f"row {i}: rank is {rank!r}; a whole number from 1 on is needed", "table")
    for column in ("subject", "action", "label"):
        if not isinstance(record[column], str):
            raise RequestError(f"row {i}: {column} is {record[column]!r}; a text is needed", "table")
    facts = {name: value for name, value in record.items() if name not in (*_NEEDED, *_OPTIONAL)}
    return PastOffer(record["subject"], record["channel"], values.epoch_us(moment), record["action"], record.get("treatment"), record["label"],
                     record.get("reason"), rank or 1, facts)


def _encoded(offer: PastOffer, state: State):
    channel = state.plan.catalog.definition.channels.get(offer.channel or "")
    return state.plan.encoder.encode(offer.facts, offer.at_us, offer.channel, None if channel is None else channel.direction)
