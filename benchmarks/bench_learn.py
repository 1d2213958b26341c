"""`learn(table)`: history from elsewhere, 100 actions x 64 facts, one thread; `extra_info.rows_per_s` is the number.

Everything is in it: reading the columns, checking them against the catalog, contact history, the running statistics of the facts, the beliefs.
Beside it, on the catalog whose actions are all open (`open_world.py`), what the libraries take to learn the same rows one by one from a dict: the
answer only, nothing is checked and nobody's history kept. Where it loses: gittins learns in a few microseconds, from what it kept of its decision,
without encoding anything again. The update's kernel alone: bench_models.py.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import pytest

import nba_engine as nba
from benchmarks import open_world, peers, setting, world
from benchmarks.peers import gittins_, vw

N_ACTIONS, N_FACTS, N_ROWS = 100, 64, 5_000
PEERS: dict[str, tuple[str, Callable[[], peers.Peer]]] = {
    "gittins": ("gittins", lambda: gittins_.Gittins(N_ACTIONS)),
    "VW fixed actions": ("vowpalwabbit", lambda: vw.FixedVw(N_ACTIONS)),
    "VW ADF": ("vowpalwabbit", lambda: vw.AdfVw(N_ACTIONS)),
}


def rules_rows() -> tuple[nba.Catalog, Any]:
    """The catalog with rules and a table for it."""
    return setting.catalog(N_ACTIONS, N_FACTS), setting.table(setting.customers(N_FACTS), world.FACTS | world.FLAGS, N_ROWS, N_ACTIONS)


def open_rows() -> tuple[nba.Catalog, Any]:
    """The catalog without and a table for that."""
    types = open_world.catalog(N_ACTIONS, N_FACTS)["facts"]
    return setting.open_catalog(N_ACTIONS, N_FACTS), setting.table(setting.open_customers(N_FACTS), types, N_ROWS, N_ACTIONS)


@pytest.mark.parametrize("made", [rules_rows, open_rows])
def test_learn(benchmark: Any, made: Callable[[], tuple[nba.Catalog, Any]]) -> None:
    catalog, rows = made()
    nba.Engine(catalog).warm()
    benchmark.pedantic(lambda engine: engine.learn(rows), setup=lambda: ((nba.Engine(catalog),), {}), rounds=3, warmup_rounds=1)
    benchmark.extra_info["rows_per_s"] = N_ROWS / benchmark.stats.stats.median


@pytest.mark.parametrize("name", PEERS)
def test_peer_learns_a_row(benchmark: Any, name: str) -> None:
    library, make = PEERS[name]
    pytest.importorskip(library)
    peer, number, customers = make(), itertools.count(), setting.open_customers(N_FACTS)

    def before() -> tuple[tuple[Any, Any, float], dict[str, Any]]:
        k = next(number)
        facts = customers[k % len(customers)]
        return (facts, peer.decide(facts), float(k % 5 == 0)), {}

    benchmark.pedantic(peer.learn, setup=before, rounds=300, warmup_rounds=30)
    benchmark.extra_info["rows_per_s"] = 1.0 / benchmark.stats.stats.median
