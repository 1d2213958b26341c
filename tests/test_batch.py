"""decide_batch answers what decide answers row by row, from any table; the columns of a table are read as single facts are."""

from __future__ import annotations

import random
import threading
from datetime import datetime, timedelta
from shutil import copytree

import numpy as np
import pyarrow as pa
import pytest

import nba_engine as nba
from nba_engine.facts.tables import encode_table, row_of
from tests import shop
from tests.shop import DAY, NOON

FIELDS = ("action", "treatment", "channel", "rank", "propensity", "value", "context_weight", "lever", "cost", "priority", "selection_probability")


def written(**changes):
    """The shop with everything that a row can meet: structs, maps, host rules, windows, weights, treatments, a null action, control groups."""
    made = shop.written()
    made["facts"] |= {"address": {"type": {"city": "string", "zip": "int"}}, "marks": "map<string, int>", "visits": "list<int>",
                      "patience": "duration", "big": "uint"}
    made["actions"] += [
        {"id": "local", "issue": "sales", "group": "net", "value": 7, "eligibility": ["address.city == 'Bern' || address.zip > 8000"]},
        {"id": "spoken", "issue": "sales", "group": "tv", "value": "bill / 9.0", "suitability": ["tariff.startsWith('g')", "size(visits) > 1"]},
        {"id": "short", "issue": "keep", "group": "loyalty", "value": 12, "valid": {"from": "2026-03-03", "until": "2026-03-04"}},
        {"id": "many", "issue": "keep", "group": "loyalty", "value": 6, "lever": 1.5, "treatments": [
            {"id": "many-call", "channel": "call"}, {"id": "many-mail", "channel": "mail", "cost": 0.2}]},
        {"id": "nothing", "null_action": True},
    ]
    made["context_weights"] = [{"when": "intent == 'cancel'", "issue": "keep", "multiplier": 2.5}]
    made["control_groups"] = [{"name": "random", "share": 0.2, "kind": "uniform"}, {"name": "out", "share": 0.1, "kind": "nothing"}]
    return {**made, **changes}


def customers(n, seed=0):
    """Rows as dicts: request columns and facts, some facts null."""
    r = random.Random(seed)
    some = lambda value: value if r.random() < 0.8 else None
    return [{
        "subject": f"s{r.randrange(n // 2)}", "channel": r.choice(["call", "web", "mail", None]), "at": NOON + DAY * r.random() * 3,
        "interaction": r.choice([None, "a", "b"]),
        "age": some(r.randrange(10, 90)), "bill": some(r.uniform(0, 200)), "tariff": some(r.choice(["gold", "silver", "grey"])),
        "products": some(r.sample(["fibre", "tv", "phone", "fax"], r.randrange(4))), "since": some(NOON - DAY * r.random() * 900),
        "mail_ok": some(r.random() < 0.7), "intent": some(r.choice(["cancel", "buy"])),
        "address": some({"city": some(r.choice(["Bern", "Genf"])), "zip": some(r.randrange(1000, 9999))}),
        "marks": some({"a": 1}), "visits": some([1, 2, 3][: r.randrange(4)]), "patience": some(timedelta(minutes=r.randrange(90))),
    } for _ in range(n)]  # fmt: skip


TYPES = {"at": pa.timestamp("us", "UTC"), "since": pa.timestamp("us", "UTC"), "marks": pa.map_(pa.string(), pa.int64()),
         "patience": pa.duration("us"), "age": pa.int64(), "channel": pa.string(), "interaction": pa.string()}


def table_of(rows):
    return pa.table({name: pa.array([row[name] for row in rows], TYPES.get(name)) for name in rows[0]})


def taught(catalog, **options):
    """An engine that has learned something and contacted somebody; the same each time."""
    engine = shop.engine(catalog=catalog, **options)
    for i, row in enumerate(customers(60, seed=9)):
        asked = {name: row[name] for name in ("subject", "channel", "at", "interaction")}
        decision = engine.decide(**asked, facts=facts_of(row))
        for offer in decision.offers[:1]:
            engine.record(decision.id, "declined" if i % 3 else "accepted", action=offer.action, at=row["at"],
                          reason="too_expensive" if i % 3 == 1 else None)
    return engine


def facts_of(row):
    return {name: value for name, value in row.items() if name not in ("subject", "channel", "at", "interaction", "request_id")}


def one_by_one(engine, rows, limit):
    """[(slate probability, [fields of each offer])] by `decide`, under the beliefs of the start: on web, too, nothing is remembered in between."""
    return [engine.decide(row["subject"], channel=row["channel"], at=row["at"], interaction=row["interaction"], facts=facts_of(row), limit=limit)
            for row in rows]


def assert_same(found, decisions):
    answered = found.to_pylist()
    assert sorted({row["row"] for row in answered}) == list(range(len(decisions)))
    place = 0
    for i, decision in enumerate(decisions):
        for offer in decision.offers or (None,):
            row = answered[place]
            place += 1
            assert (row["row"], row["subject"], row["at"], row["interaction"]) == (i, decision.subject, decision.at, decision.interaction)
            assert row["control_group"] == decision.control_group
            assert row["slate_probability"] == pytest.approx(decision.slate_probability, rel=1e-12)
            expected = [None if offer is None else getattr(offer, name) for name in FIELDS]
            assert [row[name] for name in FIELDS[:4]] == expected[:4], i
            assert [row[name] for name in FIELDS[4:]] == (expected[4:] if offer is None else pytest.approx(expected[4:], rel=1e-12)), i
    assert place == len(answered)


@pytest.mark.parametrize("limit", [1, 3, 50])
@pytest.mark.parametrize("model", ["probit", "beta_bernoulli"])
def test_the_same_answers_as_one_by_one(limit, model):
    # web counts a decision's return as presented, which the next decision would see; as call it does not.
    made = written(model={"kind": model}, channels={**shop.written()["channels"], "web": {}})
    rows = customers(700)
    found = taught(nba.Catalog.from_dict(made)).decide_batch(table_of(rows), limit=limit)
    assert_same(found, one_by_one(taught(nba.Catalog.from_dict(made)), rows, limit))


@pytest.mark.parametrize("exploration", ["greedy", "epsilon", "squarecb", "uniform"])
def test_every_law_and_a_sticky_window(exploration):
    made = written(exploration={"kind": exploration, "sticky": "7d"}, channels={**shop.written()["channels"], "web": {}})
    rows = customers(200, seed=3)
    found = taught(nba.Catalog.from_dict(made)).decide_batch(table_of(rows), limit=2)
    assert_same(found, one_by_one(taught(nba.Catalog.from_dict(made)), rows, 2))


def test_threads_change_nothing_and_progress_counts_up(monkeypatch):
    monkeypatch.setattr("nba_engine.batch.answering.BLOCK_ROWS", 64)
    engine, rows, seen = taught(nba.Catalog.from_dict(written())), table_of(customers(300)), []
    alone = engine.decide_batch(rows, limit=2)
    assert engine.decide_batch(rows, limit=2, threads=4, progress=lambda done, all_: seen.append((done, all_))).equals(alone)
    assert seen == [(64, 300), (128, 300), (192, 300), (256, 300), (300, 300)]


def test_nothing_is_remembered():
    engine = taught(nba.Catalog.from_dict(written()))
    before = engine.beliefs_version
    rows = table_of([row | {"channel": "web"} for row in customers(50)])
    first = engine.decide_batch(rows)
    assert engine.decide_batch(rows).equals(first) and engine.beliefs_version == before


def test_beliefs_are_those_of_the_start_while_others_record(monkeypatch):
    monkeypatch.setattr("nba_engine.batch.answering.BLOCK_ROWS", 8)
    made = nba.Catalog.from_dict(written(contact_policies=[], reasons={}))
    rows = table_of(customers(200))
    expected, engine = shop.engine(catalog=made).decide_batch(rows), shop.engine(catalog=made)
    go = threading.Event()

    def teach():
        go.wait()
        for i in range(50):
            decision = engine.decide(f"other{i}", facts=shop.ADULT, channel="call")
            if decision.offers:
                engine.record(decision.id, "accepted", action=decision.offers[0].action)

    thread = threading.Thread(target=teach)
    thread.start()
    found = engine.decide_batch(rows, progress=lambda done, _: go.set())
    thread.join()
    assert found.equals(expected) and engine.beliefs_version > 0


def test_profiles_fill_what_the_table_does_not_name():
    profiles = {"a": {"age": 30, "bill": 10.0, "address": {"city": "Bern"}, "products": ["fibre"]}, "b": {"age": 12, "bill": None}}
    engine = shop.engine(catalog=nba.Catalog.from_dict(written()), profiles=profiles)
    table = pa.table({"subject": ["a", "b", "c", "a"], "bill": [20.0, 30.0, 40.0, None], "channel": ["call"] * 4})
    twin = shop.engine(catalog=nba.Catalog.from_dict(written()), profiles=profiles)
    bills = table.column("bill").to_pylist()
    decisions = [twin.decide(subject, facts={"bill": bill}, channel="call", limit=9) for subject, bill in zip("abca", bills, strict=True)]
    assert_same(engine.decide_batch(table, limit=9), decisions)


def test_a_repeated_request_is_answered_as_before():
    engine = taught(nba.Catalog.from_dict(written(control_groups=[])))
    decision = engine.decide("known", facts=shop.ADULT, channel="call", limit=2, request_id="k", at=NOON)
    table = pa.table({"subject": ["x", "known", "x", "y"], "channel": ["call"] * 4, "request_id": ["1", "k", "1", None], "age": [40, 1, 2, 40],
                      "bill": [20.0] * 4, "at": pa.array([NOON] * 4, TYPES["at"])})
    found = engine.decide_batch(table, limit=2).to_pylist()
    actions = [[row["action"] for row in found if row["row"] == i] for i in range(4)]
    assert actions[1] == [offer.action for offer in decision.offers] and actions[0] == actions[2] and all(actions)
    assert [row["row"] for row in found] == sorted(row["row"] for row in found)
    with pytest.raises(nba.RequestError, match="row 1: request_id 'k' was used for subject 'known'"):
        engine.decide_batch(table.set_column(0, "subject", pa.array(["x", "z", "x", "y"])))


@pytest.mark.parametrize(("columns", "error", "says"), [
    ({"age": [1]}, nba.RequestError, "no column 'subject'"),
    ({"subject": [1]}, nba.RequestError, "row 0: subject is 1 of type int; give a text"),
    ({"subject": ["a", None]}, nba.RequestError, "row 1: subject is None of type NoneType; give a text"),
    ({"subject": ["a"], "channel": ["fax"]}, nba.RequestError, "row 0: channel 'fax' is not in the catalog; known are call, web, mail"),
    ({"subject": ["a"], "at": [datetime(2026, 1, 1)]}, nba.RequestError, "row 0: .*no time zone"),
    ({"subject": ["a"], "age": ["old"]}, nba.FactsError, "fact 'age': got 'old' of type str, need an int"),
    ({"subject": ["a"], "age": [1.5]}, nba.FactsError, "fact 'age': got 1.5 of type float, need an int"),
    ({"subject": ["a"], "age": [True]}, nba.FactsError, "fact 'age'"),
    ({"subject": ["a"], "age": pa.array([2**63], pa.uint64())}, nba.FactsError, "fact 'age'"),
    ({"subject": ["a"], "since": [datetime(2026, 1, 1)]}, nba.FactsError, "no time zone"),
    ({"subject": ["a", "b"], "since": [0, 2**62]}, nba.FactsError, f"fact 'since': got {2**62} of type int, need epoch .* of a year"),
    ({"subject": ["a"], "since": pa.array([-(2**62)], pa.timestamp("us", "UTC"))}, nba.FactsError, "fact 'since': .* of a year from 1 to 9999"),
    ({"subject": ["a"], "since": pa.array([2**62], pa.timestamp("s", "UTC"))}, nba.FactsError, "fact 'since': .* out of bounds"),
    ({"subject": ["a", "b"], "at": pa.array([0, 2**62], pa.timestamp("us", "UTC"))}, nba.RequestError, "row 1: .* of a year from 1 to 9999"),
    ({"subject": ["a"], "products": [["a", None]]}, nba.FactsError, "fact 'products'"),
    ({"subject": ["a"], "address": ["Bern"]}, nba.FactsError, "'address'"),
])  # fmt: skip
def test_what_does_not_fit_is_named(columns, error, says):
    with pytest.raises(error, match=says):
        shop.engine(catalog=nba.Catalog.from_dict(written())).decide_batch(pa.table(columns))


def test_an_empty_table_has_the_same_columns():
    engine = shop.engine()
    some = engine.decide_batch({"subject": ["a"], "age": [40]})
    none = engine.decide_batch(pa.table({"subject": pa.array([], pa.string())}))
    assert none.num_rows == 0 and none.schema.equals(some.schema)


TAKEN = ("subject", "at", "interaction", "request_id", "label", "action", "reason", "rank", "treatment", "selection_probability")


@pytest.mark.parametrize("name", TAKEN)
def test_a_fact_named_as_a_column_of_the_table_stands_behind_its_prefix(name, tmp_path):
    """For `decide_batch`, for `learn`, and when what was learned is played again; any other fact may stand so too."""
    catalog = nba.Catalog.from_dict({
        "facts": {name: "string", "age": "int"}, "channels": {"call": {}}, "outcomes": {"accepted": {"reward": 1}, "declined": {"reward": 0}},
        "actions": [{"id": "gold", "eligibility": [f"{name} == 'yes'"]}, {"id": "tin", "eligibility": ["age >= 18"]}]})  # fmt: skip
    table = {"subject": ["a", "b"], f"fact.{name}": ["yes", "no"], "fact.age": [8, 41], "at": [NOON, NOON]}
    recorded = nba.Engine(catalog)
    decision = recorded.decide("a", channel="call", facts={name: "yes", "age": 8}, at=NOON)
    recorded.record(decision.id, "accepted", at=NOON)
    with nba.Engine(catalog, store=tmp_path / "store") as engine:
        assert engine.decide_batch(table)["action"].to_pylist() == ["gold", "tin"]
        told = {column: values[:1] for column, values in table.items()}
        assert engine.learn({**told, "channel": ["call"], "action": ["gold"], "label": ["accepted"]}) == 1
        assert shop.beliefs(engine) == shop.beliefs(recorded) and engine.unknown_facts == frozenset()
        assert engine._memory.state.vocabulary.state() == recorded._memory.state.vocabulary.state()
        engine.flush()
        copytree(tmp_path / "store", tmp_path / "killed")
    with nba.Engine(catalog, store=tmp_path / "killed") as played:
        assert shop.beliefs(played) == shop.beliefs(recorded)


def test_names_that_no_fact_has_are_noted():
    engine = shop.engine()
    engine.decide_batch({"subject": ["a"], "agee": [40]})
    assert engine.unknown_facts == {"agee"}


def test_columns_are_encoded_as_single_rows_are():
    """Any Arrow type that a library may choose for a fact gives the row that the plain Python value gives."""
    plan = taught(nba.Catalog.from_dict(written()))._memory.state.plan
    moments = [NOON, None, NOON - DAY * 400]
    table = pa.table({
        "age": pa.array([1, None, 200], pa.int16()), "bill": pa.array([1, 2, None], pa.int32()),
        "tariff": pa.array(["gold", None, "none"]).dictionary_encode(), "products": pa.array([["tv", "fax"], None, []], pa.large_list(pa.string())),
        "since": pa.array([None if m is None else m.isoformat() for m in moments]), "mail_ok": pa.array([True, None, False]),
        "intent": pa.array(["buy", "cancel", None], pa.large_string()), "visits": pa.array([[1], None, [1, 2]], pa.list_(pa.int8())),
        "address": pa.array([{"city": "Bern", "zip": 3000}, None, {"city": None, "zip": None}]),
        "marks": pa.array([[("a", 1)], None, []], pa.map_(pa.string(), pa.int64())), "patience": pa.array([timedelta(1), None, timedelta(0)]),
        "big": pa.array([1, None, 2**64 - 1], pa.uint64()),
    })
    now_us = np.array([10**15, 2 * 10**15, 3 * 10**15])
    places = [("call", "inbound"), (None, None), ("mail", "outbound")]
    rows = encode_table(plan.encoder, table, now_us, places, np.arange(3))
    for r in range(3):
        one = row_of(plan.encoder, table, r, int(now_us[r]), *places[r])
        assert rows.values[r].tolist() == np.where(one.states[0] == 0, one.values[0], rows.values[r]).tolist()
        assert rows.states[r].tolist() == one.states[0].tolist()
        items = [rows.item_codes[a:b].tolist() for a, b in zip(rows.item_offsets[r], rows.item_offsets[r, 1:], strict=False)]
        assert items == [one.item_codes[a:b].tolist() for a, b in zip(one.item_offsets[0], one.item_offsets[0, 1:], strict=False)]


def test_ten_thousand_actions_and_a_data_frame_like_export():
    class Frame:
        """What a data frame shows of itself."""

        def __init__(self, table):
            self.table = table

        def __arrow_c_stream__(self, requested_schema=None):
            return self.table.__arrow_c_stream__(requested_schema)

    actions = [{"id": f"a{i}", "value": 1 + i % 5, "eligibility": [f"age >= {i % 90}"]} for i in range(10_000)]
    made = nba.Catalog.from_dict({"facts": {"age": "int"}, "channels": {"call": {}}, "actions": actions})
    rows = [{"subject": f"s{i}", "channel": "call", "at": NOON, "interaction": None, "age": i} for i in range(20)]
    found = nba.Engine(made).decide_batch(Frame(table_of(rows)), limit=2)
    assert_same(found, one_by_one(nba.Engine(made), rows, 2))
    assert found.column("at").type == pa.timestamp("us", "UTC")


def test_a_catalog_without_actions_offers_nothing():
    engine = nba.Engine(nba.Catalog.from_dict({"facts": {"age": "int"}}))
    assert engine.decide("a", facts={"age": 3}, limit=2).offers == ()
    assert engine.decide_batch({"subject": ["a", "b"], "age": [3, None]}, limit=2).column("action").to_pylist() == [None, None]


def test_a_table_of_repeats_alone():
    engine = shop.engine()
    decision = engine.decide("known", facts=shop.ADULT, channel="call", request_id="k", at=NOON)
    found = engine.decide_batch({"subject": ["known"], "channel": ["call"], "request_id": ["k"]})
    assert found["action"].to_pylist() == [offer.action for offer in decision.offers]
