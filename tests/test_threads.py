"""Many callers, one engine: nothing raises, every decision holds together, every outcome counts once; and what a reload keeps."""

from __future__ import annotations

import gc
import math
import queue
import threading

import pytest

import nba_engine as nba
from tests.shop import ADULT, actions, beliefs, catalog, engine, everything, written

BASE = written()["actions"]
CATALOGS = {
    "1": BASE,
    "2": [{"id": "radio", "issue": "sales", "group": "tv", "value": 7, "suitability": ["tariff == 'gold'"]}, *BASE[:2]],
    "3": [BASE[3], BASE[2]],
}


def shop_catalog(version, **changes):
    return catalog(version=version, actions=CATALOGS[version], **changes)


class Crowd:
    """Four that decide, one that records, one that reloads."""

    def __init__(self, shop, n_each=400, n_reloads=100, **changes):
        self.shop, self.changes = shop, changes
        self.decided: queue.Queue = queue.Queue()
        self.decisions: list[nba.Decision] = []
        self.faults: list[BaseException] = []
        self.n_learned = 0
        crowd = [threading.Thread(target=self._guarded, args=(self._decide, k, n_each)) for k in range(4)]
        others = [threading.Thread(target=self._guarded, args=arguments) for arguments in ((self._record,), (self._reload, n_reloads))]
        for thread in (*crowd, *others):
            thread.start()
        for thread in crowd:
            thread.join()
        self.decided.put(None)
        for thread in others:
            thread.join()

    def _guarded(self, work, *arguments):
        try:
            work(*arguments)
        except BaseException as fault:
            self.faults.append(fault)

    def _decide(self, k, n):
        for i in range(n):
            facts = {**ADULT, "age": 10 + i % 50, "tariff": f"t{i % 20}", "products": ["tv", f"p{i % 9}"], f"extra {k}": 1}
            decision = self.shop.decide(f"s{k} {i}", channel=("call", "web", None)[i % 3], facts=facts, limit=1 + i % 3, request_id=f"{k} {i}")
            if i % 40 == 0:
                self.shop.explain(decision.id).to_dict()
            self.decisions.append(decision)
            self.decided.put(decision)

    def _record(self):
        while (decision := self.decided.get()) is not None:
            for offer in decision.offers[:1]:
                receipt = self.shop.record(decision.id, "accepted" if decision.subject[-1] in "02468" else "declined", action=offer.action)
                self.n_learned += receipt.learned

    def _reload(self, n):
        for i in range(n):
            self.shop.reload(shop_catalog("123"[(i + 1) % 3], **self.changes))


@pytest.mark.parametrize("model", ["probit", "beta_bernoulli"])
def test_a_crowd(model):
    shop = engine(catalog=shop_catalog("1", model={"kind": model}))
    crowd = Crowd(shop, model={"kind": model})
    assert crowd.faults == [] and len(crowd.decisions) == 1600
    assert {d.catalog_version for d in crowd.decisions} == {"1", "2", "3"}
    assert len({d.id for d in crowd.decisions}) == 1600
    for decision in crowd.decisions:
        names = [action["id"] for action in CATALOGS[decision.catalog_version]]
        assert set(actions(decision)) <= set(names) and decision.funnel["actions"] == len(names)
        assert len(set(actions(decision))) == len(decision.offers) == decision.funnel["offered"]
        assert decision.slate_probability == pytest.approx(math.prod(o.selection_probability for o in decision.offers))
        assert sum(shop._memory.find(decision.id).judgement.first_pmf) == pytest.approx(1.0) or not decision.offers
    assert shop._memory.state.beliefs.n_outcomes == crowd.n_learned > 300
    if model == "beta_bernoulli":
        state = shop._memory.state.beliefs.state()
        n_outcomes = state["models"][model]["state"]["sums"][state["entities"].index(["global", ""]), 0]
        assert n_outcomes == crowd.n_learned * 2**24
    assert shop.unknown_facts <= {f"extra {k}" for k in range(4)}
    alone = [[shop.decide(f"new {i}", channel="call", facts=ADULT, limit=3, interaction="i").offers for i in range(20)] for _ in range(2)]
    assert alone[0] == alone[1]


def test_a_crowd_on_a_store(tmp_path):
    shop = engine(catalog=shop_catalog("1"), store=tmp_path, sync="os", explained_decisions_max=100)
    crowd = Crowd(shop, n_each=100, n_reloads=10)
    assert crowd.faults == [] and shop._memory.state.beliefs.n_outcomes == crowd.n_learned > 50
    before = everything(shop)
    version = shop.catalog.version
    shop.flush()
    shop._memory._journal._release()
    assert everything(engine(catalog=shop_catalog(version), store=tmp_path, sync="os", explained_decisions_max=100)) == before


def test_a_request_asked_by_all_at_once_is_answered_once():
    shop = engine()
    found: queue.Queue = queue.Queue()
    together = threading.Barrier(4)

    def ask(n):
        together.wait()
        for i in range(50):
            found.put((i, shop.decide(f"s{i}", channel="call", facts={**ADULT, "age": 18 + n}, request_id=f"r{i}").id))

    crowd = [threading.Thread(target=ask, args=(n,)) for n in range(4)]
    for thread in crowd:
        thread.start()
    for thread in crowd:
        thread.join()
    assert found.qsize() == 200 and len({found.get() for _ in range(200)}) == 50


def test_beliefs_are_kept_by_name_through_reloads():
    shop = engine(catalog=shop_catalog("1"))

    def propensities():
        decision = shop.decide("somebody new", channel="call", facts=ADULT, limit=0)
        return {a.action: a.terms["propensity"] for a in shop.explain(decision.id).actions if a.terms}

    for n in range(30):
        decision = shop.decide(f"s{n}", channel="call", facts={**ADULT, "age": 18 + n, "tariff": f"t{n % 5}"}, limit=9)
        shop.record(decision.id, "accepted" if n % 3 else "declined", action=("sport", "film", "stay")[n % 3])
    learned, before = beliefs(shop), propensities()
    shop.reload(shop_catalog("2"))
    assert propensities()["sport"] == before["sport"]
    shop.reload(shop_catalog("3"))
    assert propensities()["stay"] == before["stay"]
    shop.reload(shop_catalog("1"))
    assert propensities() == before
    assert beliefs(shop)["scaling"] == learned["scaling"]


def test_a_bad_catalog_changes_nothing(monkeypatch):
    shop = engine()
    shop.record(shop.decide("ann", channel="call", facts=ADULT).id, "declined")
    before, in_use = everything(shop), shop.catalog
    with pytest.raises(nba.CatalogError):
        shop.reload(catalog(actions=[{"id": "x", "eligibility": ["age >"]}]))
    with monkeypatch.context() as patched:
        patched.setattr("nba_engine.compiled.compile_plan", lambda *_: (_ for _ in ()).throw(nba.CheckError("too large")))
        with pytest.raises(nba.CheckError):
            shop.reload(catalog(version="2"))
    assert everything(shop) == before and shop.catalog is in_use
    assert shop.decide("ann", channel="call", facts=ADULT).catalog_version == "1"


def test_what_forgotten_decisions_leave_to_the_collector_is_bounded():
    """A decision for each that leaves: made and freed balance, so the collector is never called, and what it must walk would grow without end."""
    kept = 2_000
    shop = engine(explained_decisions_max=kept)
    for k in range(3 * kept):
        shop.decide(f"s{k % 50}", facts=ADULT, channel="call")
    waiting = sum(type(one) is tuple for generation in (0, 1) for one in gc.get_objects(generation))
    assert waiting < kept
