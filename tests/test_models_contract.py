"""One suite for every propensity model."""

from __future__ import annotations

import numpy as np
import pytest

from nba_engine.models.beta_bernoulli import BetaBernoulli
from nba_engine.models.contract import Receipt
from nba_engine.models.probit import Probit

N_FEATURES = 30
PATHS = np.array([[0, 1, 3, 5, -1], [0, 1, 3, 6, -1], [0, 1, 4, 7, 9], [0, 1, 4, 7, 10], [0, 2, -1, 8, -1]], dtype=np.int32)
N_ENTITIES = 12  # entity 11 has left: no path names it
ALL = np.arange(len(PATHS), dtype=np.int32)


@pytest.fixture(params=[Probit, BetaBernoulli])
def make(request):
    return lambda: request.param(N_FEATURES, PATHS, N_ENTITIES)


def rows(n, seed=0):
    """n random (index, value, n_active, candidate, reward); buffers are longer than n_active, as in the engine."""
    rng = np.random.default_rng(seed)
    for _ in range(n):
        n_active = int(rng.integers(1, 12))
        index = np.zeros(16, dtype=np.int32)
        index[1:n_active] = np.sort(rng.choice(np.arange(1, N_FEATURES), n_active - 1, replace=False))
        yield index, rng.normal(size=16), n_active, int(rng.integers(len(PATHS))), float(rng.choice([0.0, 1.0, 0.25]))


def scored(model, row, candidates=ALL):
    mean, deviation = np.full(len(candidates), np.nan), np.full(len(candidates), np.nan)
    index, value, n_active = row[:3]
    model.score(model.scratch(1), index[None], value[None], np.array([n_active]), np.array([0, len(candidates)]), candidates, mean, deviation)
    return mean, deviation


def as_bytes(model, with_version=True):
    return b"".join(array.tobytes() for name, array in sorted(model.state().items()) if with_version or name != "version")


def test_scoring_changes_nothing(make):
    model = make()
    for row in rows(20):
        model.update(*row)
    before = as_bytes(model)
    first = scored(model, next(rows(1)))
    assert np.array_equal(first, scored(model, next(rows(1))))
    assert as_bytes(model) == before


def test_propensities_are_probabilities(make):
    model = make()
    for row in rows(300):
        model.update(*row)
        mean, deviation = scored(model, row)
        assert np.all((mean > 0) & (mean < 1) & (deviation > 0) & (deviation < 1))


def test_memory_is_bounded(make):
    model = make()
    size = {name: array.nbytes for name, array in model.state().items()}
    for row in rows(500):
        model.update(*row)
    assert {name: array.nbytes for name, array in model.state().items()} == size


def test_save_and_load_give_the_same_bytes_and_the_same_future(make):
    model, other = make(), make()
    for row in rows(50):
        model.update(*row)
    other.load(model.state())
    assert as_bytes(other) == as_bytes(model)
    for row in rows(50, seed=1):
        assert model.update(*row).to_bytes() == other.update(*row).to_bytes()
        assert np.array_equal(scored(model, row), scored(other, row))
    assert as_bytes(other) == as_bytes(model)


def test_a_state_is_a_copy(make):
    model = make()
    state = model.state()
    before = state["sums"].tobytes()
    model.update(*next(rows(1)))
    assert state["sums"].tobytes() == before


def test_load_refuses_another_shape(make):
    with pytest.raises(ValueError, match="needed"):
        make().load({"sums": np.zeros((1, 1, 2), dtype=np.int64), "version": np.zeros(1, dtype=np.int64)})


def test_same_stream_same_bytes(make):
    model, other = make(), make()
    for row in rows(100):
        model.update(*row)
    for row in rows(100):
        other.update(*row)
    assert as_bytes(model) == as_bytes(other)


def test_many_equal_one_by_one_in_any_order(make):
    model = make()
    for row in rows(60):
        model.update(*row)
    row = next(rows(1, seed=5))
    together = np.array(scored(model, row))
    alone = np.concatenate([np.array(scored(model, row, ALL[i : i + 1])) for i in ALL], axis=1)
    backwards = np.array(scored(model, row, ALL[::-1].copy()))[:, ::-1]
    assert np.array_equal(together, alone)
    assert np.array_equal(together, backwards)


def test_no_candidates_is_no_work(make):
    mean, deviation = scored(make(), next(rows(1)), ALL[:0])
    assert mean.size == deviation.size == 0


def test_update_then_take_back_is_before_bit_for_bit(make):
    model = make()
    for row in rows(80):
        model.update(*row)
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
    start = as_bytes(model, with_version=False)
    receipts = [model.update(*row) for row in rows(40)]
    for k in np.random.default_rng(0).permutation(40):
        model.take_back(receipts[k])
    assert as_bytes(model, with_version=False) == start


def test_learning_moves_the_propensity_the_right_way(make):
    for reward in (0.0, 1.0):
        model = make()
        for index, value, n_active, candidate, _ in rows(20):
            row = (index, value, n_active, candidate, reward)
            mean, _ = scored(model, row)
            model.update(*row)
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
    assert moved[0] > moved[1] > moved[4] > 0


def test_rewards_outside_the_unit_interval_are_refused(make):
    for reward in (-0.1, 1.1, float("nan")):
        with pytest.raises(ValueError, match="between 0 and 1"):
            make().update(*next(rows(1))[:3], 0, reward)


def test_a_moved_receipt_drops_what_has_no_place():
    receipt = Receipt(np.array([0, 4], np.int32), np.array([0, 2, 5], np.int32), np.arange(12, dtype=np.int32).reshape(2, 2, 3))
    moved = receipt.moved(np.array([0, -1, -1, -1, 7], np.int32), np.array([3, -1, -1, -1, -1, 1], np.int32))
    assert moved.index.tolist() == [0, 7]
    assert moved.entities.tolist() == [3, 1]
    assert moved.deltas.tolist() == [[[0, 2], [3, 5]], [[6, 8], [9, 11]]]


def test_many_rows_learned_at_once_equal_one_by_one(make):
    one_by_one, at_once = make(), make()
    given = list(rows(40, seed=5))
    for index, value, n_active, candidate, reward in given:
        one_by_one.update(index, value, n_active, candidate, reward)
    index, value, n_active, candidates, rewards = (np.array([row[k] for row in given]) for k in range(5))
    at_once.update_rows(index, value, n_active, candidates.astype(np.int32), rewards)
    assert as_bytes(at_once) == as_bytes(one_by_one)
    assert [scored(at_once, row)[0].tolist() for row in rows(5, seed=6)] == [scored(one_by_one, row)[0].tolist() for row in rows(5, seed=6)]


def test_a_frozen_model_scores_as_the_model_did(make):
    model = make()
    for row in rows(20):
        model.update(*row)
    frozen, before = model.frozen(), [scored(model, row)[0].tolist() for row in rows(5, seed=6)]
    for row in rows(20, seed=7):
        model.update(*row)
    assert [scored(frozen, row)[0].tolist() for row in rows(5, seed=6)] == before
    assert [scored(model, row)[0].tolist() for row in rows(5, seed=6)] != before


def test_a_model_taken_over_goes_on_where_the_other_stood(make):
    model, heir, twin = make(), make(), make()
    for row in rows(20):
        model.update(*row)
        twin.update(*row)
    assert heir.take_over(model) and as_bytes(heir) == as_bytes(twin)
    for row in rows(5, seed=3):
        heir.update(*row)
        twin.update(*row)
    assert as_bytes(heir) == as_bytes(twin)
    assert [scored(heir, row)[0].tolist() for row in rows(5, seed=6)] == [scored(twin, row)[0].tolist() for row in rows(5, seed=6)]
