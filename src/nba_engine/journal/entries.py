"""Decisions and outcomes as journal entries, and back. What is written here is all that recovery and replay have to go by."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta, timezone
from typing import Any

import msgspec

from nba_engine.errors import StoreError
from nba_engine.journal.codec import pack, pack_plain, unpack
from nba_engine.records import Decision, Offer, Outcome

DECISION, OUTCOME, TAUGHT, HISTORY, REQUEST, CATALOG, PROMOTED = "decision", "outcome", "taught", "history", "request", "catalog", "promoted"
"""The kinds of entries. Keys: the decision's id; for a request its id, with the decision's id as payload; for a catalog a hash of it."""

_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


def pack_decision(decision: Decision, at_us: int, limit: int, facts: Mapping[str, Any], contact_events: bytes, presented: Sequence[int], *,
                  plain: bool = False) -> bytes:
    """A decision with the facts it was made from, the contact history it saw (`contact_events`, raw) and the positions of the offers that are
    `presented` by being returned; `plain` facts are known to be storable."""
    return (pack_plain if plain else pack)({
        "id": decision.id, "request_id": decision.request_id, "interaction": decision.interaction, "subject": decision.subject,
        "channel": decision.channel, "at_us": at_us, "limit": limit, "facts": facts, "contact_events": contact_events, "presented": presented,
        "offers": [msgspec.structs.astuple(offer) for offer in decision.offers], "slate_probability": decision.slate_probability,
        "funnel": dict(decision.funnel), "control_group": decision.control_group, "catalog_version": decision.catalog_version,
        "beliefs_version": decision.beliefs_version, "repeat_of": decision.repeat_of,
    })  # fmt: skip


def unpack_decision(payload: bytes) -> tuple[Decision, dict[str, Any]]:
    """The decision, and the whole entry as a mapping."""
    entry = unpack(payload)
    try:
        decision = Decision(
            entry["id"], entry["request_id"], entry["interaction"], entry["subject"], entry["channel"],
            _EPOCH + timedelta(microseconds=entry["at_us"]), tuple(Offer(*offer) for offer in entry["offers"]), entry["slate_probability"],
            entry["funnel"], entry["control_group"], entry["catalog_version"], entry["beliefs_version"], entry["repeat_of"],
        )  # fmt: skip
    except (KeyError, TypeError) as error:
        raise StoreError(f"a decision in the store cannot be read ({error!r}); was it written by a newer release?") from error
    return decision, entry


def pack_outcome(outcome: Outcome, position: int) -> bytes:
    """An outcome of the offer at `position` (rank from 0)."""
    return pack({"position": position, "outcome": msgspec.structs.astuple(outcome)})


def unpack_outcome(payload: bytes) -> tuple[Outcome, int]:
    entry = unpack(payload)
    return Outcome(*entry["outcome"]), entry["position"]
