"""Features: the encoder against its naive twin, and cases by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import nba_engine as nba
from nba_engine.facts import features as module
from nba_engine.facts.columns import Column
from nba_engine.facts.features import Features
from nba_engine.facts.scaling import COUNT, EVIDENCE_MIN, GAIN_MIN, INVERSE, JUDGED_EVERY, LOG, MEAN, PLAIN, SCALE, SHARE, empty_scaling, observe
from nba_engine.schema import BOOL, BYTES, DOUBLE, DURATION, INT, STRING, TIMESTAMP, Fact, list_of, map_of
from tests.naive import features as naive

DAY_US = 86_400_000_000
TYPES = [INT, DOUBLE, BOOL, STRING, TIMESTAMP, DURATION, list_of(STRING), list_of(INT), map_of(STRING, INT), BYTES]


def column(name, type_, **more):
    return Column(name, type_, Fact(name, type_, **more))


COLUMNS = [
    *(column(f"f{i}", type_) for i, type_ in enumerate(TYPES)),
    column("asked_for", TIMESTAMP, origin="interaction"),
    column("secret", INT, predictor=False),
    column("now", TIMESTAMP, origin="interaction", predictor=False),
    column("channel", STRING, origin="interaction"),
]
CATEGORIES_MAX = 4


def encoded(row):
    """{column: (value, state, item codes)} as the encoded row's arrays."""
    cells = [row[c.name] for c in COLUMNS]
    offsets = np.cumsum([0, *(len(items) for c, (_, _, items) in zip(COLUMNS, cells, strict=True) if c.type.kind == "list")]).astype(np.int32)
    codes = np.array([code for _, _, items in cells for code in items], dtype=np.int32)
    return np.array([[v for v, _, _ in cells]], dtype=np.int64), np.array([[s for _, s, _ in cells]], dtype=np.uint8), codes, offsets[None]


def see(features, row):
    """Let the features observe one row."""
    values, states, _, _ = encoded(row)
    features.observe(values[0], states[0])


def fill(features, row, rank, index, value):
    """How many features one row activates at a rank."""
    n_active = np.zeros(1, dtype=np.int64)
    features.fill(*encoded(row), index[None], value[None], n_active)
    return features.add_rank(rank, index, value, int(n_active[0]))


def filled(features, row, rank=1):
    """The active features of a row by name, zeros left out."""
    index, value = np.full(features.active_max, -1, dtype=np.int32), np.zeros(features.active_max)
    n = fill(features, row, rank, index, value)
    assert 0 < n <= features.active_max
    assert len(set(index[:n].tolist())) == n
    assert index[0] == 0
    return {features.names[i]: v for i, v in zip(index[:n].tolist(), value[:n].tolist(), strict=True) if v != 0.0}


def bits(number):
    return int(np.array([number], dtype=np.float64).view(np.int64)[0])


def cell(c):
    state = st.sampled_from([0, 0, 0, 1, 2])
    items = st.just([])
    if c.name == "now":
        state, value = st.just(0), st.integers(0, 2**51)
    elif c.type == DOUBLE:
        value = st.sampled_from([0.0, 1.0, -2.5, 1e300, -math.inf, math.inf, math.nan]).map(bits) | st.floats(-100, 100).map(bits)
    elif c.type == BOOL:
        value = st.integers(0, 1)
    elif c.type == STRING:
        value = st.integers(0, CATEGORIES_MAX + 2)
    elif c.type == TIMESTAMP:
        value = st.integers(-(2**51), 2**51)
    else:
        value = st.integers(-50, 50) | st.sampled_from([-(2**63), 2**63 - 1])
    if c.type == list_of(STRING):
        items = st.lists(st.integers(0, CATEGORIES_MAX + 2), max_size=8)
    return st.tuples(value, state, items)


ROWS = st.fixed_dictionaries({c.name: cell(c) for c in COLUMNS})


@settings(max_examples=150, deadline=None)
@given(st.lists(ROWS, max_size=4), ROWS, st.integers(1, 12))
def test_fill_and_observe_equal_their_twin(seen, row, rank):
    features = Features(COLUMNS, CATEGORIES_MAX)
    numbers: dict[str, list[float]] = {}
    for r in seen:
        see(features, r)
        for c in COLUMNS:
            number = naive.number_of(c, r[c.name][0], r[c.name][1], r["now"][0]) if naive.kind_of(c) in ("number", "bool") else None
            if number is not None:
                numbers.setdefault(c.name, []).append(number)
    expected = naive.features_of(
        COLUMNS, row, numbers, rank, CATEGORIES_MAX, module.N_KNOTS, module.LINE_SCALE, module.HAT_SCALE)  # fmt: skip
    found = filled(features, row, rank)
    for name in expected.keys() | found.keys():
        assert found.get(name, 0.0) == pytest.approx(expected.get(name, 0.0), abs=1e-6), name


def seen(numbers):
    """One number's row of the scaling."""
    scaling = empty_scaling([False])
    for number in numbers:
        observe(np.array([number]), scaling)
    return scaling[0]


@settings(max_examples=100, deadline=None)
@given(st.lists(st.floats(-1e6, 1e6) | st.just(math.nan), max_size=30) | st.lists(st.sampled_from([0.0, 1.0, 30.0, 2000.0, -5.0]), max_size=100))
def test_scaling_is_mean_and_deviation_on_the_likelier_scale(numbers):
    count, mean, inverse, scale = seen(numbers)[:4]
    known = [number for number in numbers if not math.isnan(number)]
    assert count == len(known)
    assert scale == (LOG if naive.is_log(known, GAIN_MIN, EVIDENCE_MIN, JUDGED_EVERY) else PLAIN)
    expected, deviation = naive.mean_and_deviation([naive.signed_log(x) for x in known] if scale == LOG else known)
    assert mean == pytest.approx(expected, abs=1e-6)
    if deviation > 1e-3:
        assert 1.0 / inverse == pytest.approx(deviation, rel=1e-6)


def test_long_tails_are_read_by_their_logarithm():
    rng = np.random.default_rng(3)
    normal = rng.normal(50.0, 10.0, 400)
    amounts = np.exp(rng.normal(4.0, 1.5, 400))
    assert seen(amounts)[SCALE] == seen(-amounts)[SCALE] == LOG
    assert seen(normal)[SCALE] == seen(rng.uniform(-1.0, 1.0, 400))[SCALE] == PLAIN
    few = np.exp(rng.normal(2.0, 1.0, 48))
    assert seen(few)[SCALE] == LOG
    assert seen(np.concatenate([few, np.tile(normal, 100)]))[SCALE] == PLAIN  # as they are again, where that is likelier after all


@pytest.mark.parametrize("numbers", [[7.0] * 40, [1e100, -1e100] * 20, [0.0] * 16 + [1e-300], [1e15, 1e15 + 1] * 16])
def test_odd_numbers_have_a_finite_scaling(numbers):
    assert np.isfinite(seen(numbers)).all()
    assert seen(numbers)[INVERSE] >= 0.0


def blank():
    return {c.name: (0, 2, []) for c in COLUMNS} | {"now": (400 * DAY_US, 0, [])}


def test_a_row_by_hand():
    features = Features(COLUMNS, CATEGORIES_MAX)
    for number in (10, 20):
        see(features, blank() | {"f0": (number, 0, [])})
    found = filled(features, blank() | {"f0": (20, 0, []), "f2": (1, 0, []), "f3": (2, 0, []), "f6": (3, 0, [1, 9, 1, 0])}, rank=3)
    assert found["bias", ""] == 1.0
    assert found["f0", "z"] == module.LINE_SCALE  # mean 15, deviation 5
    assert found["f0", "hat +1"] == module.HAT_SCALE
    assert found["f2", "true"] == math.sqrt(2.0)  # nobody seen yet
    assert found["f3", "#2"] == found["f6", "#1"] == found["f6", "other"] == found["rank", "3"] == 1.0
    assert found["f1", "missing"] == found["channel", "missing"] == 1.0
    assert not any(name in ("secret", "now", "f9") for name, _ in found)


def test_a_bool_is_told_against_the_share_of_trues():
    features = Features(COLUMNS)
    for known in (1, 0, 0):
        see(features, blank() | {"f2": (known, 0, [])})
    see(features, blank() | {"f2": (1, 1, [])})  # null says nothing of the share
    true, false = (filled(features, blank() | {"f2": (known, 0, [])})["f2", "true"] for known in (1, 0))
    assert (true, false) == (pytest.approx(math.sqrt(2.0) * 2 / 3), pytest.approx(-math.sqrt(2.0) / 3))
    assert filled(features, blank() | {"f2": (1, 1, [])})["f2", "null"] == filled(features, blank())["f2", "missing"] == 1.0
    assert all("false" not in bin_ for fact, bin_ in filled(features, blank() | {"f2": (0, 0, [])}) if fact == "f2")


def test_a_bool_that_is_always_the_same_still_says_which():
    """It adds nothing, but its 0 has a sign: the places of crosses and the bins of naive Bayes are read off it."""
    index, value = np.zeros(99, dtype=np.int32), np.zeros(99)
    for known in (0, 1):
        features = Features(COLUMNS)
        for _ in range(1000):
            see(features, blank() | {"f2": (known, 0, [])})
        fill(features, blank() | {"f2": (known, 0, [])}, 1, index, value)
        found = value[index.tolist().index(features.names.index(("f2", "true")))]
        assert (found, math.copysign(1.0, found)) == (0.0, 2.0 * known - 1.0)


def test_a_bools_row_is_count_and_share():
    scaling = empty_scaling([False, True])
    for known in (1.0, 0.0, math.nan, 1.0):
        observe(np.array([math.nan, known]), scaling)
    assert scaling[1, COUNT] == 3 and scaling[1, MEAN] == pytest.approx(2 / 3) and scaling[1, SCALE] == SHARE
    assert not scaling[0].any() and not scaling[1, SCALE + 1 :].any()


def test_one_value_so_far_has_no_deviation():
    features = Features(COLUMNS)
    row = blank() | {"f0": (7, 0, [])}
    see(features, row)
    assert ("f0", "z") not in filled(features, blank() | {"f0": (1000, 0, [])})


def test_age_is_counted_from_now():
    features = Features(COLUMNS)
    for days in (0, 1):  # log1p of the ages 0 and 1: mean log(2) / 2
        see(features, blank() | {"f4": ((400 - days) * DAY_US, 0, [])})
    assert filled(features, blank() | {"f4": (399 * DAY_US, 0, [])})["f4", "z"] == pytest.approx(module.LINE_SCALE)
    assert filled(features, blank() | {"f4": (400 * DAY_US, 0, [])})["f4", "z"] == pytest.approx(-module.LINE_SCALE)


def test_hour_of_the_interaction_lies_on_a_circle():
    found = filled(Features(COLUMNS), blank() | {"asked_for": (DAY_US // 4, 0, [])})  # Thursday 06:00
    assert found["asked_for", "sin hour"] == pytest.approx(1.0)
    assert found["asked_for", "cos weekday"] == pytest.approx(1.0)


def test_rank_is_the_last_feature_and_changes_nothing_else():
    features = Features(COLUMNS)
    index, value = np.zeros(features.active_max, dtype=np.int32), np.zeros(features.active_max)
    n = fill(features, blank(), 1, index, value)
    first = index[:n].copy()
    assert fill(features, blank(), 10, index, value) == n + 1
    assert np.array_equal(index[:n], first)
    last = index[n]
    assert fill(features, blank(), 99, index, value) == n + 1
    assert index[n] == last == features.n_features - 1


def test_state_and_load_carry_the_scaling():
    features, other = Features(COLUMNS), Features(COLUMNS)
    for number in (1, 5, 9):
        see(features, blank() | {"f0": (number, 0, [])})
    other.load(features.state())
    row = blank() | {"f0": (6, 0, [])}
    assert filled(other, row) == filled(features, row)
    assert other.state()["scaling"].tobytes() == features.state()["scaling"].tobytes()
    with pytest.raises(ValueError, match="does not fit"):
        Features(COLUMNS[3:]).load(features.state())
    assert features.number_names[:3] == ["f0 z", "f1 z", "f2 true"]
    assert len(features.number_names) == len(features.state()["scaling"])


def test_a_reload_carries_the_share_of_a_bool_and_not_to_a_number():
    def catalog(**facts):
        return nba.Catalog.from_dict({"facts": facts, "actions": [{"id": "one"}, {"id": "two"}]})

    def row_of(engine, name):
        features = engine._memory.state.beliefs.features
        return dict(zip(features.number_names, features.state()["scaling"].tolist(), strict=True)).get(name)

    engine = nba.Engine(catalog(age="int", vip="bool"), seed=1)
    for k in range(8):
        engine.record(engine.decide(f"s{k}", facts={"age": 20 + k, "vip": k < 2}).id, "accepted")
    before = row_of(engine, "vip true")
    assert before[:2] == pytest.approx([8.0, 0.25])
    engine.reload(catalog(vip="bool", bill="double", age="int"))
    assert row_of(engine, "vip true") == before
    engine.reload(catalog(vip="int"))
    assert row_of(engine, "vip true") is None
    assert row_of(engine, "vip z") == [0.0] * 9


def test_names_are_unique_and_take_texts():
    features = Features(COLUMNS, CATEGORIES_MAX)
    assert len(set(features.names)) == features.n_features
    named = features.names_of({"f3": ["gold"]})
    place = features.names.index(("f3", "#1"))
    assert named[place : place + 2] == [("f3", "=gold"), ("f3", "#2")]


def test_an_age_needs_now():
    with pytest.raises(ValueError, match="'now'"):
        Features([column("since", TIMESTAMP)])


def test_many_rows_observed_and_filled_equal_one_by_one():
    """Each row is read under what was observed up to itself, with the feature of its rank."""
    r = np.random.default_rng(4)
    rows = [blank() | {"f0": (int(r.integers(-50, 50)), 0, []), "f2": (int(r.integers(2)), 0, []), "f4": (int(r.integers(0, 10**15)), 0, [])}
            for _ in range(12)]
    alone, together = Features(COLUMNS), Features(COLUMNS)
    parts = [encoded(row) for row in rows]
    values, states = np.concatenate([p[0] for p in parts]), np.concatenate([p[1] for p in parts])
    ranks = np.arange(1, 13)
    index, value = np.zeros((12, together.active_max), dtype=np.int32), np.zeros((12, together.active_max))
    n_active = np.zeros(12, dtype=np.int64)
    together.fill_observed(values, states, parts[0][2], np.concatenate([p[3] for p in parts]), ranks, index, value, n_active)
    for k, row in enumerate(rows):
        see(alone, row)
        own_index, own_value = np.zeros(alone.active_max, dtype=np.int32), np.zeros(alone.active_max)
        n = fill(alone, row, int(ranks[k]), own_index, own_value)
        assert n_active[k] == n and index[k, :n].tolist() == own_index[:n].tolist() and value[k, :n].tolist() == own_value[:n].tolist()
    assert together.state()["scaling"].tolist() == alone.state()["scaling"].tolist()
