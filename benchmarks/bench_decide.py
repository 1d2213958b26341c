"""One decision, end to end, by actions: 40 facts, five conditions a rule, a fifth eligible, slate of 3, dict in, Decision out, nothing learned yet.

Beside it, on a catalog whose actions are all open to everyone (`open_world.py`, beliefs taught), the libraries a user would take for the choice
alone, at 200 actions x 20 facts and at 1,000 x 64: one choice, all of the user's work included (encoding, text lines, drawing), all of ours included
too: rules, contact history, probabilities, record. What the rules cost alone stands in bench_rules.py, threads in threads.py.
Where decide loses: with a few dozen actions a generated function and one Thompson draw are faster, a decision costs some tens of microseconds
whatever there is to decide about; numpy's LinUCB at few actions and few features has less to do. `contract.py` measures the pairs taking turns.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import pytest

import nba_engine as nba
from benchmarks import peers, setting
from benchmarks.peers import gittins_, linucb, mabwiser_, vw

SMALL, LARGE = (200, 20), (1_000, 64)
PEERS: dict[str, tuple[str, tuple[int, int], Callable[[int, int], peers.Peer]]] = {
    "gittins": ("gittins", SMALL, lambda n, _: gittins_.Gittins(n)),
    "LinUCB in numpy": ("numpy", SMALL, linucb.LinUcb),
    "mabwiser LinUCB": ("mabwiser", SMALL, mabwiser_.MabWiser),
    "VW ADF, small": ("vowpalwabbit", SMALL, lambda n, _: vw.AdfVw(n)),
    "VW ADF": ("vowpalwabbit", LARGE, lambda n, _: vw.AdfVw(n)),
    "VW fixed actions": ("vowpalwabbit", LARGE, lambda n, _: vw.FixedVw(n)),
}
"""Name -> library, (actions, facts), how to make it."""


def taught_peer(name: str, n_rounds: int = 200) -> peers.Peer:
    """A peer that has seen `n_rounds` answers, a fifth accepted; ImportError where its library is not installed."""
    _, (n_actions, n_facts), make = PEERS[name]
    peer, facts = make(n_actions, n_facts), setting.open_customers(n_facts)
    for k in range(n_rounds if name != "mabwiser LinUCB" else 0):  # fitted when it is made; a tenth of a second for every further row
        chosen = peer.decide(facts[k % len(facts)])
        assert isinstance(chosen, peers.Choice)
        peer.learn(facts[k % len(facts)], chosen, float(k % 5 == 0))
    return peer


def taught_engine(n_actions: int, n_facts: int) -> nba.Engine:
    """An engine on the open catalog that has seen 1,000 answers."""
    engine = nba.Engine(setting.open_catalog(n_actions, n_facts))
    engine.warm()
    setting.teach(engine, setting.open_customers(n_facts))
    return engine


@pytest.mark.parametrize("n_actions", [100, 1_000, 10_000])
def test_decide(benchmark: Any, n_actions: int) -> None:
    with nba.Engine(setting.catalog(n_actions)) as engine:
        engine.warm()
        decide, number = setting.deciding(engine, setting.customers()), itertools.count()
        decision = benchmark(lambda: decide(next(number)))
    assert decision.funnel["offered"] == len(decision.offers) == min(3, decision.funnel["value"])


@pytest.mark.parametrize(("n_actions", "n_facts"), [SMALL, LARGE])
def test_decide_where_all_is_open(benchmark: Any, n_actions: int, n_facts: int) -> None:
    with taught_engine(n_actions, n_facts) as engine:
        decide, number = setting.deciding(engine, setting.open_customers(n_facts), limit=1), itertools.count()
        decision = benchmark(lambda: decide(next(number)))
    assert decision.funnel["value"] == n_actions


@pytest.mark.parametrize("name", PEERS)
def test_peer_where_all_is_open(benchmark: Any, name: str) -> None:
    pytest.importorskip(PEERS[name][0])
    peer = taught_peer(name)
    customers = itertools.cycle(setting.open_customers(PEERS[name][1][1]))
    chosen = benchmark(lambda: peer.decide(next(customers)))
    assert 0 <= chosen.action < PEERS[name][1][0]
