"""The public face by hand: decide, record, explain, and everything that must not raise or must."""

from __future__ import annotations

import json
import math
from collections import Counter
from datetime import datetime, timedelta

import pytest

import nba_engine as nba
from tests.shop import ADULT, DAY, NOON, HandClock, actions, catalog, engine, everything, written

SHOWN = {"exploration": {"kind": "greedy"}}


def explained(of, decision, action):
    return next(a for a in of.explain(decision.id).actions if a.action == action)


def test_a_decline_is_seen_by_the_next_decision_on_every_channel_and_explained():
    shop = engine()
    first = shop.decide("ann", channel="call", facts=ADULT, limit=9)
    assert sorted(actions(first)) == ["fibre", "film", "sport", "stay"]
    stages = ["actions", "available", "eligibility", "applicability", "suitability", "contact", "value", "offered"]
    assert list(first.funnel.items()) == [(stage, 4) for stage in stages]
    receipt = shop.record(first.id, "declined", action="sport", reason="too_expensive")
    assert (receipt.action, receipt.duplicate, receipt.learned, receipt.reward) == ("sport", False, True, 0.0)
    second = shop.decide("ann", channel="web", facts=ADULT, limit=9)
    assert sorted(actions(second)) == ["fibre", "film", "stay"] and second.funnel["contact"] == 3
    fallen = explained(shop, second, "sport")
    assert fallen.stage == "contact" and [r.name for r in fallen.reasons] == ["too_expensive"]
    assert "too_expensive" in str(shop.explain(second.id))


def test_a_request_is_answered_once():
    shop = engine()
    first = shop.decide("ann", channel="call", facts=ADULT, request_id="r")
    assert shop.decide("ann", channel="call", facts={}, request_id="r") is first
    for subject, channel in (("bob", "call"), ("ann", "web"), ("ann", None)):
        with pytest.raises(nba.NbaError, match="'r' was used for subject 'ann' on channel 'call'"):
            shop.decide(subject, channel=channel, request_id="r")
    assert shop.decide("ann", channel="call", facts=ADULT).interaction == "#2"


def test_repeats_within_an_interaction_name_the_first_and_numbers_count_per_subject():
    shop = engine()
    first = shop.decide("ann", channel="call", facts=ADULT, interaction="i")
    again = shop.decide("ann", channel="web", facts=ADULT, interaction="i")
    other = shop.decide("bob", channel="call", facts=ADULT, interaction="i")
    assert (first.repeat_of, again.repeat_of, other.repeat_of) == (None, first.id, None)
    assert [shop.decide(name, facts=ADULT).interaction for name in ("ann", "bob", "ann", "cyd")] == ["#3", "#2", "#4", "#1"]


def test_an_interaction_is_known_again_after_others_without_a_name_and_while_it_is_used(tmp_path):
    with engine(store=tmp_path / "store") as shop:
        first = shop.decide("ann", facts=ADULT, interaction="i")
        for _ in range(20):
            assert shop.decide("ann", facts=ADULT).repeat_of is None
        assert shop.decide("ann", facts=ADULT, interaction="i").repeat_of == first.id
        for n in range(40):  # eight names have a place; one that is used again is the latest
            assert shop.decide("ann", facts=ADULT, interaction=f"j{n}").repeat_of is None
            assert shop.decide("ann", facts=ADULT, interaction="i").repeat_of == first.id
        assert shop.decide("ann", facts=ADULT, interaction="j0").repeat_of is None
        named = shop.decide("bob", facts=ADULT, interaction="#2")
        assert [shop.decide("bob", facts=ADULT).repeat_of for _ in range(2)] == [None, None]
        before = everything(shop)
    with engine(store=tmp_path / "store") as shop:
        assert everything(shop) == before
        assert shop.decide("ann", facts=ADULT, interaction="i").repeat_of == first.id
        assert shop.decide("bob", facts=ADULT, interaction="#2").repeat_of == named.id


def test_noise_sticks_to_the_interaction_or_to_the_window():
    uniform = catalog(exploration={"kind": "uniform"}, channels={"call": {}, "web": {}})
    shop = engine(catalog=uniform)

    def drawn(subject, **more):
        return actions(shop.decide(subject, facts=ADULT, limit=4, **more))

    for n in range(20):
        assert drawn("ann", interaction=f"i{n}", channel="call") == drawn("ann", interaction=f"i{n}", channel="web")
    assert len({tuple(drawn("ann", interaction=f"i{n}", channel="call")) for n in range(40)}) > 12
    assert len({tuple(drawn("bob", channel="call")) for _ in range(40)}) > 12
    shop = engine(catalog=catalog(exploration={"kind": "uniform", "sticky": "7d"}))
    epoch_week = datetime(2026, 3, 5, tzinfo=NOON.tzinfo)  # weeks of the epoch begin on Thursdays
    week = [drawn("ann", channel=channel, at=epoch_week + d * DAY) for d in range(7) for channel in ("call", None)]
    assert week.count(week[0]) == len(week)
    assert len({tuple(drawn("ann", channel="call", at=epoch_week + 7 * w * DAY)) for w in range(30)}) > 10


def test_limits():
    shop = engine()
    assert len(shop.decide("ann", channel="call", facts=ADULT, limit=10**9).offers) == 4
    none = shop.decide("ann", channel="call", facts=ADULT, limit=0)
    assert none.offers == () and none.slate_probability == 1.0 and none.funnel["value"] == 4
    with pytest.raises(nba.OutcomeError, match="offered nothing"):
        shop.record(none.id, "accepted")
    for limit in (-1, 1.5, True, None, "3"):
        with pytest.raises(nba.NbaError, match="limit is"):
            shop.decide("ann", facts=ADULT, limit=limit)


def test_without_a_channel_treatments_compete_and_name_their_own():
    treatments = [{"id": f"t-{c}", "channel": c, "script": f"by {c}", "cost": 0.5} for c in ("call", "web", "mail")]
    base = written()
    base["actions"][0]["treatments"] = treatments
    shop = engine(catalog=catalog(actions=base["actions"]))
    seen = Counter()
    for n in range(60):
        decision = shop.decide(f"s{n}", facts=ADULT, limit=9)
        assert sorted(actions(decision)) == ["fibre", "film", "sport", "stay"]
        offer = next(o for o in decision.offers if o.action == "sport")
        assert (offer.treatment, offer.script, offer.cost) == (f"t-{offer.channel}", f"by {offer.channel}", 0.5)
        assert {o.channel for o in decision.offers if o.action != "sport"} == {None}
        seen[offer.channel] += 1
    assert set(seen) == {"call", "web", "mail"}
    no_consent = [shop.decide(f"s{n}", facts={**ADULT, "mail_ok": False}, limit=9) for n in range(30)]
    assert {o.channel for d in no_consent for o in d.offers} == {None, "call", "web"}
    web = shop.decide("ann", channel="web", facts=ADULT, limit=9)
    assert {(o.action, o.treatment) for o in web.offers} == {("sport", "t-web"), ("film", None), ("fibre", None), ("stay", None)}
    assert shop.record(web.id, "declined", action="sport", treatment="t-web").action == "sport"
    with pytest.raises(nba.OutcomeError, match="did not offer 'sport' as 't-call'"):
        shop.record(web.id, "declined", action="sport", treatment="t-call")


def test_wrong_use_is_named():
    shop = engine()
    with pytest.raises(nba.NbaError, match="channel 'fax' is not in the catalog; known are call, web, mail"):
        shop.decide("ann", channel="fax")
    for name, value in {"age": True, "bill": "45", "tariff": 3, "products": "tv", "since": datetime(2026, 1, 1), "mail_ok": 1}.items():
        with pytest.raises(nba.FactsError, match=f"'{name}'") as caught:
            shop.decide("ann", facts={**ADULT, name: value})
        assert caught.value.fact == name
    with pytest.raises(nba.FactsError, match="'products'"):
        shop.decide("ann", facts={**ADULT, "products": ["tv", 7]})
    with pytest.raises(nba.FactsError, match="'age'.*64 bits"):
        shop.decide("ann", facts={**ADULT, "age": 2**63})
    with pytest.raises(nba.NbaError, match="no time zone"):
        shop.decide("ann", facts=ADULT, at=datetime(2026, 1, 1))
    for at in ("2026-01-01", True, 1.5, 10**30, -(10**18)):
        with pytest.raises(nba.NbaError, match="at="):
            shop.decide("ann", facts=ADULT, at=at)
    for subject, facts in ((42, ADULT), (None, ADULT), ("ann", [("age", 1)]), ("ann", "age")):
        with pytest.raises(nba.NbaError):
            shop.decide(subject, facts=facts)
    decision = shop.decide("ann", facts=ADULT, limit=2)
    for words, call in {
        "no decision 'nope'": lambda: shop.record("nope", "accepted"),
        "'acepted' is not an outcome.*'accepted'": lambda: shop.record(decision.id, "acepted", action=decision.offers[0].action),
        "reason 'pricey' is not": lambda: shop.record(decision.id, "declined", action=decision.offers[0].action, reason="pricey"),
        "say which one is meant": lambda: shop.record(decision.id, "accepted"),
        "did not offer 'yacht'": lambda: shop.record(decision.id, "accepted", action="yacht"),
        "record that first": lambda: shop.record(decision.id, "cancelled", action=decision.offers[0].action),
        "a reason goes with an answer": lambda: shop.record(decision.id, "skipped", action=decision.offers[0].action, reason="never"),
        "no time zone": lambda: shop.record(decision.id, "accepted", action=decision.offers[0].action, at=datetime(2026, 1, 1)),
    }.items():
        with pytest.raises(nba.NbaError, match=words):
            call()
    assert shop.beliefs_version == 0 and len(shop._memory.state.contacts) == 0


def test_nothing_raises_because_a_fact_is_missing_null_or_extra():
    shop = engine()
    for given in (None, {}, dict.fromkeys(ADULT), {"shoe_size": 43, "age": None}):
        decision = shop.decide("ann", channel="call", facts=given, limit=9)
        assert actions(decision) == ["stay"]
        assert {r.verdict for a in ("sport", "film", "fibre") for r in explained(shop, decision, a).reasons if r.kind == "rule"} == {"unknown"}
    assert shop.unknown_facts == {"shoe_size"}
    assert explained(shop, shop.decide("ann", facts={**ADULT, "age": 12}), "sport").reasons[0].verdict == "false"


def test_the_null_action_ends_the_slate_and_is_never_listed():
    base = written()["actions"]
    costly = [{**base[0], "value": 1, "cost": 5.0}, base[1], {"id": "nothing", "null_action": True}]
    shop = engine(catalog=catalog(actions=costly, exploration={"kind": "thompson", "uniform_share": 0.05}))
    for n in range(50):
        decision = shop.decide(f"s{n}", channel="call", facts=ADULT, limit=9)
        assert actions(decision) == ["film"]
    found = {a.action: a for a in shop.explain(decision.id).actions}
    assert found["nothing"].stage == found["sport"].stage == "arbitration" and found["sport"].terms["priority"] < 0
    assert found["nothing"].terms["priority"] == 0 and not found["nothing"].offered
    only = engine(catalog=catalog(actions=[costly[0], costly[2]])).decide("ann", channel="call", facts=ADULT, limit=9)
    assert only.offers == () and only.funnel["offered"] == 0


def test_control_groups():
    groups = [{"name": "random", "share": 0.3, "kind": "uniform"}, {"name": "holdout", "share": 0.2, "kind": "nothing"}]
    shop = engine(catalog=catalog(control_groups=groups), seed=3)
    seen: Counter = Counter()
    for n in range(1000):
        decision = shop.decide(f"s{n}", channel="call", facts=ADULT, limit=2)
        seen[decision.control_group] += 1
        if n % 20 == 0:
            assert shop.decide(f"s{n}", channel="web", facts=ADULT).control_group == decision.control_group
        if decision.control_group == "holdout":
            assert decision.offers == () and decision.slate_probability == 1.0
            assert explained(shop, decision, "stay").reasons[0].kind == "control_group"
        elif decision.control_group == "random":
            assert [o.selection_probability for o in decision.offers] == [pytest.approx(1 / 4), pytest.approx(1 / 3)]
            assert decision.slate_probability == pytest.approx(1 / 12)
    for name, share in (("random", 0.3), ("holdout", 0.2)):
        assert abs(seen[name] - 1000 * share) < 4.5 * math.sqrt(1000 * share * (1 - share))


def test_slate_probability_is_the_product():
    shop = engine()
    for n in range(30):
        decision = shop.decide(f"s{n}", channel="call", facts=ADULT, limit=3)
        assert decision.slate_probability == pytest.approx(math.prod(o.selection_probability for o in decision.offers))
        assert all(0 < o.selection_probability <= 1 for o in decision.offers)
        assert [o.rank for o in decision.offers] == [1, 2, 3]


def test_context_weights_and_levers_multiply():
    weights = [
        {"when": "intent == 'cancel'", "issue": "sales", "multiplier": 2.0},
        {"when": "age > 40", "group": "tv", "multiplier": 3.0},
        {"when": "bill > 1000.0", "action": "sport", "multiplier": 100.0},
        {"when": "tariff == 'gold'", "action": "sport", "multiplier": 5.0},
    ]
    issues = {"sales": {"lever": 2.0, "groups": {"tv": {"lever": 3.0}, "net": {}}}, "keep": {"groups": {"loyalty": {}}}}
    base = written()["actions"]
    base[0] |= {"lever": 5.0, "cost": 0.25, "treatments": [{"id": "t", "channel": "call", "lever": 7.0}]}
    shop = engine(catalog=catalog(context_weights=weights, issues=issues, actions=base, **SHOWN))
    offers = {o.action: o for o in shop.decide("ann", channel="call", facts={**ADULT, "intent": "cancel"}, limit=9).offers}
    assert {a: (o.context_weight, o.lever) for a, o in offers.items()} == {
        "sport": (30.0, 210.0), "film": (6.0, 6.0), "fibre": (2.0, 2.0), "stay": (1.0, 1.0)}  # fmt: skip
    for o in offers.values():
        assert o.priority == pytest.approx(o.propensity * o.value * o.context_weight * o.lever - o.cost)
    assert offers["sport"].cost == 0.25 and offers["fibre"].value == pytest.approx(45.5 * 0.2)
    unknown = {o.action: o for o in shop.decide("ann", channel="call", facts={**ADULT, "tariff": None}, limit=9).offers}
    assert unknown["sport"].context_weight == 3.0


@pytest.mark.parametrize(("value", "facts", "verdict"), [
    ("bill * 2.0", {}, "unknown"),
    ("bill - 100.0", {}, "false"),
    ("bill / 0.0", {"bill": 0.0}, "false"),
    ("bill / 0.0", {"bill": 5.0}, "false"),
    ("age / 0", {}, "unknown"),
    (-3.0, {}, "false"),
])  # fmt: skip
def test_a_value_that_is_unknown_negative_or_no_number_falls_with_its_reason(value, facts, verdict):
    odd = [{**written()["actions"][3], "value": value}, {"id": "sure", "issue": "keep", "group": "loyalty", "value": 1}]
    given = {"age": 41, **facts} if verdict == "unknown" else {**ADULT, **facts}
    shop = engine(catalog=catalog(actions=odd))
    decision = shop.decide("ann", channel="call", facts=given, limit=9)
    assert actions(decision) == ["sure"] and (decision.funnel["contact"], decision.funnel["value"]) == (2, 1)
    fallen = explained(shop, decision, "stay")
    assert fallen.stage == "value" and [(r.kind, r.verdict) for r in fallen.reasons] == [("value", verdict)]


def test_valid_days_count_from_their_first_to_their_last_moment_in_the_zone():
    base = written()["actions"]
    base[3]["valid"] = {"from": "2026-03-01", "until": "2026-03-31"}
    shop = engine(catalog=catalog(actions=base, timezone="Europe/Zurich"))
    tick = timedelta(microseconds=1)
    first, last = datetime(2026, 2, 28, 23, tzinfo=NOON.tzinfo), datetime(2026, 3, 31, 22, tzinfo=NOON.tzinfo) - tick
    decisions = [shop.decide("ann", facts=ADULT, limit=9, at=at) for at in (first - tick, first, last, last + tick)]
    assert ["stay" in actions(d) for d in decisions] == [False, True, True, False]
    late = decisions[-1]
    assert explained(shop, late, "stay").stage == "available" and explained(shop, late, "stay").reasons[0].kind == "valid"


@pytest.mark.parametrize(("facts", "verdict"), [({"mail_ok": False}, "false"), ({"mail_ok": None}, "unknown"), ({}, "unknown")])
def test_consent_must_be_given(facts, verdict):
    shop = engine()
    known = {name: value for name, value in ADULT.items() if name != "mail_ok"}
    decision = shop.decide("ann", channel="mail", facts={**known, **facts}, limit=9)
    assert decision.offers == () and decision.funnel["contact"] == 0
    assert [(r.kind, r.name, r.verdict) for r in explained(shop, decision, "stay").reasons] == [("consent", "mail_ok", verdict)]
    assert len(shop.decide("ann", channel="mail", facts=ADULT, limit=9).offers) == 4


class ShopProfiles:
    def profile(self, subject):
        return {"ann": {"age": 12, "bill": 45.5, "products": []}}.get(subject)


@pytest.mark.parametrize("profiles", [{"ann": {"age": 12, "bill": 45.5, "products": []}}, ShopProfiles()])
def test_profiles_are_overridden_fact_by_fact(profiles):
    shop = engine(profiles=profiles)

    def offered(subject, **facts):
        return sorted(actions(shop.decide(subject, channel="call", facts=facts, limit=9)))

    assert offered("ann") == ["fibre", "film", "stay"]
    assert offered("ann", age=18) == ["fibre", "film", "sport", "stay"]
    assert offered("ann", bill=None) == ["stay"]
    assert offered("bob") == ["stay"]


def test_the_caller_may_go_on_using_its_facts():
    profile = {"bill": 45.5, "products": ["tv"]}
    shop = engine(profiles={"ann": profile})
    facts = {"age": 41, "tariff": "gold"}
    decision = shop.decide("ann", channel="call", facts=facts, limit=9)
    before = str(shop.explain(decision.id))
    facts["age"] = "no number"
    profile["products"] += ["fibre", "radio"]
    assert str(shop.explain(decision.id)) == before
    assert shop.record(decision.id, "accepted", action="fibre").learned
    own = {"products": ["tv"], "bill": 1.0}
    second = shop.decide("bob", channel="call", facts=own, limit=9)
    own["products"].append("fibre")
    assert shop.record(second.id, "accepted", action="fibre").learned
    assert explained(shop, second, "fibre").offered


def test_explain_names_every_stage_and_every_reason():
    base = written()["actions"]
    base += [
        {"id": "old", "issue": "keep", "group": "loyalty", "valid": {"until": "2020-01-01"}},
        {"id": "bound", "issue": "keep", "group": "loyalty", "treatments": [{"id": "b", "channel": "web"}]},
        {"id": "both", "issue": "sales", "group": "tv", "eligibility": ["age >= 18", "age < 30"], "suitability": ["tariff == 'none'"]},
    ]
    groups = {"tv": {"eligibility": ["bill < 40.0"]}, "net": {}}
    issues = {"sales": {"eligibility": ["age < 90"], "groups": groups}, "keep": {"groups": {"loyalty": {}}}}
    shop = engine(catalog=catalog(actions=base, issues=issues))
    refused = shop.decide("ann", channel="call", facts=ADULT, limit=9)
    shop.record(refused.id, "declined", action="stay")
    decision = shop.decide("ann", channel="call", facts={"age": 41, "products": ["fibre"], "tariff": "gold"}, limit=9)
    found = {a.action: a for a in shop.explain(decision.id).actions}
    assert {name: a.stage for name, a in found.items()} == {
        "sport": "eligibility", "film": "eligibility", "fibre": "applicability", "stay": "contact", "old": "available", "bound": "available",
        "both": "eligibility"}  # fmt: skip
    assert [(r.name, r.text, r.verdict) for r in found["both"].reasons] == [
        ("issues.sales.groups.tv.eligibility[0]", "bill < 40.0", "unknown"),
        ("actions[6].eligibility[1]", "age < 30", "false"),
        ("actions[6].suitability[0]", "tariff == 'none'", "false"),
    ]
    assert [(r.kind, r.name) for r in found["stay"].reasons] == [("contact_policy", "no-nagging")]
    assert [r.kind for r in found["bound"].reasons] == ["channel"]
    whole = shop.explain(decision.id).to_dict()
    again = json.loads(json.dumps(whole, allow_nan=False))
    assert json.dumps(again) == json.dumps(whole) and again["decision"]["id"] == decision.id and again["funnel"] == dict(decision.funnel)
    assert set(whole) == {"decision", "funnel", "actions"}
    assert set(whole["actions"][0]) == {"action", "treatment", "channel", "offered", "rank", "stage", "reasons", "terms"}
    assert set(whole["actions"][0]["reasons"][0]) == {"kind", "name", "text", "verdict", "because"}


def test_explain_lists_the_slate_first_with_its_terms():
    shop = engine()
    decision = shop.decide("ann", channel="call", facts=ADULT, limit=2)
    found = shop.explain(decision.id).actions
    assert [(a.action, a.rank, a.stage) for a in found[:2]] == [(o.action, o.rank, "offered") for o in decision.offers]
    for a, o in zip(found[:2], decision.offers, strict=True):
        assert a.terms["priority"] == o.priority and a.terms["selection_probability"] == o.selection_probability
    for a in found[2:]:
        assert a.stage == "arbitration" and a.rank is None and a.terms["propensity"] > 0 and a.reasons[0].kind == "priority"


def test_old_decisions_are_forgotten_and_say_so():
    shop = engine(explained_decisions_max=3)
    ids = [shop.decide("ann", channel="call", facts=ADULT, request_id=f"r{n}").id for n in range(5)]
    for gone in ids[:2]:
        with pytest.raises(nba.UnknownDecisionError, match="raise explained_decisions_max, or give the engine a store") as caught:
            shop.explain(gone)
        assert caught.value.decision_id == gone
        with pytest.raises(nba.UnknownDecisionError):
            shop.record(gone, "accepted")
    assert [shop.explain(kept).decision.id for kept in ids[2:]] == ids[2:]
    with pytest.raises(nba.UnknownDecisionError, match="check the id"):
        engine().explain("nope")


def test_a_closed_engine_answers_nothing():
    with engine() as shop:
        decision = shop.decide("ann", facts=ADULT)
    shop.close()
    for call in (lambda: shop.decide("ann"), lambda: shop.record(decision.id, "accepted"), lambda: shop.explain(decision.id), shop.advance):
        with pytest.raises(nba.StoreError, match="closed"):
            call()


def test_times_come_from_the_clock_or_the_call():
    clock = HandClock()
    shop = engine(clock=clock)
    assert shop.decide("ann").at == NOON
    clock.now += DAY
    assert shop.decide("ann").at == NOON + DAY
    assert shop.decide("ann", at=1_000_001).at == datetime(1970, 1, 1, 0, 0, 1, 1, tzinfo=NOON.tzinfo)
    zone = datetime.fromisoformat("2026-03-02T13:00:00+01:00")
    assert shop.decide("ann", at=zone).at == NOON


def test_memory_states_what_grows():
    shop = engine()
    empty = shop.memory()
    decisions = [shop.decide(f"s{i}", facts=ADULT, channel="call") for i in range(50)]
    for decision in decisions[:20]:
        shop.record(decision.id, "declined", action=decision.offers[0].action)
    full = shop.memory()
    assert list(full.values()) == sorted(full.values(), reverse=True) and full.keys() == empty.keys()
    assert full["contact histories"] == 20 * (240 + 4 * 40)
    assert full["subjects"] == 50 * 450 and full["decisions at hand"] > 50 * 2_500 and empty["decisions at hand"] == 0
    assert full["beliefs"] == empty["beliefs"] > 20 * 100
