"""Engines and customers as the measurements use them: made once a process, and taught where what was learned changes the cost.

A first day is cheaper than the second: texts become features when something is learned about them. Whatever is compared with a library that learns
is taught first.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta
from functools import cache
from typing import TYPE_CHECKING, Any

import nba_engine as nba
from benchmarks import open_world, world

if TYPE_CHECKING:
    import pyarrow as pa

N_SUBJECTS, N_CUSTOMERS = 5_000, 200
CONTACT_POLICIES = [
    {"name": "no-nagging", "scope": "action", "label": "declined", "count": 200, "within": "30d", "suppress": "30d"},
    {"name": "rest-group", "scope": "group", "label": "declined", "count": 400, "within": "30d", "suppress": "14d"},
    {"name": "enough", "scope": "channel", "label": "presented", "count": 800, "within": "7d"},
]
"""Counted for every decision and never filled, so that a longer history costs its own time and closes nothing."""


@cache
def catalog(n_actions: int, n_facts: int = 40) -> nba.Catalog:
    """The catalog of `world`: rules of five conditions that leave a fifth of the actions; `n_facts` 40 or 64."""
    written = world.make(n_actions).catalog
    return nba.Catalog.from_dict(written if n_facts == 40 else {**written, "facts": world.FACTS | world.FLAGS})


@cache
def catalog_with_policies(n_actions: int) -> nba.Catalog:
    """The catalog of `world` with contact policies."""
    return nba.Catalog.from_dict({**world.make(n_actions).catalog, "contact_policies": CONTACT_POLICIES})


@cache
def open_catalog(n_actions: int, n_facts: int) -> nba.Catalog:
    """The catalog of `open_world`: every action open to all."""
    return nba.Catalog.from_dict(open_world.catalog(n_actions, n_facts))


@cache
def customers(n_facts: int = 40) -> list[dict[str, Any]]:
    """Facts of 200 customers of `world`, as `decide` takes them."""
    facts = [world.facts_of(c) for c in world.customers(N_CUSTOMERS)]
    return facts if n_facts == 40 else [world.flagged(f) for f in facts]


@cache
def open_customers(n_facts: int) -> list[dict[str, Any]]:
    """Facts of 200 customers of `open_world`."""
    return open_world.customers(n_facts, N_CUSTOMERS)


def deciding(engine: nba.Engine, facts: Sequence[dict[str, Any]], limit: int = 3, subjects: str = "subject",
             n_subjects: int = N_SUBJECTS) -> Callable[[int], nba.Decision]:
    """A function of the number of the call, customers taking turns."""
    n = len(facts)
    return lambda k: engine.decide(f"{subjects}-{k % n_subjects}", channel="call", facts=facts[k % n], limit=limit, at=world.AT)


def teach(engine: nba.Engine, facts: Sequence[dict[str, Any]], n: int = 1_000, subjects: str = "past", n_subjects: int = N_SUBJECTS) -> None:
    """Decide and record `n` times, a fifth accepted; unless `subjects` says so, for subjects that nobody asks about later."""
    decide = deciding(engine, facts, 3, subjects, n_subjects)
    for k in range(n):
        decision = decide(k)
        if decision.offers:
            engine.record(decision.id, "declined" if k % 5 else "accepted", action=decision.offers[0].action, at=world.AT)


def table(facts: Sequence[dict[str, Any]], types: dict[str, str], n_rows: int, answered: int = 0) -> pa.Table:
    """Arrow rows for `decide_batch`, a minute apart; with `answered` actions also what `learn` needs: who was offered which, a fifth accepted."""
    import pyarrow as pa

    kinds = {"int": pa.int64(), "double": pa.float64(), "string": pa.string(), "bool": pa.bool_(), "timestamp": pa.timestamp("us", "UTC"),
             "list<string>": pa.list_(pa.string())}  # fmt: skip
    chosen = [facts[k % len(facts)] for k in range(n_rows)]
    columns: dict[str, Any] = {
        "subject": [f"subject-{k % N_SUBJECTS}" for k in range(n_rows)],
        "channel": ["call"] * n_rows,
        "at": pa.array([world.AT + timedelta(minutes=k) for k in range(n_rows)], kinds["timestamp"]),
    }
    columns |= {name: pa.array([f[name] for f in chosen], kinds[kind]) for name, kind in types.items()}
    if answered:
        columns |= {"action": [f"action-{k * 7 % answered}" for k in range(n_rows)],
                    "label": ["declined" if k % 5 else "accepted" for k in range(n_rows)]}  # fmt: skip
    return pa.table(columns)
