"""What outcomes do to beliefs and contact history: duplicates, contradictions, exposure, time-outs, and history from elsewhere."""

from __future__ import annotations

from datetime import datetime, timedelta

import pyarrow as pa
import pytest

import nba_engine as nba
from tests.shop import ADULT, DAY, HOUR, MINUTE, NOON, actions, beliefs, catalog, engine, everything


def shown(shop, subject="ann", channel="call", **more):
    return shop.decide(subject, channel=channel, facts=ADULT, limit=9, **more)


def open_actions(shop, subject="ann", channel="call", **more):
    return set(actions(shown(shop, subject, channel, **more)))


def propensities(shop):
    """Of every action at rank 1, for somebody new."""
    decision = shop.decide("somebody new", channel="call", facts=ADULT, limit=0)
    return {a.action: a.terms["propensity"] for a in shop.explain(decision.id).actions}


def told(*labels, channel="call", model="probit", **more):
    """Beliefs, but for their version, after these answers to one offer, each a label or a label with its reason."""
    shop = engine(catalog=catalog(model={"kind": model}))
    decision = shown(shop, channel=channel)
    for label in labels:
        label, reason = label if isinstance(label, tuple) else (label, None)
        shop.record(decision.id, label, action="sport", reason=reason, **more)
    return beliefs(shop, version=False)


def parts(state, *left_out):
    return {name: data for name, data in state.items() if name.partition(".")[0] not in left_out}


def test_an_outcome_moves_the_propensity_of_its_action_and_of_those_near_it():
    shop = engine()
    before = propensities(shop)
    for n in range(5):
        shop.record(shown(shop, f"s{n}").id, "accepted", action="sport")
    after = propensities(shop)
    gains = {name: after[name] - before[name] for name in after}
    assert gains["sport"] > gains["film"] > gains["stay"] > 0


def test_event_ids_make_deliveries_harmless():
    shop = engine()
    decision = shown(shop)
    first = shop.record(decision.id, "declined", action="sport", event_id="e1")
    state = everything(shop)
    again = shop.record(decision.id, "declined", action="sport", event_id="e1")
    assert (first.duplicate, again.duplicate, again.learned, again.reward) == (False, True, False, 0.0)
    assert shop.record(decision.id, "accepted", action="sport", event_id="e1").duplicate
    assert everything(shop) == state
    with pytest.raises(nba.OutcomeError, match="'e1' came with 'sport' before"):
        shop.record(decision.id, "declined", action="film", event_id="e1")
    assert everything(shop) == state
    assert not shop.record(shown(shop, "bob").id, "declined", action="sport", event_id="e1").duplicate


def test_without_event_id_a_repeat_of_the_current_answer_is_the_duplicate():
    shop = engine()
    decision = shown(shop)
    assert not shop.record(decision.id, "declined", action="sport").duplicate
    state = everything(shop)
    assert shop.record(decision.id, "declined", action="sport", at=NOON + DAY).duplicate
    assert everything(shop) == state
    other_reason = shop.record(decision.id, "declined", action="sport", reason="too_expensive")
    assert not other_reason.duplicate
    assert not shop.record(decision.id, "accepted", action="sport").duplicate
    assert not shop.record(decision.id, "declined", action="sport").duplicate


@pytest.mark.parametrize("model", ["probit", "beta_bernoulli"])
def test_a_contradicting_answer_replaces_the_first_bit_for_bit(model):
    straight = told("accepted", model=model)
    # Scaling keeps what it has seen: the row was observed once for each answer.
    for labels in (("declined", "accepted"), ("accepted", "declined", "accepted"), ("declined", ("declined", "too_expensive"), "accepted"),
                   ("maybe", "accepted")):  # fmt: skip
        assert parts(told(*labels, model=model), "scaling", "watch", "recalibration") == parts(straight, "scaling", "watch", "recalibration"), labels
    shop = engine()
    decision = shown(shop)
    shop.record(decision.id, "declined", action="sport")
    assert "sport" not in open_actions(shop)
    shop.record(decision.id, "accepted", action="sport")
    assert "sport" in open_actions(shop)


def test_what_teaches_nothing():
    untaught = told()["models.probit.state.sums"]
    for labels in (("skipped",), ("presented",), (("declined", "already_have"),), ("presented", "skipped"), ("accepted", "skipped"),
                   ("declined", ("declined", "already_have")), ("accepted", "cancelled")):  # fmt: skip
        assert told(*labels)["models.probit.state.sums"] == untaught, labels
    shop = engine()
    decision = shown(shop)
    assert not shop.record(decision.id, "declined", action="sport", reason="already_have").learned
    assert shop.beliefs_version == 0 and "sport" not in open_actions(shop)


def test_an_accept_taken_back_leaves_contact_history_and_beliefs():
    rules = [{"name": "once", "scope": "action", "label": "accepted", "count": 1, "within": "30d", "suppress": "30d"}]
    shop = engine(catalog=catalog(contact_policies=rules))
    decision = shown(shop)
    assert shop.record(decision.id, "accepted", action="sport").reward == 1.0
    assert "sport" not in open_actions(shop)
    assert shop.record(decision.id, "cancelled", action="sport").reward is None
    assert "sport" in open_actions(shop)
    assert shop.record(decision.id, "cancelled", action="sport").duplicate
    assert shop.record(decision.id, "accepted", action="sport").learned and "sport" not in open_actions(shop)


def test_a_reward_between_teaches_between():
    found = {}
    for label, reward in {"declined": 0.0, "maybe": 0.25, "accepted": 1.0}.items():
        shop = engine()
        assert shop.record(shown(shop).id, label, action="sport").reward == reward
        found[label] = propensities(shop)["sport"]
    assert found["declined"] < found["maybe"] < found["accepted"]


def test_the_rank_is_a_predictor():
    shop = engine()
    for n in range(200):
        decision = shown(shop, f"s{n}")
        for offer in decision.offers:
            shop.record(decision.id, "accepted" if offer.rank == 1 else "declined", action=offer.action)
    offers = shown(shop, "probe").offers
    assert offers[0].propensity > 0.7 and max(o.propensity for o in offers[1:]) < 0.3


def test_silence_teaches_only_where_it_was_presented_and_has_lasted():
    shop = engine()
    web, mail, _ = (shown(shop, name, channel) for name, channel in (("ann", "web"), ("bob", "mail"), ("cyd", "call")))
    shop.record(mail.id, "presented", action="film", at=NOON + HOUR)
    assert shop.advance(NOON + 30 * MINUTE - timedelta(microseconds=1)) == 0
    assert shop.advance(NOON + 30 * MINUTE) == len(web.offers) == 4
    assert shop.advance(NOON + 30 * MINUTE) == 0
    assert shop.beliefs_version == 4
    assert shop.advance(NOON + HOUR + 3 * DAY) == 1  # the other offers of the mail were never presented
    assert shop.advance(NOON + 1000 * DAY) == 0 and shop.beliefs_version == 5


def test_answered_and_skipped_offers_do_not_fall_silent():
    shop = engine()
    web = shown(shop, "ann", "web")
    shop.record(web.id, "declined", action="sport")
    shop.record(web.id, "skipped", action="film")
    assert shop.advance(NOON + DAY) == 2
    shop.record(web.id, "presented", action="film", at=NOON + DAY)
    assert shop.advance(NOON + DAY + 29 * MINUTE) == 0 and shop.advance(NOON + DAY + 30 * MINUTE) == 1


def test_a_late_answer_undoes_the_time_out():
    rules = [{"name": "silent", "scope": "action", "label": "no_response", "count": 1, "within": "30d", "suppress": "30d"}]
    rules.append({"name": "glad", "scope": "action", "label": "accepted", "count": 1, "within": "30d", "suppress": "30d"})

    def late(times_out):
        shop = engine(catalog=catalog(contact_policies=rules, channels={"web": {"presented": "on_return", "no_response": "30m"}}))
        decision = shop.decide("ann", channel="web", facts=ADULT, limit=1)
        name = decision.offers[0].action
        if times_out:
            assert shop.advance(NOON + HOUR) == 1 and name not in open_actions(shop, channel="web")
        assert shop.record(decision.id, "accepted", at=NOON + 2 * HOUR).learned
        closed = shop.decide("ann", channel="web", facts=ADULT, limit=9)
        reasons = next(a.reasons for a in shop.explain(closed.id).actions if a.action == name)
        assert [r.name for r in reasons] == ["glad"]
        return parts(beliefs(shop, version=False), "scaling", "watch", "recalibration")

    assert late(True) == late(False)


def test_unanswered_ranks_are_no_negatives():
    one, slate = engine(), engine()
    single = one.decide("ann", channel="call", facts=ADULT, limit=1)
    four = slate.decide("ann", channel="call", facts=ADULT, limit=4)
    assert four.offers[0].action == single.offers[0].action
    for shop, decision in ((one, single), (slate, four)):
        shop.record(decision.id, "declined", action=decision.offers[0].action)
    assert beliefs(one) == beliefs(slate)


def test_caps_count_what_was_presented():
    cap = [{"name": "cap", "scope": "channel", "label": "presented", "count": 2, "within": "7d", "per": "interaction"}]
    shop = engine(catalog=catalog(contact_policies=cap))
    for channel, presented in (("call", 0), ("web", 2)):
        for _ in range(2):
            shown(shop, channel=channel)
        assert (open_actions(shop, channel=channel) == set()) == bool(presented), channel


def rows():
    """Forty past offers, out of order in time, and the same as a table."""
    answers = ["accepted", "declined", "maybe", "presented", "declined"]
    found = []
    for n in range(40):
        found.append({
            "subject": f"s{n % 7}", "channel": "call", "at": NOON + ((n * 17) % 40) * HOUR, "rank": 1 + n % 2,
            "action": ["sport", "film", "stay"][n % 3], "label": answers[n % 5], "age": 20 + n, "bill": 10.5 + n, "tariff": f"t{n % 4}",
            "products": ["tv", f"p{n % 3}"], "mail_ok": None if n % 2 else True,
        })  # fmt: skip
    return found


def columns(table):
    return {name: [row[name] for row in table] for name in table[0]}


def test_how_many_rows_are_encoded_at_once_changes_nothing(monkeypatch):
    """Some rows are left out and times are not in order, so that parts are copied as well as cut."""
    whole, ordered, in_parts = engine(), engine(), engine()
    n_taught = whole.learn(columns(rows()))
    assert ordered.learn(columns(sorted(rows(), key=lambda row: row["at"]))) == n_taught
    monkeypatch.setattr("nba_engine.backfill._LEARNED_AT_ONCE", 3)
    assert in_parts.learn(columns(rows())) == n_taught
    assert beliefs(in_parts) == beliefs(ordered) == beliefs(whole)


@pytest.mark.parametrize("form", ["table", "dict", "batches"])
def test_history_learned_equals_the_same_outcomes_recorded(form):
    past, recorded = engine(), engine()
    table = pa.Table.from_pylist(rows())
    batches = pa.RecordBatchReader.from_batches(table.schema, table.to_batches())
    taught = past.learn({"table": table, "dict": columns(rows()), "batches": batches}[form])
    assert taught == sum(row["label"] != "presented" for row in rows()) == past.beliefs_version
    for row in sorted(rows(), key=lambda row: row["at"]):
        facts = {name: row[name] for name in ("age", "bill", "tariff", "products", "mail_ok")}
        for n in range(1000):
            decision = recorded.decide(f"{row['subject']} {n}", channel="call", facts=facts, limit=9, at=row["at"])
            if any((o.action, o.rank) == (row["action"], row["rank"]) for o in decision.offers):
                break
        recorded.record(decision.id, row["label"], action=row["action"], at=row["at"])
    assert beliefs(past) == beliefs(recorded)
    assert past._memory.state.vocabulary.state() == recorded._memory.state.vocabulary.state()
    assert "sport" not in open_actions(past, "s6", at=NOON + 2 * DAY)


def test_rows_of_one_subject_at_one_moment_are_one_interaction():
    shop = engine()
    shop.learn({"subject": ["ann", "bob", "ann", "ann"], "channel": ["call"] * 4, "at": [NOON + HOUR, NOON, NOON, NOON],
                "action": ["sport", "sport", "film", "sport"], "label": ["presented", "presented", "declined", "presented"]})  # fmt: skip
    ann, bob = (shop._memory.state.contacts.history(subject).rows() for subject in ("ann", "bob"))
    first, again, second, later = ann["interaction"].tolist()
    assert first == again == second and len({first, later, *bob["interaction"].tolist()}) == 3
    assert len(set(ann["offer"].tolist())) == 3 and (ann["interaction"] >= 0).all()


CANCELLING = (("ann", "call", 0, "accepted"), ("ann", "call", 1, "accepted"), ("bob", "call", 2, "accepted"), ("ann", "call", 3, "declined"),
              ("ann", "web", 4, "cancelled"), ("bob", "call", 5, "accepted"), ("ann", "call", 6, "cancelled"), ("bob", "call", 7, "presented"),
              ("bob", "call", 8, "cancelled"))  # fmt: skip
"""Subject, channel, hour, label; of ann's two accepts the later one is taken back first, bob keeps his first."""


def cancelling(told=CANCELLING, **columns):
    subjects, channels, hours, labels = zip(*told, strict=True)
    at = [NOON + hour * HOUR for hour in hours]
    return pa.table({"subject": subjects, "channel": channels, "at": at, "action": ["sport"] * len(at), "label": labels,
                     "age": [30 + h for h in hours], **columns})  # fmt: skip


def standing(shop):
    """The contact events of each subject; offers by the order of their presentation."""
    found = {}
    for name in ("ann", "bob"):
        events = shop._memory.state.contacts.history(name).rows()
        offers = list(dict.fromkeys(events["offer"].tolist()))
        fields = ("at", "action", "treatment", "label", "reason", "channel", "direction")
        found[name] = [(offers.index(e["offer"]), *(e[field].item() for field in fields)) for e in events]
    return found


def test_an_accept_is_taken_back_in_history_as_one_by_one():
    alone = catalog(actions=[{"id": "sport", "issue": "sales", "group": "tv"}], contact_policies=[])
    one_by_one, past, never_accepted = (engine(catalog=alone) for _ in range(3))
    open_offers = {"ann": [], "bob": []}
    for subject, channel, hour, label in CANCELLING:
        at = NOON + hour * HOUR
        if label == "cancelled":
            decision_id = open_offers[subject].pop()
        else:
            decision_id = one_by_one.decide(subject, channel=channel, facts={"age": 30 + hour}, at=at).id
            if label == "accepted":
                open_offers[subject].append(decision_id)
        one_by_one.record(decision_id, label, action="sport", at=at)
    backwards = cancelling().take(list(range(len(CANCELLING)))[::-1])
    assert past.learn(backwards) == 2
    assert standing(past) == standing(one_by_one)
    assert never_accepted.learn(cancelling([(s, c, h, "presented" if (s, h) in (("ann", 0), ("ann", 1), ("bob", 5)) else label)
                                            for s, c, h, label in CANCELLING if label != "cancelled"])) == 2  # fmt: skip
    assert beliefs(past) == beliefs(never_accepted)


def test_a_contact_policy_does_not_count_an_accept_that_history_took_back(tmp_path):
    once = [{"name": "once", "scope": "action", "label": "accepted", "count": 1, "within": "30d", "suppress": "30d"}]
    for stop, is_open in ((1, False), (2, False), (4, False), (5, False), (7, True)):
        with engine(catalog=catalog(contact_policies=once), store=tmp_path / str(stop)) as shop:
            shop.learn(cancelling(CANCELLING[:stop]))
            assert ("sport" in open_actions(shop, "ann")) == is_open, stop
            before = everything(shop)
        with engine(catalog=catalog(contact_policies=once), store=tmp_path / str(stop)) as shop:
            assert everything(shop) == before


@pytest.mark.parametrize(("told", "actions"), [
    ((("ann", "call", 0, "accepted"), ("ann", "call", 3, "cancelled"), ("ann", "call", 6, "cancelled")), ["sport"] * 3),
    ((("ann", "call", 0, "declined"), ("bob", "call", 1, "accepted"), ("ann", "call", 2, "cancelled")), ["sport"] * 3),
    ((("ann", "call", 0, "accepted"), ("ann", "call", 1, "declined"), ("ann", "call", 2, "cancelled")), ["film", "sport", "sport"]),
    ((("ann", "call", 5, "accepted"), ("ann", "call", 6, "declined"), ("ann", "call", 2, "cancelled")), ["sport"] * 3),
], ids=["taken back already", "of another subject", "of another action", "later"])  # fmt: skip
def test_what_takes_back_nothing_is_an_offer_of_its_own_and_teaches_nothing(told, actions):
    shop, without = engine(), engine()
    n_before = without.learn(cancelling(told[:2], action=actions[:2]))
    assert shop.learn(cancelling(told, action=actions)) == n_before and beliefs(shop) == beliefs(without)
    offers, offers_without = ({offer for offer, *_ in standing(one)["ann"]} for one in (shop, without))
    assert len(offers) == len(offers_without) + 1


def test_history_needs_no_treatment_where_the_channel_has_one():
    treatments = [{"id": "c", "channel": "call"}, {"id": "w1", "channel": "web"}, {"id": "w2", "channel": "web"}]
    shop = engine(catalog=catalog(actions=[{"id": "sport", "issue": "sales", "group": "tv", "treatments": treatments}]))
    row = {"subject": ["s"], "at": [NOON], "action": ["sport"], "label": ["declined"]}
    assert shop.learn({**row, "channel": ["call"]}) == 1
    assert open_actions(shop, "s", "web") == set()
    for more in ({"channel": ["web"]}, {"channel": [None]}, {"channel": ["call"], "treatment": ["zzz"]}):
        with pytest.raises(nba.NbaError, match="row 0: treatment .* name it in a column treatment"):
            shop.learn({**row, **more})
    assert shop.learn({**row, "channel": ["web"], "treatment": ["w2"]}) == 1


@pytest.mark.parametrize(("change", "words"), [
    ({"label": None}, "no column label"),
    ({"action": "yacht"}, "row 3: action 'yacht' is not in the catalog"),
    ({"channel": "fax"}, "row 3: channel 'fax'"),
    ({"label": "liked"}, "row 3: label 'liked'"),
    ({"reason": "pricey"}, "row 3: reason 'pricey'"),
    ({"subject": 7}, "row 3: subject is 7"),
    ({"at": datetime(2026, 1, 1)}, "row 3: .*time zone"),
    ({"at": "yesterday"}, "row 3: .*'at'"),
    ({"rank": -1}, "row 3: rank is -1"),
    ({"age": "old"}, "'age'"),
])  # fmt: skip
def test_a_table_that_does_not_fit_changes_nothing(change, words):
    shop = engine()
    shop.record(shown(shop).id, "declined", action="sport")
    before = everything(shop)
    table = columns([{**row, "reason": None} for row in rows()])
    for name, value in change.items():
        if value is None:
            del table[name]
        elif type(value) in (int, str) and name not in ("rank", "at", "age", "subject"):
            table[name][3] = value
        else:  # a column has one type
            table[name] = [value if name in ("at", "age", "subject") else v for v in table[name]]
            table[name][3] = value
            words = words.replace("row 3", "row [03]")
    with pytest.raises(nba.NbaError, match=words):
        shop.learn(table)
    assert everything(shop) == before


def test_an_empty_table_and_columns_of_no_meaning():
    shop = engine()
    empty = pa.Table.from_pylist([], schema=pa.table(columns(rows())).schema)
    assert shop.learn(empty) == 0 and shop.beliefs_version == 0
    assert shop.learn({**columns(rows()), "birthday": [NOON.date()] * 40}) == 32


def test_actions_that_left_or_changed_channel_can_still_be_answered():
    shop = engine()
    decision = shown(shop)
    shop.reload(catalog(actions=[{"id": "sport", "issue": "sales", "group": "tv"}]))
    assert shop.record(decision.id, "accepted", action="sport").learned
    assert not shop.record(decision.id, "declined", action="film").learned
    shop.reload(catalog())
    assert "film" not in open_actions(shop)
    shop.reload(catalog(model={"kind": "beta_bernoulli"}))
    assert shop.record(decision.id, "declined", action="sport").learned
    assert propensities(shop)["sport"] < 0.1


@pytest.mark.parametrize("by_table", [False, True])
def test_the_channel_is_a_predictor(by_table):
    """One action, wanted on calls and not on the web."""
    channels = {"call": {"direction": "inbound"}, "web": {"direction": "outbound"}}
    shop = nba.Engine(nba.Catalog.from_dict({"channels": channels, "facts": {"age": "int"}, "actions": [{"id": "a", "value": 1}]}))
    asked = [("call", "accepted"), ("web", "declined")] * 40
    if by_table:
        rows = {"subject": [f"s{n}" for n in range(80)], "channel": [c for c, _ in asked], "label": [label for _, label in asked],
                "action": ["a"] * 80, "at": [NOON] * 80, "age": [40] * 80}
        shop.learn(rows)
    else:
        for n, (channel, label) in enumerate(asked):
            shop.record(shop.decide(f"s{n}", channel=channel, facts={"age": 40}).id, label)
    wanted, unwanted = (shop.decide("new", channel=channel, facts={"age": 40}).offers[0].propensity for channel in channels)
    assert wanted > 0.8 > 0.2 > unwanted
