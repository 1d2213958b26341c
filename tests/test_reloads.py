"""What a reload may do to what was learned before it: whose beliefs go on, whose begin anew, and that an answer is taken back only where it is."""

from __future__ import annotations

import numpy as np
import pytest

import nba_engine as nba
from tests.shop import HandClock, everything

OWN = {"kind": "probit", "half_life": "3d"}


def catalog(model="probit", chosen=(), facts=("age",), n=3, **more):
    """`n` actions of one group; `chosen` names models of their own by action."""
    own = dict(chosen)
    actions = [{"id": f"a{i}", "issue": "s", "group": "g", **({"model": own[f"a{i}"]} if f"a{i}" in own else {})} for i in range(n)]
    written = {"facts": dict.fromkeys(facts, "int"), "issues": {"s": {"groups": {"g": {}}}}, "actions": actions, "model": model}
    return nba.Catalog.from_dict({**written, **more})


def made(first, **options):
    return nba.Engine(first, clock=HandClock(), **options)


def answered(engine, n=4):
    """So many decisions whose offers were all accepted."""
    decisions = [engine.decide(f"s{i}", facts={"age": 30 + i, "more": i}, limit=9) for i in range(n)]
    for decision in decisions:
        for offer in decision.offers:
            engine.record(decision.id, "accepted", action=offer.action)
    return decisions


def with_an_heir(folder):
    """Four actions, of which one has no answer: the next reload lets it inherit."""
    engine = made(catalog(n=4), store=folder, sync="os")
    for i in range(60):
        decision = engine.decide(f"s{i}", facts={"age": i}, limit=3)
        for offer in decision.offers:
            if offer.action != "a3":
                engine.record(decision.id, "accepted" if i % 3 else "declined", action=offer.action)
    return engine


def killed(engine):
    """As a process that dies after its last entry was committed."""
    engine.flush()
    engine._memory._journal._release()


def taken_back(engine, decisions):
    for decision in decisions:
        for offer in decision.offers:
            engine.record(decision.id, "skipped", action=offer.action)


def assert_sound(engine):
    """No belief holds less than nothing."""
    said = engine.decide("somebody", facts={"age": 30, "more": 1}, limit=9)
    assert all(0.0 < offer.propensity < 1.0 for offer in said.offers)
    challenger = engine._memory.state.challenger
    for beliefs in [engine._memory.state.beliefs] + ([] if challenger is None else [challenger.beliefs]):
        for name, model in beliefs.state()["models"].items():
            state = model["state"]
            counts = state["sums"][..., 0] if "probit" in name and "sums" in state else state.get("counts", state.get("sums"))
            assert counts.min() >= 0, name


def test_an_action_that_has_inherited_may_get_a_model_of_its_own(tmp_path):
    engine = with_an_heir(tmp_path)
    engine.reload(catalog(n=4, version="2"))
    assert len(engine._memory.state.beliefs.state()["models"]["probit"]["state"]["entities"]) == 1
    engine.reload(catalog(n=4, chosen={"a3": "beta_bernoulli"}))
    before = everything(engine)
    killed(engine)
    assert everything(made(catalog(n=4, chosen={"a3": "beta_bernoulli"}), store=tmp_path)) == before


def test_a_reload_that_fails_leaves_no_entry(tmp_path, monkeypatch):
    engine = made(catalog(), store=tmp_path, sync="os")
    answered(engine)
    before, sequence = everything(engine), engine._memory.last_sequence
    with monkeypatch.context() as patch:
        patch.setattr("nba_engine.models.beta_bernoulli.BetaBernoulli.load", lambda *_: 1 / 0)
        patch.setattr("nba_engine.beliefs.carried", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            engine.reload(catalog(chosen={"a0": "beta_bernoulli"}))
    assert engine._memory.last_sequence == sequence and everything(engine) == before
    killed(engine)
    assert everything(made(catalog(), store=tmp_path)) == before


def test_a_reload_that_cannot_be_written_changes_nothing(tmp_path, monkeypatch):
    def fails(*_):
        raise nba.StoreError("the disk is full")

    engine = with_an_heir(tmp_path)
    before = everything(engine)
    with monkeypatch.context() as patch:
        patch.setattr(engine._memory._journal, "append", fails)
        with pytest.raises(nba.StoreError):
            engine.reload(catalog(n=4, version="2"))
    assert everything(engine) == before and engine.catalog.definition.version != "2"


def test_a_reload_of_the_same_catalog_changes_nothing(tmp_path):
    engine = with_an_heir(tmp_path)
    before, sequence = everything(engine), engine._memory.last_sequence
    engine.reload(catalog(n=4))
    assert everything(engine) == before and engine._memory.last_sequence == sequence
    killed(engine)
    assert everything(made(catalog(n=4), store=tmp_path)) == before


CATALOGS = {
    "probit": catalog(), "linear": catalog("linear"), "forgets": catalog(OWN), "one linear": catalog(chosen={"a0": "linear"}),
    "one forgets": catalog(chosen={"a0": OWN}),
    "others counted": catalog("beta_bernoulli", chosen={"a1": "naive_bayes"}), "with a fact": catalog(facts=("age", "more")),
    "contested": catalog(challenger="linear"), "shadow": catalog(challenger=OWN),
}  # fmt: skip


@pytest.mark.parametrize("how", ["reload", "close", "kill"])
@pytest.mark.parametrize("first", CATALOGS)
def test_an_answer_is_taken_back_only_from_the_model_that_learned_it(tmp_path, first, how):
    """From each catalog to each other and back: where beliefs began anew, answers to the first ones leave them alone."""
    for k, second in enumerate(name for name in CATALOGS if name != first):
        folder = tmp_path / str(k)
        engine = made(CATALOGS[first], store=folder, sync="os", explained_decisions_max=1_000 if how == "reload" else 1)
        decisions = answered(engine, 2)
        for name in (second, first):
            if how == "close":
                engine.close()
                engine = made(CATALOGS[name], store=folder, sync="os", explained_decisions_max=1)
            else:
                engine.reload(CATALOGS[name])
        if how == "kill":
            before = everything(engine)
            killed(engine)
            engine = made(CATALOGS[first], store=folder, sync="os", explained_decisions_max=1)
            assert everything(engine) == before
        taken_back(engine, decisions)
        assert_sound(engine)
        engine.close()


@pytest.mark.parametrize("how", ["reload", "close"])
def test_what_goes_on_is_taken_back_to_nothing(tmp_path, how):
    """Other rules, names, actions: the model is the one that learned."""
    engine = made(catalog(), store=tmp_path, sync="os")
    decisions = answered(engine)
    for n in (4, 3):
        if how == "close":
            engine.close()
            engine = made(catalog(n=n, version=str(n)), store=tmp_path, sync="os")
        else:
            engine.reload(catalog(n=n, version=str(n)))
    taken_back(engine, decisions)
    assert not np.any(engine._memory.state.beliefs.state()["models"]["probit"]["state"]["sums"][..., 0])


@pytest.mark.parametrize("how", ["reload", "close"])
@pytest.mark.parametrize(("second", "at_hand", "rebuilt"), [
    (catalog(n=5), True, True), (catalog(facts=("age", "more")), True, False), (catalog(OWN), False, False),
    (catalog(chosen={"a0": "linear"}), False, False)], ids=["actions", "a fact more", "half-life", "a model of its own"])  # fmt: skip
def test_which_answers_are_taken_back_after_a_reload(tmp_path, how, second, at_hand, rebuilt):
    """The rows of the table in docs/models.md."""
    engine = made(catalog(), store=tmp_path, sync="os")
    decisions = answered(engine)
    if how == "close":
        engine.close()
        engine = made(second, store=tmp_path, sync="os")
    else:
        engine.reload(second)
    taken_back(engine, decisions)
    [state] = [model["state"] for name, model in engine._memory.state.beliefs.state()["models"].items() if name.startswith("probit")]
    assert np.any(state["sums"][..., 0]) == (not (at_hand if how == "reload" else rebuilt))


def test_an_outcome_whose_lesson_was_not_written_can_be_taken_back_after_two_restarts(tmp_path, monkeypatch):
    """The process dies between the two entries; the next one writes what is missing."""
    engine = made(catalog("beta_bernoulli"), store=tmp_path, sync="os")
    decision = engine.decide("ann", facts={"age": 30})
    journal = engine._memory._journal
    with monkeypatch.context() as patch:
        patch.setattr(engine._memory, "remember_taught", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            engine.record(decision.id, "accepted")
    journal.flush()
    journal._release()
    made(catalog("beta_bernoulli"), store=tmp_path, sync="os").close()
    engine = made(catalog("beta_bernoulli"), store=tmp_path, sync="os")
    assert engine._memory.state.beliefs.state()["models"]["beta_bernoulli"]["state"]["sums"].any()
    engine.record(decision.id, "skipped")
    assert not engine._memory.state.beliefs.state()["models"]["beta_bernoulli"]["state"]["sums"].any()
    assert {row.answers for row in engine.health().actions} == {0}


def test_the_share_of_random_choices_is_that_of_the_law_that_chose():
    shares = [nba.Catalog.from_dict({"actions": [{"id": "a"}, {"id": "b"}], "exploration": {"uniform_share": share}}) for share in (0.0, 1.0)]
    engine = made(shares[0])
    decisions = [engine.decide(f"s{i}") for i in range(10)]
    engine.record(decisions[0].id, "accepted")
    engine.reload(shares[1])
    for decision in decisions[1:]:
        engine.record(decision.id, "accepted")
    assert {row.random_share for row in engine.health().actions} == {0.0}
    for decision in decisions[:-1]:
        engine.record(decision.id, "skipped")
    assert {row.random_share for row in engine.health().actions if row.impressions} == {0.0}


def typed(age):
    facts = {"age": {"type": age, "sensitive": True}, "tariff": {"type": "string", "sensitive": True}}
    return nba.Catalog.from_dict({"facts": facts, "actions": [{"id": "a"}]})


@pytest.mark.parametrize("types", [("double", "int"), ("string", "int")])
def test_an_answer_across_a_fact_of_another_type_does_the_same_at_hand_and_rebuilt(tmp_path, types):
    """The fact is missing, the others teach; its groups begin anew."""
    said = []
    for rebuilt in (False, True):
        engine = made(typed(types[0]), store=tmp_path / str(rebuilt), sync="os", seed=1)
        facts = {"age": 3.5 if types[0] == "double" else "old", "tariff": "gold"}
        decisions = [engine.decide(f"s{i}", facts=facts) for i in range(3)]
        engine.record(decisions[0].id, "accepted")
        if rebuilt:
            engine.close()
            engine = made(typed(types[1]), store=tmp_path / str(rebuilt), sync="os", seed=1)
        else:
            engine.reload(typed(types[1]))
        receipts = [engine.record(decision.id, "declined") for decision in decisions]
        groups = {(g.fact, g.group): (g.answers, g.positives) for g in engine.health().groups if g.action is not None}
        said.append(([receipt.learned for receipt in receipts], groups))
    assert said[0] == said[1] == ([True] * 3, {("age", "missing"): (3, 0.0), ("tariff", "gold"): (3, 0.0)})
