"""Models chosen per catalog, issue and action: several in one engine, on every way that beliefs take."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest

import nba_engine as nba
from nba_engine import warming
from nba_engine.models import river_state
from nba_engine.models.river_model import DEFAULT, River, classifier
from tests import shop

BAYES = {"kind": "naive_bayes"}
HISTORY = {"subject": [f"c{i}" for i in range(30)], "channel": ["call"] * 30, "at": [shop.NOON] * 30, "age": [20 + i for i in range(30)],
           "action": ["sport", "film", "fibre", "stay", "club"] * 6, "label": ["accepted", "declined", "declined"] * 10}  # fmt: skip
CHOSEN = {"sport": "linear", "film": {"kind": "river", "one_for_all": True}, "stay": "probit_full"}


def catalog(chosen=CHOSEN, **changes):
    """The shop; issue sales learns by naive Bayes but where an action says otherwise, the rest by Beta-Bernoulli."""
    written = shop.written()
    actions = [{**action, **({"model": chosen[action["id"]]} if action["id"] in chosen else {})} for action in written["actions"]]
    issues = {**written["issues"], "sales": {**written["issues"]["sales"], "model": BAYES}}
    more = [{"id": "club", "issue": "keep", "group": "loyalty", "value": 7}, {"id": "nothing", "null_action": True}]
    return shop.catalog(**{"actions": [*actions, *more], "issues": issues, "model": "beta_bernoulli", "contact_policies": [], **changes})


def play(engine, n=40, start=0):
    """Customers under 40 accept tv, the others the rest; returns what was said of every offer."""
    said = []
    for i in range(start, start + n):
        facts = {**shop.ADULT, "age": 20 + i % 40}
        decision = engine.decide(f"customer {i}", facts=facts, channel="call", limit=5)
        said += [(offer.action, offer.propensity, offer.selection_probability) for offer in decision.offers]
        for offer in decision.offers:
            likes = (facts["age"] < 40) == (offer.action in ("sport", "film"))
            engine.record(decision.id, "accepted" if likes else "declined", action=offer.action)
    return said


def at_first_rank(engine, age=41):
    """action -> its propensity at rank 1, whatever would be offered."""
    state = engine._memory.state
    row = state.plan.encoder.encode({**shop.ADULT, "age": age}, engine._clock.now_us(), "call", "inbound")
    n = state.plan.n_candidates
    mean, deviation = np.empty((2, n))
    state.beliefs.scorer.score(row, np.array([0, n]), np.arange(n, dtype=np.int32), mean, deviation)
    return dict(zip(state.plan.candidate_actions, mean.tolist(), strict=True))


def names_of(engine):
    return sorted(name.split()[0] for name in engine._memory.state.beliefs.state()["models"])


def test_an_action_overrules_its_issue_and_the_issue_the_catalog():
    engine = shop.engine(catalog=catalog())
    assert names_of(engine) == ["beta_bernoulli", "linear", "naive_bayes", "probit_full", "river"]
    definition = engine.catalog.definition
    assert [definition.model_of(action).kind for action in definition.actions] == [
        "linear", "river", "naive_bayes", "probit_full", "beta_bernoulli", "beta_bernoulli"]


def test_warming_is_told_the_kinds_that_are_used(monkeypatch):
    told = []
    monkeypatch.setattr(warming, "warm", lambda kinds: told.append(kinds) or 0.0)
    assert shop.engine(catalog=catalog({"sport": "linear"})).warm() == 0.0
    assert told == [{"linear", "naive_bayes", "beta_bernoulli"}]


def test_a_null_action_has_no_model():
    engine = shop.engine(catalog=shop.catalog(actions=[{"id": "a", "model": "linear"}, {"id": "nothing", "null_action": True}], issues={}))
    assert engine._memory.state.beliefs.kind == "linear"


def test_each_candidate_is_scored_by_its_own_model():
    """After the same outcomes an action is said to be what it is said to be where no other action has a model like its own."""
    several = shop.engine(catalog=catalog())
    several.learn(HISTORY)
    for action, model in CHOSEN.items():
        other = shop.engine(catalog=catalog({action: model}))
        other.learn(HISTORY)
        assert at_first_rank(several)[action] == at_first_rank(other)[action]
    assert len(set(at_first_rank(several).values())) == 6  # the null action among them


def test_several_models_learn_what_each_can():
    engine = shop.engine(catalog=catalog())
    play(engine, 160)
    young, old = at_first_rank(engine, 21), at_first_rank(engine, 58)
    for action in ("sport", "film"):
        assert young[action] > old[action] + 0.2
    assert old["stay"] > young["stay"] + 0.2
    assert old["fibre"] > young["fibre"] + 0.05  # bins need more outcomes
    assert young["club"] == old["club"]  # counts know no facts


def test_a_restart_goes_on_where_it_stopped(tmp_path):
    with shop.engine(catalog=catalog(), store=tmp_path / "a") as engine:
        play(engine)
        decision = engine.decide("late", facts=shop.ADULT, channel="call", limit=2)
        engine.record(decision.id, "accepted", action=decision.offers[0].action)
        before = shop.beliefs(engine)
    with shop.engine(catalog=catalog(), store=tmp_path / "a") as again:
        assert shop.beliefs(again) == before
        again.record(decision.id, "declined", action=decision.offers[0].action)  # takes back what was taught before the restart
    with shop.engine(catalog=catalog()) as other:
        play(other)
        same = other.decide("late", facts=shop.ADULT, channel="call", limit=2)
        other.record(same.id, "accepted", action=same.offers[0].action)
        other.record(same.id, "declined", action=same.offers[0].action)
        assert shop.beliefs(again, version=False) == shop.beliefs(other, version=False)


def test_a_killed_engine_replays_its_journal(tmp_path):
    engine = shop.engine(catalog=catalog(), store=tmp_path / "a")
    play(engine, 10)
    engine.flush()
    before = shop.beliefs(engine)
    engine._memory._journal.close()  # no snapshot: everything is played again
    with shop.engine(catalog=catalog(), store=tmp_path / "a") as again:
        assert shop.beliefs(again) == before


def test_a_reload_keeps_each_model_its_beliefs():
    engine = shop.engine(catalog=catalog())
    play(engine)
    before = at_first_rank(engine)
    kept = engine.decide("kept", facts=shop.ADULT, channel="call", limit=9)
    engine.record(kept.id, "accepted", action="sport")
    changed = {**{k: v for k, v in CHOSEN.items() if k != "stay"}, "club": "linear"}
    engine.reload(catalog(changed, facts={**shop.written()["facts"], "more": "bool"}))
    engine.record(kept.id, "declined", action="sport")
    engine.record(kept.id, "skipped", action="sport")
    after = at_first_rank(engine)
    for action in ("sport", "film", "fibre"):  # whose model is what it was
        assert after[action] == pytest.approx(before[action], abs=0.02)
    assert after["stay"] != pytest.approx(before["stay"], abs=0.02)  # another model now, which starts from nothing


def test_a_receipt_of_a_model_that_has_left_is_dropped():
    engine = shop.engine(catalog=catalog())
    decision = engine.decide("somebody", facts=shop.ADULT, channel="call", limit=9)
    engine.record(decision.id, "accepted", action="sport")
    engine.reload(catalog({**CHOSEN, "sport": "probit_full"}))
    before = shop.beliefs(engine, version=False)
    engine.record(decision.id, "skipped", action="sport")
    assert shop.beliefs(engine, version=False) == before


def test_a_cross_is_found_beside_another_kind_of_model(tmp_path):
    """Where not all models add up what features say, texts get no further features, and a cross must do without them."""
    facts, options = {"a": "bool", "b": "bool", "city": "string"}, {"store": tmp_path, "sync": "os"}
    alone, beside = (nba.Catalog.from_dict({"facts": facts, "model": "probit", "actions": [{"id": "x"}, {"id": "y", "model": kind}]})
                     for kind in ("probit", "beta_bernoulli"))

    def answer(engine, n, random=np.random.default_rng(1)):
        for _ in range(n):
            a, b = random.random(2) < 0.5
            decision = engine.decide("s", facts={"a": bool(a), "b": bool(b), "city": "Bern"})
            engine.record(decision.id, "accepted" if a != b else "declined")
        return [(cross.fact, cross.other) for cross in engine.health().crosses]

    with nba.Engine(beside, **options) as engine:
        assert answer(engine, 300) == [("a", "b")]
    with nba.Engine(beside, **options) as engine:
        assert answer(engine, 1) == [("a", "b")]
    with nba.Engine(alone) as engine:
        assert answer(engine, 300) == [("a", "b")]
        engine.reload(beside)
        assert answer(engine, 1) == [("a", "b")]


def test_a_batch_says_what_decisions_say():
    engine = shop.engine(catalog=catalog())
    play(engine)
    rows = [{"subject": f"new {i}", "channel": "call", "at": shop.NOON, **shop.ADULT, "age": 20 + i} for i in range(12)]
    table = engine.decide_batch({name: [row[name] for row in rows] for name in rows[0]}, limit=3)
    for i, row in enumerate(rows):
        facts = {name: row[name] for name in shop.ADULT}
        one = engine.decide(row["subject"], facts=facts, channel="call", limit=3, at=shop.NOON)
        own = [(a, p) for s, a, p in zip(*(table[c].to_pylist() for c in ("subject", "action", "propensity")), strict=True) if s == row["subject"]]
        assert own == [(offer.action, offer.propensity) for offer in one.offers], i


def test_history_teaches_each_model_its_own():
    once, twice = shop.engine(catalog=catalog()), shop.engine(catalog=catalog())
    once.learn(HISTORY)
    twice.learn({name: values[:11] for name, values in HISTORY.items()})
    twice.learn({name: values[11:] for name, values in HISTORY.items()})
    assert shop.beliefs(once) == shop.beliefs(twice)
    assert once.beliefs_version == 30


def test_explain_tells_the_propensity_that_was_used():
    engine = shop.engine(catalog=catalog())
    play(engine)
    decision = engine.decide("somebody", facts=shop.ADULT, channel="call", limit=9)
    told = {a["action"]: a["terms"]["propensity"] for a in engine.explain(decision.id).to_dict()["actions"] if a["offered"]}
    assert told.keys() == {o.action for o in decision.offers}
    assert told[decision.offers[0].action] == pytest.approx(decision.offers[0].propensity)


def test_one_model_for_all_costs_no_sorting():
    """The usual catalog has the very model behind it, no composite."""
    beliefs = shop.engine()._memory.state.beliefs
    assert (beliefs.kind, type(beliefs.model).__name__) == ("probit", "Probit")


@pytest.mark.parametrize("model, place, words", [
    ({"kind": "river", "classifier": "linear_model.LinearRegression"}, "model.classifier", "no classifier of river"),
    ({"kind": "river", "classifier": "linear_model.Logistic"}, "model.classifier", "river has no 'linear_model.Logistic'"),
    ({"kind": "river", "classifier": {"linear_model.LogisticRegression": {"l3": 1}}}, "model.classifier", "does not take these parameters"),
    ({"kind": "river", "classifier": "base.os.system"}, "model.classifier", "river has no"),
    ({"kind": "river", "classifier": 3}, "model.classifier", "the name of a classifier"),
    ({"kind": "river", "classifier": ["preprocessing.StandardScaler"]}, "model.classifier", "fails when it is used .AttributeError"),
    ({"kind": "river", "classifier": {"linear_model.LogisticRegression": {"optimizer": "optim.SGD"}}}, "model.classifier", "fails when it is used"),
    ({"kind": "river", "classifier": "facto.FMClassifier"}, "model.classifier", "fails when it is used .* cannot be stored"),
    ({"kind": "probit", "classifier": "linear_model.LogisticRegression"}, "model.classifier", "beside kind probit"),
    ({"kind": "linear", "one_for_all": True}, "model.one_for_all", "write kind: river"),
    ("probid", "model", "did you mean 'probit'"),
])  # fmt: skip
def test_what_cannot_be_made_is_told_with_its_place(model, place, words):
    with pytest.raises(nba.CatalogError, match=words) as error:
        shop.catalog(model=model)
    assert error.value.faults[0].place.startswith(place)


def test_full_covariance_beyond_its_limit_is_told():
    many = {f"f{i}": "string" for i in range(60)}
    with pytest.raises(nba.CatalogError, match="full covariance of 40 actions over .* features takes .* GiB, needed at most 1 GiB"):
        nba.Catalog.from_dict({"facts": many, "actions": [{"id": f"a{i}"} for i in range(40)], "model": "linear"})
    few = [{"id": f"a{i}", **({"model": "probit_full"} if i == 0 else {})} for i in range(40)]
    assert nba.Catalog.from_dict({"facts": many, "actions": few}).definition.model.kind == "probit"


def test_a_pipeline_with_parts_of_river_as_parameters():
    made = classifier(["preprocessing.StandardScaler", DEFAULT])
    assert [type(step).__name__ for step in made.steps.values()] == ["StandardScaler", "LogisticRegression"]
    assert made["LogisticRegression"].optimizer.lr.learning_rate == 0.3


@pytest.mark.parametrize("written", ["tree.HoeffdingTreeClassifier", "naive_bayes.GaussianNB", ["preprocessing.StandardScaler", DEFAULT],
                                     {"forest.ARFClassifier": {"n_models": 2, "seed": 1}}, "linear_model.PAClassifier",
                                     "linear_model.SoftmaxRegression", "neighbors.KNNClassifier", ["preprocessing.OneHotEncoder", DEFAULT],
                                     {"ensemble.StackingClassifier": {"models": [DEFAULT, {"naive_bayes.GaussianNB": {}}],
                                                                      "meta_classifier": DEFAULT}}],
                         ids=["tree", "bayes", "pipeline", "forest", "method", "deepcopy", "built-in", "set", "list of parts"])  # fmt: skip
def test_classifiers_of_any_kind_are_saved_and_go_on(written):
    paths, rng = np.array([[0, -1, -1, 1, -1]], np.int32), np.random.default_rng(0)
    names, entities = [("bias", ""), ("a", "z"), ("b", "z")], [("global", ""), ("action", "x")]
    model, other = River(names, paths, entities, written), River(names, paths, entities, written)
    stream = [(np.arange(3, dtype=np.int32), np.array([1.0, *rng.normal(size=2)]), 3, 0) for _ in range(260)]
    for row in stream[:200]:
        model.update(*row, float(row[1][1] > 0))
    other.load(model.state())
    for row in stream[200:]:
        for one in (model, other):
            one.update(*row, float(row[1][1] > 0))
        assert model.expected == other.expected


@pytest.mark.parametrize("module, name", [("os", "system"), ("builtins", "eval"), ("builtins", "getattr"), ("river.datasets.base", "os.system"),
                                          ("riverside", "x")])  # fmt: skip
def test_saved_bytes_can_name_nothing_but_river(module, name):
    for written in (["name", module, name], ["object", ["name", module, name], ["tuple", "true"], None, ["list"], []]):
        with pytest.raises(nba.StoreError, match="cannot be stored"):
            river_state.from_bytes(msgspec.msgpack.encode(written))


def test_saved_bytes_can_call_no_method_but_of_rivers_own():
    with pytest.raises(nba.StoreError, match="cannot be stored"):
        river_state.from_bytes(msgspec.msgpack.encode(["method", ["list"], "append"]))
