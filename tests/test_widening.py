"""More texts of a fact than it begins with features for: features, counting, and beliefs that grow, are saved and learned from tables alike."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

import nba_engine as nba
from nba_engine.facts import features as module
from nba_engine.facts import widening
from nba_engine.facts.columns import Column
from nba_engine.facts.features import Features
from nba_engine.facts.widening import Unnamed
from nba_engine.schema import STRING, TIMESTAMP, Fact, list_of
from tests.naive import features as naive
from tests.naive.widening import unnamed

COLUMNS = [*(Column(name, type_, Fact(name, type_)) for name, type_ in (("city", STRING), ("tags", list_of(STRING)))),
           Column("now", TIMESTAMP, Fact("now", TIMESTAMP, origin="interaction", predictor=False))]
TEXTS = 2
CITIES = 200
START = datetime(2026, 3, 2, 9, tzinfo=timezone.utc)
CATALOG = {"facts": {"city": "string", "tags": "list<string>", "age": "int"}, "actions": [{"id": name, "value": 1} for name in ("one", "two")],
           "exploration": {"uniform_share": 0}}


def active(features, city, tags, state=0):
    index, value, n = np.full((1, features.active_max), -1, np.int32), np.zeros((1, features.active_max)), np.zeros(1, np.int64)
    codes, offsets = np.array(tags, np.int32), np.array([[0, len(tags)]], np.int32)
    features.fill(np.array([[city, 0, 0]]), np.array([[state, 0, 0]], np.uint8), codes, offsets, index, value, n)
    found = index[0, : n[0]].tolist()
    assert len(set(found)) == len(found) and min(found) >= 0
    return {features.names[f]: v for f, v in zip(found, value[0].tolist(), strict=False)}


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 40), st.sampled_from([0, 0, 1, 2]), st.lists(st.integers(0, 40), max_size=12))
def test_a_widened_fact_reads_as_one_that_began_so_wide(city, state, tags):
    """After one and after two widenings, in turn with those of the other fact: each text has the feature that it would have had."""
    features = Features(COLUMNS, TEXTS)
    row = {"city": (city, state, []), "tags": (0, 0, tags), "now": (0, 0, [])}
    for step, facts in ((4, ("city", "tags")), (16, ("tags", "city"))):
        for fact in facts:
            features = features.widened(fact)
        expected = naive.features_of(COLUMNS, row, {}, 1, TEXTS * step, module.N_KNOTS, module.LINE_SCALE, module.HAT_SCALE)
        assert active(features, city, tags, state) == expected
    assert len(set(features.names)) == features.n_features


def test_widening_leaves_what_there_was_as_it_is():
    before = Features(COLUMNS, TEXTS)
    after = before.widened("city")
    assert after.names[: before.n_features] == before.names and after.names[before.n_features :] == [("city", f"#{code}") for code in range(3, 9)]
    assert active(before, 5, []) == {("bias", ""): 1.0, ("city", "other"): 1.0} and active(before.widened("tags"), 5, []) == active(before, 5, [])


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 10), st.lists(st.integers(0, 10), max_size=6)), max_size=8))
def test_unnamed_texts_are_counted_as_their_twin_counts(rows):
    features = Features(COLUMNS, TEXTS).widened("tags")
    index, n_active = np.zeros((len(rows), features.active_max), np.int32), np.zeros(len(rows), np.int64)
    for r, (city, tags) in enumerate(rows):
        places = [features.names.index(name) for name in active(features, city, tags)]
        index[r, : len(places)], n_active[r] = places, len(places)
    counted = Unnamed(features.names)
    counted.feed(index, n_active)
    assert counted.state() == unnamed(features.names, [index[r, :n].tolist() for r, n in enumerate(n_active.tolist())])


def test_a_fact_is_due_once_it_has_as_many_unnamed_outcomes_as_features():
    features = Features(COLUMNS)
    counted, other = Unnamed(features.names), features.names.index(("city", "other"))
    row = np.array([[0, other]], np.int32)
    for _ in range(31):
        counted.feed(row, np.array([2]))
    assert counted.due(3) == []
    counted.feed(row, np.array([2]))
    assert counted.due(widening.CELLS_MAX) == []  # no room
    assert counted.due(3) == ["city"] and counted.due(3) == []
    widest = features.widened("city").widened("city")
    assert sum(fact == "city" and bin_.startswith("#") for fact, bin_ in widest.names) == widening.TEXTS_MAX
    counted.read(widest.names)
    counted.load({"city": 10**6, "gone": 3})
    assert counted.due(3) == []


def played(engine, n, start=0):
    """The engine and the rows of its answers. Half of the cities want the one action, half the other."""
    rng, rows = np.random.default_rng(start), []
    for k in range(start, start + n):
        city, at = int(rng.integers(CITIES)), START + k * timedelta(minutes=1)
        facts = {"city": f"city {city}", "tags": [f"tag {t}" for t in rng.integers(0, 60, 2).tolist()], "age": int(rng.integers(20, 60))}
        decision = engine.decide(f"s{k}", facts=facts, at=at)
        action = decision.offers[0].action
        label = "accepted" if rng.random() < (0.9 if action == ("one" if city % 2 else "two") else 0.1) else "declined"
        engine.record(decision.id, label, at=at)
        rows.append({"subject": f"s{k}", "channel": decision.channel, "at": at, "action": action, "label": label, **facts})
    return engine, rows


def learned(engine):
    """Beliefs as something that can be compared: arrays as their bytes."""
    return plain(engine._memory.state.beliefs.state())


def widths(engine):
    names = engine._memory.state.beliefs.features.names
    return {fact: sum(name == fact and bin_.startswith("#") for name, bin_ in names) for fact in ("city", "tags")}


def plain(state):
    if isinstance(state, dict):
        return {name: plain(part) for name, part in state.items()}
    return state.tobytes() if isinstance(state, np.ndarray) else state


def fresh(**more):
    return nba.Engine(nba.Catalog.from_dict(CATALOG), seed=1, **more)


def test_two_hundred_cities_are_told_apart():
    """With features for the first 32 alone, the others would be one city of mixed wishes."""
    engine, _ = played(fresh(), 2500)
    assert widths(engine) == {"city": 512, "tags": 128}
    offered = [engine.decide("who", facts={"city": f"city {c}", "tags": [], "age": 40}).offers[0].action for c in range(CITIES)]
    assert np.mean([action == ("one" if c % 2 else "two") for c, action in enumerate(offered)]) > 0.8


def test_what_has_grown_is_saved_and_goes_on_alike(tmp_path):
    engine, _ = played(fresh(store=tmp_path / "store"), 700)
    engine.close()
    with fresh(store=tmp_path / "store") as again:
        assert learned(again) == learned(engine) and widths(again)["city"] >= 128
        straight, _ = played(played(fresh(), 700)[0], 300, 700)
        assert learned(played(again, 300, 700)[0]) == learned(straight)


def test_a_table_teaches_the_same_as_one_by_one():
    one_by_one, rows = played(fresh(), 600)
    past = fresh()
    assert past.learn({name: [row[name] for row in rows] for name in rows[0]}) == 600
    assert learned(past) == learned(one_by_one) and widths(past)["city"] >= 128


def test_a_reload_keeps_the_texts_and_drops_a_fact_that_left():
    engine, _ = played(fresh(), 600)
    before = widths(engine)
    engine.reload(nba.Catalog.from_dict({**CATALOG, "actions": [*CATALOG["actions"], {"id": "three", "value": 1}]}))
    assert widths(engine) == before and before["city"] >= 128
    engine.reload(nba.Catalog.from_dict({**CATALOG, "facts": {"tags": "list<string>", "age": "int"}}))
    assert widths(engine) == {"city": 0, "tags": before["tags"]}


def test_where_another_model_is_used_no_fact_is_widened():
    engine = nba.Engine(nba.Catalog.from_dict({**CATALOG, "model": {"kind": "naive_bayes"}}), seed=1)
    assert widths(played(engine, 200)[0]) == {"city": 32, "tags": 32}
