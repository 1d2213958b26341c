"""One suite for every propensity model: what stands in models/kinds.py, and several models as one, passes all of it."""

from __future__ import annotations

import numpy as np
import pytest

from nba_engine.models.contract import Receipt, carried
from nba_engine.models.kinds import KINDS, Ground
from nba_engine.models.several import Part, Several

COLOURS, AGES = ["#1", "#2", "#3", "other", "null", "missing"], ["z", "hat -1", "hat +0", "hat +1", "null", "missing"]
FEATURES = [("bias", ""), *(("colour", b) for b in COLOURS), *(("plan", b) for b in COLOURS), *(("age", b) for b in AGES),
            *(("bill", b) for b in AGES), *(("rank", str(rank)) for rank in range(2, 6)), ("never", "met")]  # fmt: skip
COLOUR, PLAN, AGE, BILL, RANK, NEVER = 1, 7, 13, 19, 25, 29
ENTITIES = [("global", ""), ("issue", "a"), ("issue", "b"), ("group", "c"), ("group", "d"), *(("action", n) for n in "ijkl"), ("treatment", "s"),
            ("treatment", "t"), ("action", "left")]  # fmt: skip
PATHS = np.array([[0, 1, 3, 5, -1], [0, 1, 3, 6, -1], [0, 1, 4, 7, 9], [0, 1, 4, 7, 10], [0, 2, -1, 8, -1]], dtype=np.int32)
ALL = np.arange(len(PATHS), dtype=np.int32)
GROUND = Ground(FEATURES, PATHS, ENTITIES)
BLIND = {"beta_bernoulli"}
"""Models that read no features."""


def several(ground, options):
    """Two kinds behind one face: probit for the first three candidates, naive Bayes for the others."""
    parts, surplus = [], np.setdiff1d(np.arange(len(ground.entities)), ground.paths)
    for k, (kind, candidates) in enumerate([("probit", ALL[:3]), ("naive_bayes", ALL[3:])]):
        paths = ground.paths[candidates]
        own = np.union1d(paths[paths >= 0], surplus).astype(np.int32)
        local = np.where(paths < 0, -1, np.searchsorted(own, paths)).astype(np.int32)
        parts.append(Part(k + 1, KINDS[kind](Ground(ground.features, local, [ground.entities[e] for e in own]), {}), candidates, own))
    return Several(parts, len(ALL), len(ground.entities))


MAKERS = {**KINDS, "several": several, "river, one for all": lambda ground, options: KINDS["river"](ground, {"one_for_all": True})}


@pytest.fixture(params=MAKERS)
def kind(request):
    return request.param


@pytest.fixture
def make(kind):
    return lambda ground=GROUND: MAKERS[kind](ground, {})


def encoded(colour, plan, age, bill, rank=1):
    """One row as an encoder writes it: a category each, numbers as a line and two hats; buffers are longer than n_active, as in the engine."""
    index, value = np.zeros(16, np.int32), np.zeros(16)
    pairs = [(0, 1.0), (COLOUR + colour, 1.0), (PLAN + plan, 1.0)]
    for first, z in ((AGE, age), (BILL, bill)):
        share, below = z % 1.0, int(z >= 0.0)
        pairs += [(first, 0.55 * z), (first + 1 + below, 0.45 * (1.0 - share)), (first + 2 + below, 0.45 * share)]
    pairs += [(RANK + min(rank, 5) - 2, 1.0)] if rank > 1 else []
    index[: len(pairs)], value[: len(pairs)] = zip(*pairs, strict=True)
    return index, value, len(pairs)


def rows(n, seed=0):
    """n random (index, value, n_active, candidate, reward)."""
    rng = np.random.default_rng(seed)
    for _ in range(n):
        row = encoded(int(rng.integers(6)), int(rng.integers(3)), *rng.uniform(-1.0, 0.99, 2), int(rng.integers(1, 4)))
        yield *row, int(rng.integers(len(PATHS))), float(rng.choice([0.0, 1.0, 0.25]))


def learned(model, n, seed=0):
    for row in rows(n, seed):
        model.update(*row)
    return model


def scored(model, row, candidates=ALL):
    """Buffers are longer than what is asked, as in the engine; what lies behind is not touched."""
    n = len(candidates)
    mean, deviation = np.full((2, n + 2), np.nan)
    index, value, n_active = row[:3]
    model.score(model.scratch(1), index[None], value[None], np.array([n_active]), np.array([0, n]), np.append(candidates, ALL[:2]), mean, deviation)
    assert np.isnan([*mean[n:], *deviation[n:]]).all()
    return mean[:n], deviation[:n]


def scores(model, seed=6):
    """What a model says of five rows, as plain numbers."""
    return [np.array(scored(model, row)).tolist() for row in rows(5, seed)]


def as_bytes(model, with_version=True):
    return b"".join(array.tobytes() for name, array in sorted(model.state().items()) if with_version or not name.endswith(("version", "clock")))


def many(given):
    """A list of rows as the arrays of a batch."""
    index, value, n_active, candidates, rewards = (np.array([row[k] for row in given]) for k in range(5))
    return index, value, n_active, candidates.astype(np.int32), rewards


def test_scoring_changes_nothing(make):
    model = learned(make(), 20)
    before = as_bytes(model)
    assert scores(model) == scores(model)
    assert as_bytes(model) == before


def test_propensities_are_probabilities(make):
    model = make()
    for row in rows(200):
        model.update(*row)
        mean, deviation = scored(model, row)
        assert np.all((mean > 0) & (mean < 1) & (deviation > 0) & (deviation < 1))


def test_memory_is_bounded(make):
    model = learned(make(), 300)
    size = model.nbytes
    assert learned(model, 300, seed=1).nbytes <= 1.05 * size


def test_a_cold_start_is_the_prior_for_everybody(make):
    """Before the first outcome no action matters, a fact hardly, and the model says that it does not know."""
    given = np.array([scored(make(), row, ALL[:3]) for row in rows(5)])
    assert np.ptp(given[:, 0], axis=1) == pytest.approx(np.zeros(5), abs=1e-12)
    assert np.ptp(given[:, 0]) < 0.02
    assert np.all(given[:, 1] > 0.05)


def test_save_and_load_give_the_same_bytes_and_the_same_future(make):
    model, other = learned(make(), 50), make()
    other.load(model.state())
    assert as_bytes(other) == as_bytes(model)
    for row in rows(50, seed=1):
        assert model.update(*row).to_bytes() == other.update(*row).to_bytes()
        assert np.array_equal(scored(model, row), scored(other, row))
    assert as_bytes(other) == as_bytes(model)


def test_a_state_is_a_copy(make):
    model = learned(make(), 5)
    state = model.state()
    before = {name: array.tobytes() for name, array in state.items()}
    learned(model, 5, seed=1)
    assert {name: array.tobytes() for name, array in state.items()} == before


def test_load_refuses_the_beliefs_of_other_entities(make, kind):
    state = learned(make(), 20).state()
    ground = Ground(FEATURES, np.where(PATHS < 0, -1, 0).astype(np.int32), ENTITIES[:3])
    if kind != "several":
        with pytest.raises(ValueError, match="needed"):
            make(ground).load(state)


def test_same_stream_same_bytes(make):
    assert as_bytes(learned(make(), 100)) == as_bytes(learned(make(), 100))


def test_many_equal_one_by_one_in_any_order(make):
    model = learned(make(), 60)
    row = next(rows(1, seed=5))
    together = np.array(scored(model, row))
    alone = np.concatenate([np.array(scored(model, row, ALL[i : i + 1])) for i in ALL], axis=1)
    backwards = np.array(scored(model, row, ALL[::-1].copy()))[:, ::-1]
    assert np.array_equal(together, alone)
    assert np.array_equal(together, backwards)


def test_many_rows_scored_at_once_equal_one_by_one(make):
    model, given = learned(make(), 60), list(rows(6, seed=5))
    index, value, n_active, _, _ = many(given)
    candidates, offsets = np.array([0, 1, 2, 3, 4, 2, 4, 0, 3], np.int32), np.array([0, 5, 5, 6, 7, 8, 9])
    mean, deviation, with_rank = np.empty((3, 9))
    scratch = model.scratch(6)
    model.score(scratch, index, value, n_active, offsets, candidates, mean, deviation)
    model.score_with(scratch, np.array([-1, RANK, RANK + 1, RANK + 2, -1], np.int32), value, n_active, offsets, candidates, with_rank)
    for r, row in enumerate(given):
        own = slice(offsets[r], offsets[r + 1])
        assert np.array_equal(scored(model, row, candidates[own]), (mean[own], deviation[own]))
        assert with_rank[own][:1] == pytest.approx(mean[own][:1], abs=1e-6)


def test_no_candidates_is_no_work(make):
    mean, deviation = scored(make(), next(rows(1)), ALL[:0])
    assert mean.size == deviation.size == 0


def test_update_then_take_back_is_before_bit_for_bit(make):
    model = learned(make(), 80)
    before = as_bytes(model, with_version=False)
    for row in rows(20, seed=3):
        shown = scored(model, row)
        version = model.version
        receipt = model.update(*row)
        assert model.version > version
        version = model.version
        model.take_back(Receipt.from_bytes(receipt.to_bytes()))
        assert model.version > version
        assert np.array_equal(scored(model, row), shown)
        assert as_bytes(model, with_version=False) == before


def test_taking_everything_back_in_any_order_gives_the_beginning(make):
    model = make()
    start, said = as_bytes(model, with_version=False), scores(model)
    receipts = [model.update(*row) for row in rows(40)]
    for k in np.random.default_rng(0).permutation(40):
        model.take_back(receipts[k])
    assert as_bytes(model, with_version=False) == start
    assert scores(model) == said


def test_learning_moves_the_propensity_the_right_way(make):
    for reward in (0.0, 1.0):
        model = make()
        for index, value, n_active, candidate, _ in rows(20):
            row = (index, value, n_active, candidate, reward)
            mean, _ = scored(model, row)
            model.update(*row)
            assert model.expected == pytest.approx(mean[candidate], abs=1e-3)
            after, _ = scored(model, row)
            assert (after[candidate] > mean[candidate]) == (reward == 1.0)


def test_learning_narrows_the_belief_and_reaches_the_rate(make):
    model = make()
    row = next(rows(1))
    _, before = scored(model, row)
    for reward in ([1.0, 0.0, 0.0, 0.0] * 100):
        model.update(*row[:3], 0, reward)
    mean, after = scored(model, row)
    assert after[0] < before[0] / 2
    assert mean[0] == pytest.approx(0.25, abs=0.05)


def test_a_relative_learns_too_and_a_stranger_less(make):
    model = make()
    row = next(rows(1))
    before, _ = scored(model, row)
    for _ in range(20):
        model.update(*row[:3], 0, 1.0)
    moved = scored(model, row)[0] - before
    assert moved[0] > moved[1] > 0
    assert moved[1] >= moved[4]


def test_a_separable_world_is_learned(make, kind):
    """Who likes a colour takes action 0, who does not takes action 4; nobody else is told."""
    model, rng = make(), np.random.default_rng(2)
    for _ in range(500):
        colour = int(rng.integers(3))
        candidate = int(rng.choice([0, 4]))
        model.update(*encoded(colour, int(rng.integers(3)), *rng.uniform(-1.0, 0.99, 2)), candidate, float((colour == 0) == (candidate == 0)))
    likes, dislikes = (scored(model, encoded(colour, 0, 0.1, 0.2))[0] for colour in (0, 1))
    if kind not in BLIND:
        assert likes[0] > 0.75 > 0.25 > dislikes[0]
        assert dislikes[4] > 0.75 > 0.25 > likes[4]


def test_a_lower_rank_earns_less_where_it_did(make, kind):
    model, rng = make(), np.random.default_rng(3)
    for _ in range(400):
        rank = int(rng.integers(1, 3))
        model.update(*encoded(int(rng.integers(3)), 0, 0.1, 0.2, rank), 0, float(rng.random() < (0.6, 0.1)[rank - 1]))
    scratch, row, at_rank = model.scratch(1), encoded(1, 0, 0.1, 0.2), np.empty(1)
    mean, deviation = np.empty((2, 1))
    model.score(scratch, row[0][None], row[1][None], np.array([row[2]]), np.array([0, 1]), ALL[:1], mean, deviation)
    model.score_with(scratch, np.array([RANK], np.int32), row[1][None], np.array([row[2]]), np.array([0, 1]), ALL[:1], at_rank)
    if kind in BLIND:
        assert at_rank[0] == mean[0]
    else:
        assert at_rank[0] < 0.3 < 0.4 < mean[0]
        assert at_rank[0] == pytest.approx(scored(model, encoded(1, 0, 0.1, 0.2, 2), ALL[:1])[0][0], abs=1e-3)


def test_a_feature_never_met_says_little(make):
    """A never-met category moves no propensity to where the others would not have let it, and makes nothing certain."""
    model = learned(make(), 200)
    index, value, n_active = encoded(1, 1, 0.3, 0.4)
    known = scored(model, (index, value, n_active))
    index[n_active], value[n_active] = NEVER, 1.0
    unknown = scored(model, (index, value, n_active + 1))
    assert np.all(np.abs(unknown[0] - known[0]) < 0.05)
    assert np.all(unknown[1] > 0.9 * known[1])


def test_rewards_outside_the_unit_interval_are_refused(make):
    for reward in (-0.1, 1.1, float("nan")):
        model = make()
        before = as_bytes(model)
        with pytest.raises(ValueError, match="between 0 and 1"):
            model.update(*next(rows(1))[:3], 0, reward)
        assert as_bytes(model) == before


def test_many_rows_learned_at_once_equal_one_by_one(make):
    one_by_one, at_once, in_parts, given = make(), make(), make(), list(rows(40, seed=5))
    said = [(one_by_one.update(*row), one_by_one.expected)[1] for row in given]
    expected = np.empty(40)
    at_once.update_rows(*many(given), expected)
    in_parts.update_rows(*many(given[:13]))
    in_parts.update_rows(*many(given[13:]))
    assert as_bytes(at_once) == as_bytes(in_parts) == as_bytes(one_by_one)
    assert scores(at_once) == scores(in_parts) == scores(one_by_one)
    assert expected.tolist() == said


def test_a_frozen_model_scores_as_the_model_did(make):
    model = learned(make(), 20)
    frozen, before = model.frozen(), scores(model)
    learned(model, 20, seed=7)
    assert scores(frozen) == before
    assert scores(model) != before


def test_a_model_taken_over_goes_on_where_the_other_stood(make, kind):
    model, heir, twin = learned(make(), 20), make(), learned(make(), 20)
    if not heir.take_over(model):
        assert kind == "several"  # its parts are carried one by one
        heir.load(model.state())
    assert as_bytes(heir) == as_bytes(twin)
    learned(heir, 5, seed=3)
    learned(twin, 5, seed=3)
    assert as_bytes(heir) == as_bytes(twin)
    assert scores(heir) == scores(twin)


def test_beliefs_move_by_name_and_come_back(make, kind):
    """Another catalog version numbers features and entities otherwise; what both know scores as before, what left comes back as it was."""
    if kind == "several":
        return  # its parts are carried one by one
    model = learned(make(), 60)
    entities = [*ENTITIES[:5], ("action", "new"), *ENTITIES[:4:-1]]
    features = [FEATURES[0], ("new", "#1"), *FEATURES[AGE:], *FEATURES[COLOUR:AGE]]
    place = np.array([entities.index(entity) for entity in ENTITIES] + [-1], np.int32)
    other = make(Ground(features, place[PATHS], entities))
    other.load(carried(model.state(), model.axes, FEATURES, ENTITIES, features, entities))
    feature_of = np.array([features.index(name) for name in FEATURES], np.int32)
    for row in rows(5, seed=6):
        moved = (np.where(np.arange(16) < row[2], feature_of[row[0]], 0).astype(np.int32), *row[1:])
        assert np.array(scored(other, moved)) == pytest.approx(np.array(scored(model, row)), abs=1e-6)
    back = make()
    back.load(carried(other.state(), model.axes, features, entities, FEATURES, ENTITIES))
    assert as_bytes(back) == as_bytes(model)


def test_a_receipt_from_before_a_reload_is_taken_back_after_it(make):
    model = learned(make(), 10)
    before = as_bytes(model, with_version=False)
    receipt = model.update(*next(rows(1, seed=9)))
    same = receipt.moved(np.arange(len(FEATURES), dtype=np.int32), np.arange(len(ENTITIES), dtype=np.int32))
    model.take_back(same)
    assert as_bytes(model, with_version=False) == before


def test_a_moved_receipt_drops_what_has_no_place():
    receipt = Receipt(np.array([0, 2, 5], np.int32), np.array([[0, 4], [10, 11], [20, 21], [30, 31], [40, 41]], np.int32), 7)
    moved = receipt.moved(np.array([0, -1, -1, -1, 7], np.int32), np.array([3, -1, -1, -1, -1, 1], np.int32))
    assert moved.index.tolist() == [0, 7]
    assert moved.entities.tolist() == [3, 1]
    assert moved.deltas.tolist() == [[10, 11], [20, 21], [40, 41]]
    assert moved.model == 7
    assert receipt.index.tolist() == [0, 4] and receipt.entities.tolist() == [0, 2, 5]  # the one it was made from stays as it was
