"""A small made-up shop for the tests of the whole engine: its catalog, a clock that is set by hand, and how beliefs are compared."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

import numpy as np

import nba_engine as nba

NOON = datetime(2026, 3, 2, 12, tzinfo=timezone.utc)
DAY, HOUR, MINUTE = timedelta(days=1), timedelta(hours=1), timedelta(minutes=1)
NO_NAGGING = {"name": "no-nagging", "scope": "action", "label": "declined", "count": 1, "within": "30d", "suppress": "30d"}


def catalog(**changes: Any) -> nba.Catalog:
    """The shop's catalog; each keyword replaces a whole section."""
    return nba.Catalog.from_dict({**written(), **changes})


def written() -> dict[str, Any]:
    return {
        "name": "shop",
        "version": "1",
        "facts": {
            "age": "int",
            "bill": "double",
            "tariff": "string",
            "products": "list<string>",
            "since": "timestamp",
            "mail_ok": "bool",
            "intent": {"type": "string", "origin": "interaction"},
        },
        "outcomes": {
            "accepted": {"reward": 1},
            "declined": {"reward": 0},
            "maybe": {"reward": 0.25},
            "presented": {"exposure": "presented"},
            "skipped": {"exposure": "skipped"},
            "cancelled": {"revokes": "accepted"},
        },
        "reasons": {
            "too_expensive": {"suppress": "60d"},
            "already_have": {"suppress": "365d", "learn": False},
            "never": {"suppress": "forever"},
        },
        "channels": {
            "call": {},
            "web": {"presented": "on_return", "no_response": "30m"},
            "mail": {"direction": "outbound", "no_response": "3d", "consent": "mail_ok"},
        },
        "issues": {"sales": {"groups": {"tv": {}, "net": {}}}, "keep": {"groups": {"loyalty": {}}}},
        "actions": [
            {"id": "sport", "issue": "sales", "group": "tv", "value": 10, "eligibility": ["age >= 18"]},
            {"id": "film", "issue": "sales", "group": "tv", "value": 9, "suitability": ["bill < 90.0"]},
            {"id": "fibre", "issue": "sales", "group": "net", "value": "bill * 0.2", "applicability": ["!('fibre' in products)"]},
            {"id": "stay", "issue": "keep", "group": "loyalty", "value": 8},
        ],
        "contact_policies": [NO_NAGGING],
    }


ADULT = {"age": 41, "bill": 45.5, "tariff": "gold", "products": ["tv"], "mail_ok": True}


class HandClock:
    """Says what it was told."""

    def __init__(self, now: datetime = NOON) -> None:
        self.now = now

    def now_us(self) -> int:
        return int((self.now - datetime(1970, 1, 1, tzinfo=timezone.utc)) / timedelta(microseconds=1))


def engine(**options: Any) -> nba.Engine:
    """An engine on the shop's catalog, at noon."""
    options = {"catalog": catalog(), "clock": HandClock(), **options}
    return nba.Engine(options.pop("catalog"), **options)


def actions(decision: nba.Decision) -> list[str]:
    return [offer.action for offer in decision.offers]


def beliefs(of: nba.Engine, version: bool = True) -> dict[str, bytes]:
    """Everything learned, as bytes by name; `version` False leaves the counter of changes out."""
    return flat(of._memory.state.beliefs.state(), version)


def flat(state: dict[str, Any], version: bool = True) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    for name, value in state.items():
        if isinstance(value, dict):
            found |= {f"{name}.{inner}": data for inner, data in flat(value, version).items()}
        elif version or name != "version":
            found[name] = value.tobytes() if isinstance(value, np.ndarray) else repr(value).encode()
    return found


def everything(of: nba.Engine) -> dict[str, object]:
    """All durable state: beliefs, contact history, subjects, vocabulary, and what waits for a time-out."""
    state = of._memory.state
    due = sorted((at, kept.decision.id, i) for at, _, i, kept in state.due)
    waiting = [(at, name, i) for at, name, i in due if of._memory.find(name).offers[i].label is None]
    subjects = [[name, subject.n_decisions, subject.interactions] for name, subject in state.ledger.subjects.items()]
    return {"beliefs": beliefs(of), "contacts": flat(state.contacts.state()), "subjects": subjects,
            "vocabulary": state.vocabulary.state(), "waiting": waiting}  # fmt: skip
