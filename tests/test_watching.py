"""Crosses of two facts: their features, the watch that finds them, and what beliefs do with one."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

import nba_engine as nba
from nba_engine.cli import app
from nba_engine.errors import CatalogError
from nba_engine.facts import association, crosses
from nba_engine.facts.columns import Column
from nba_engine.facts.features import Features
from nba_engine.facts.watching import STOCK_EVERY, Watch
from nba_engine.schema import BOOL, DOUBLE, STRING, Fact
from tests.naive.watching import NaiveTables, cross_of, left_over, log_evidence

COLUMNS = [Column(name, type_, Fact(name, type_)) for name, type_ in (("x", DOUBLE), ("y", DOUBLE), ("t", STRING), ("u", STRING), ("b", BOOL))]
KINDS = {"x": 2, "y": 2, "t": 1, "u": 1, "b": 0}
CATALOG = {
    "facts": {"plan": "string", "home": "bool", "age": "int", "since": "duration"},
    "actions": [{"id": "one", "value": 1}, {"id": "two", "value": 1}, {"id": "three", "value": 1}],
    "exploration": {"uniform_share": 0.3},
}


def features(*pairs):
    """Features whose numbers are standard scores already: mean 0, deviation 1; of the bool nothing was seen."""
    found = Features(COLUMNS, crosses=pairs)
    scaling = found.state()["scaling"]
    scaling[:2] = [1e6, 0.0, 1.0, 0.0, 0.0, 1e6, 0.0, 0.0, 0.0]
    found.load({"scaling": scaling})
    return found


def row(values):
    """{name: value or None} as an encoded row."""
    cells = [0 if values[c.name] is None else values[c.name] for c in COLUMNS]
    cells = [np.array([v], np.float64).view(np.int64)[0] if c.type == DOUBLE else v for v, c in zip(cells, COLUMNS, strict=True)]
    return np.array([cells], np.int64), np.array([[2 * (values[c.name] is None) for c in COLUMNS]], np.uint8)


def active(found, values):
    index, value, n = np.zeros((1, found.active_max), np.int32), np.zeros((1, found.active_max)), np.zeros(1, np.int64)
    found.fill(*row(values), np.zeros(0, np.int32), np.zeros((1, 1), np.int32), index, value, n)
    assert n[0] <= found.active_max
    return index, value, n


NUMBER = st.none() | st.sampled_from([-3.0, -1.0, 0.0, 3.0]) | st.floats(-3, 3)
TEXT = st.none() | st.integers(0, 20)
ROWS = st.fixed_dictionaries({"x": NUMBER, "y": NUMBER, "t": TEXT, "u": TEXT, "b": st.none() | st.integers(0, 1)})


@settings(max_examples=60, deadline=None)
@given(ROWS)
def test_crosses_equal_their_twin(values):
    pairs = [("x", "y"), ("t", "x"), ("t", "u"), ("b", "y"), ("b", "t")]
    found = features(*pairs)
    index, value, n = active(found, values)
    names = [found.names[i] for i in index[0, : n[0]]]
    got = {name: v for name, v in zip(names, value[0, : n[0]].tolist(), strict=True) if " x " in name[0] and abs(v) > 1e-9}
    expected = {}
    for pair in pairs:
        scales = crosses.CATEGORY_SCALE, crosses.HATS_SCALE, crosses.LINE_SCALE
        expected |= cross_of(*((name, KINDS[name], values[name]) for name in pair), crosses.TEXTS_MAX, crosses.KNOTS, scales)
    assert len(names) == len(set(names))
    assert got == pytest.approx({name: v for name, v in expected.items() if abs(v) > 1e-9}, abs=1e-9)


def test_a_cross_stands_behind_and_renumbers_nothing():
    plain = features()
    more = plain.crossed("t", "x")
    assert more.names[: plain.n_features] == plain.names
    assert more.crosses == (("x", "t"),)
    assert plain.crosses == ()
    assert len(set(more.names)) == more.n_features
    assert ("x x t", "hat +1 x =gold") in more.names_of({"t": ["gold"]})


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(ROWS, st.integers(0, 20), st.sampled_from([0.0, 1.0]), st.floats(0.01, 0.99)), max_size=6))
def test_what_is_counted_equals_its_twin(outcomes):
    found, naive = Watch(features()), NaiveTables([(a, b) for a in range(5) for b in range(a + 1, 5)], 1, 4, association.BUCKETS)
    assert len(found.pairs) == len(naive.pairs)
    for values, bucket, reward, expected in outcomes:
        found.feed(*active(features(), values), np.array([bucket]), np.array([reward]), np.array([expected]))
        places = []
        for c in COLUMNS:
            v = values[c.name]
            if v is None:
                places.append(5)
            elif c.type == DOUBLE:
                places.append(sum(v > cut for cut in (-1.0, -0.3, 0.3, 1.0)) if min(abs(v - cut) for cut in (-1.0, -0.3, 0.3, 1.0)) > 1e-9 else None)
            else:
                places.append(4 * v if c.type == BOOL else (v - 1) % 5 if v else 2)
        if None in places:
            return  # a score at a cut falls to either side by a rounding
        naive.feed(places, bucket, reward, expected)
    table = found.state()["table"]
    assert table[:, :, :, 1].sum() == pytest.approx(sum(s[1] for cells in naive.cells.values() for s in cells.values()), rel=1e-5)
    for (pair, bucket), cells in naive.cells.items():
        for (a, b), sums in cells.items():
            assert table[pair, bucket, a * association.BINS + b] == pytest.approx(sums, abs=1e-5)


def test_evidence_equals_its_twin():
    """Two ways of three: per cell for all actions, and the product of places; the patterns are held below by noise."""
    rng = np.random.default_rng(3)
    table = np.zeros((1, association.BUCKETS, association.BINS**2, 2), np.float32)
    table[0, :2, :, 0] = rng.normal(size=(2, 36))
    table[0, :2, :, 1] = rng.uniform(0.5, 2.0, (2, 36))
    evidence = np.zeros(1)
    association._fill_evidence(table, np.array([0]), association.make_work(), evidence)

    def cells(part):
        return {(i // 6, i % 6): part[i].astype(float).tolist() for i in range(36)}

    alike = sum(log_evidence(*sums, association._VARIANCE) for sums in left_over(cells(table[0].sum(axis=0)), association._SWEEPS).values())
    product = 0.0
    for bucket in range(2):
        left = left_over(cells(table[0, bucket]), association._SWEEPS)
        steps = {(a, b): (a - 2) * (b - 2) / 2 for a in range(5) for b in range(5)}
        sums = sum(x * left[c][0] for c, x in steps.items()), sum(x * x * left[c][1] for c, x in steps.items())
        product += log_evidence(*sums, association._VARIANCE)
    assert evidence[0] == pytest.approx(max(alike, product), rel=1e-4)


def fed(watch, columns, n, effect, seed=0, n_actions=2):
    """Feed outcomes whose residuals follow `effect(values, action)`; returns the pairs found on the way."""
    rng, found = np.random.default_rng(seed), []
    for _ in range(n):
        values = {"x": rng.normal(), "y": rng.normal(), "t": int(rng.integers(1, 5)), "u": int(rng.integers(1, 5)), "b": int(rng.integers(2))}
        action = int(rng.integers(n_actions))
        reward = float(rng.random() < 0.3 + effect(values, action))
        watch.feed(*active(columns, values), np.array([action]), np.array([reward]), np.array([0.3]))
        if watch.due == STOCK_EVERY:
            found.append(watch.judge(set()))
    return [pair for pair in found if pair]


@pytest.mark.parametrize("pair, effect", [
    (("x", "y"), lambda v, a: 0.15 * math.copysign(1, v["x"] * v["y"]) * (-1) ** a),
    (("t", "u"), lambda v, a: 0.15 * (-1) ** (v["t"] + v["u"] + a)),
    (("x", "t"), lambda v, a: 0.15 * math.copysign(1, v["x"]) * (-1) ** (v["t"] + a)),
    (("t", "b"), lambda v, a: 0.15 * (-1) ** (v["t"] // 2 + v["b"])),
])  # fmt: skip
def test_a_reversing_effect_is_found_and_only_that(pair, effect):
    columns = features()
    found = fed(Watch(columns), columns, 1024, effect)
    assert set(found) == {pair}


def test_facts_that_act_alone_are_no_pair():
    columns = features()
    assert fed(Watch(columns), columns, 2048, lambda v, a: 0.1 * math.tanh(v["x"]) + 0.05 * (-1) ** v["t"]) == []


def test_a_watch_is_carried_by_names_and_saved():
    columns = features()
    watch = Watch(columns)
    fed(watch, columns, 300, lambda v, a: 0.0)
    again, turned = Watch(columns), Watch(Features([COLUMNS[1], COLUMNS[0], *COLUMNS[3:]]))
    again.load(watch.state())
    assert all(np.array_equal(again.state()[name], watch.state()[name]) for name in ("table", "evidence", "n_seen"))
    turned.load(watch.state())
    xy, yx = watch.state()["table"][watch.pairs.index(("x", "y"))], turned.state()["table"][turned.pairs.index(("y", "x"))]
    assert np.array_equal(xy.reshape(-1, 6, 6, 2).transpose(0, 2, 1, 3), yx.reshape(-1, 6, 6, 2))


def played(engine, n, seed=0):
    rng = np.random.default_rng(seed)
    for k in range(n):
        plan, home = ("gold", "silver")[rng.integers(2)], bool(rng.integers(2))
        decision = engine.decide(f"s{k}", facts={"plan": plan, "home": home, "age": int(rng.integers(20, 60))})
        likes = (plan == "gold") != home
        rate = {"one": 0.6 if likes else 0.05, "two": 0.05 if likes else 0.6, "three": 0.1}[decision.offers[0].action]
        engine.record(decision.id, "accepted" if rng.random() < rate else "declined")
    return engine


def test_beliefs_find_a_cross_and_keep_it(tmp_path):
    engine = played(nba.Engine(nba.Catalog.from_dict(CATALOG), seed=1, store=tmp_path / "store"), 800)
    beliefs = engine._memory.state.beliefs
    assert [({cross.fact, cross.other}, cross.declared) for cross in beliefs.crosses()] == [({"home", "plan"}, False)]
    facts = {"plan": "gold", "home": False, "age": 30}
    before = engine.decide("who", facts=facts, limit=3)
    assert {o.action: o.propensity for o in before.offers}["one"] > 0.4
    more = {**CATALOG, "actions": [*CATALOG["actions"], {"id": "four", "value": 1}]}
    engine.reload(nba.Catalog.from_dict(more))
    assert [{cross.fact, cross.other} for cross in engine._memory.state.beliefs.crosses()] == [{"home", "plan"}]
    learned = engine._memory.state.beliefs.state()
    engine.close()
    with nba.Engine(nba.Catalog.from_dict(more), seed=1, store=tmp_path / "store") as again:
        assert again._memory.state.beliefs.state()["watch"]["table"].tobytes() == learned["watch"]["table"].tobytes()
        assert again._memory.state.beliefs.features.names == engine._memory.state.beliefs.features.names
        kept = {o.action: o.propensity for o in again.decide("who", facts=facts, limit=3).offers}
        assert kept.keys() <= {"one", "two", "three", "four"}


def test_declared_crosses_are_there_from_the_start():
    engine = nba.Engine(nba.Catalog.from_dict({**CATALOG, "crosses": [["age", "plan"]]}))
    health = engine.health()
    assert [(cross.fact, cross.other, cross.declared) for cross in health.crosses] == [("age", "plan", True)]
    assert "nothing was presented yet" in str(health) and "age x plan            declared         -" in str(health)


def test_health_tells_which_facts_are_taken_together(tmp_path):
    """Found ones beside declared ones: as records, as a table, aloud, and from the command line of a store at rest."""
    with played(nba.Engine(nba.Catalog.from_dict({**CATALOG, "crosses": [["age", "plan"]]}), seed=1, store=tmp_path / "store"), 800) as engine:
        health = engine.health()
    declared, found = health.crosses
    assert (declared.fact, declared.other, declared.declared) == ("age", "plan", True) and declared.evidence < found.evidence
    assert ({found.fact, found.other}, found.declared) == ({"home", "plan"}, False) and found.evidence > 0.0
    assert health.crossed().to_pylist() == list(health.to_dict()["crosses"])
    told = CliRunner().invoke(app, ["health", str(tmp_path / "store")])
    assert told.exit_code == 0 and f"{found.fact} x {found.other}" in told.stdout and f"found      {found.evidence:.1f}" in told.stdout
    as_json = CliRunner().invoke(app, ["health", str(tmp_path / "store"), "--json"])
    assert [row["declared"] for row in json.loads(as_json.stdout)["crosses"]] == [True, False]


@pytest.mark.parametrize("pair", [["age", "nobody"], ["age", "age"]])
def test_a_cross_of_what_cannot_be_crossed_is_refused(pair):
    with pytest.raises(CatalogError, match="crosses|facts"):
        nba.Catalog.from_dict({**CATALOG, "crosses": [pair]})
