"""Decisions and outcomes as journal entries, and back. What is written here is all that recovery and replay have to go by."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from nba_engine.errors import FactsError, RequestError, StoreError
from nba_engine.journal.codec import pack, pack_plain, unpack
from nba_engine.moments import moment_of
from nba_engine.records import Decision, Offer, Outcome

DECISION, OUTCOME, TAUGHT, HISTORY, REQUEST, CATALOG, PROMOTED = "decision", "outcome", "taught", "history", "request", "catalog", "promoted"
"""The kinds of entries. Keys: the decision's id; for a request its id, with the decision's id as payload; for a catalog a hash of it; of history and
promotions there is none."""


def pack_decision(decision: Decision, at_us: int, limit: int, facts: Mapping[str, Any], contact_events: bytes, presented: Sequence[int], *,
                  plain: bool = False) -> bytes:
    """A decision with the facts it was made from, the contact history it saw (`contact_events`, raw) and the positions of the offers that are
    `presented` by being returned; `plain` facts are known to be storable. RequestError or FactsError names a text that is no valid Unicode."""
    try:
        return (pack_plain if plain else pack)({
            "id": decision.id, "request_id": decision.request_id, "interaction": decision.interaction, "subject": decision.subject,
            "channel": decision.channel, "at_us": at_us, "limit": limit, "facts": facts, "contact_events": contact_events, "presented": presented,
            "offers": [msgspec.structs.astuple(offer) for offer in decision.offers], "slate_probability": decision.slate_probability,
            "funnel": dict(decision.funnel), "control_group": decision.control_group, "catalog_version": decision.catalog_version,
            "beliefs_version": decision.beliefs_version, "repeat_of": decision.repeat_of,
        })  # fmt: skip
    except StoreError as error:
        _name_text(error, decision, ("subject", "interaction", "request_id"), facts)
        raise


def unpack_decision(payload: bytes) -> tuple[Decision, dict[str, Any]]:
    """The decision, and the whole entry as a mapping."""
    entry = unpack(payload)
    try:
        decision = Decision(
            entry["id"], entry["request_id"], entry["interaction"], entry["subject"], entry["channel"],
            moment_of(entry["at_us"]), tuple(Offer(*offer) for offer in entry["offers"]), entry["slate_probability"],
            entry["funnel"], entry["control_group"], entry["catalog_version"], entry["beliefs_version"], entry["repeat_of"],
        )  # fmt: skip
    except (KeyError, TypeError) as error:
        raise StoreError(f"a decision in the store cannot be read ({error!r}); was it written by a newer release?") from error
    return decision, entry


def pack_outcome(outcome: Outcome, position: int) -> bytes:
    """An outcome of the offer at `position` (rank from 0). RequestError names a text that is no valid Unicode."""
    try:
        return pack_plain({"position": position, "outcome": msgspec.structs.astuple(outcome)})
    except StoreError as error:
        _name_text(error, outcome, ("event_id", "agent"), {})
        raise


def unpack_outcome(payload: bytes) -> tuple[Outcome, int]:
    entry = unpack(payload)
    return Outcome(*entry["outcome"]), entry["position"]


def _name_text(error: StoreError, record: Decision | Outcome, arguments: Sequence[str], facts: Mapping[str, Any]) -> None:
    """Where a text could not be written, RequestError or FactsError by the name of the argument or fact that holds it."""
    cause = error.__cause__
    if not isinstance(cause, UnicodeEncodeError):
        return
    what = f"{cause.object!r}, which is no valid Unicode; give a text without lone surrogates"
    for name in arguments:
        if getattr(record, name) == cause.object:
            raise RequestError(f"{name} is {what}", name) from error
    for name, value in facts.items():
        if _holds(value, cause.object):
            raise FactsError(f"fact {name!r} holds {what}", name) from error


def _holds(value: Any, text: str) -> bool:
    if isinstance(value, Mapping):
        return any(_holds(part, text) for part in (*value, *value.values()))
    return value == text if isinstance(value, str) else isinstance(value, list | tuple) and any(_holds(item, text) for item in value)
