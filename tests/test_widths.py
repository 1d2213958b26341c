"""Actions whose coefficients scatter further than the prior says: the factor against its slow twin, and what a model does with it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import nba_engine as nba
from nba_engine.models import posterior, widths
from nba_engine.models.inheriting import turn
from nba_engine.models.probit import Probit
from nba_engine.models.widths import FIRST_ALONE, FIRST_TOGETHER, evidence, factor
from tests.naive.widths import factor_of
from tests.shop import NOON

PATHS = np.array([[0, -1, -1, 1, -1], [0, -1, -1, 2, -1]], dtype=np.int32)
N_FEATURES = 9
COEFFICIENTS = st.tuples(st.sampled_from([0.0, 1e-3, 1.0, 40.0, 1e6]), st.floats(-3, 3))


@settings(max_examples=100, deadline=None)
@given(st.lists(COEFFICIENTS, max_size=12), st.sampled_from([1e-3, 0.1, 2.0]), st.floats(0.5, 1e4))
def test_the_factor_equals_its_twin(coefficients, variance, outcomes):
    precision = np.array([outcomes, *(known for known, _ in coefficients)])
    shift = precision * np.array([0.7, *(mean for _, mean in coefficients)])
    assert factor(evidence(precision, shift, variance)) == pytest.approx(factor_of(precision.tolist(), shift.tolist(), variance), rel=1e-9)


def test_the_factor_finds_the_variance_that_coefficients_have():
    """500 coefficients known to within nothing, one to a row: of 4 times the variance, of that of the prior, of a tenth of it."""
    drawn, known = np.random.default_rng(1).normal(size=500), np.full(501, 1e6)
    known[0] = known[1:].sum()
    for times, expected in ((4.0, 4.0), (1.0, 1.0), (0.1, 1.0)):
        estimate = np.append(0.0, drawn * np.sqrt(0.1 * times / drawn.var()))
        assert factor(evidence(known, known * estimate, 0.1)) == pytest.approx(expected, rel=0.01)


def test_turns_come_once_while_stock_takings_double():
    for n in (0, 1, 5, 40):
        for doubled in (16, 32, 64):
            turns = [list(range(n))[turn(n, stock, 2)] for stock in range(doubled, 2 * doubled)]
            assert max(map(len, turns), default=0) <= 2
            assert n > 2 * doubled or sorted(k for own in turns for k in own) == list(range(n))


def rows(n, seed=0):
    """Labels that follow from the first number alone, for both candidates: coefficients without end."""
    rng = np.random.default_rng(seed)
    value = np.column_stack([np.ones(n), rng.normal(size=(n, N_FEATURES - 1))])
    candidates = rng.integers(0, 2, n).astype(np.int32)
    rewards = ((value[:, 1] > 0) == (candidates == 0)).astype(float)
    return np.tile(np.arange(N_FEATURES, dtype=np.int32), (n, 1)), value, np.full(n, N_FEATURES), candidates, rewards


def wider(model, first=2 * FIRST_ALONE):
    for stock in range(first, 2 * first):
        model.inherit(stock)
    return model


def learned(seed=0):
    model = Probit(N_FEATURES, PATHS, 3)
    model.update_rows(*rows(2000, seed))
    return model


def propensity(model):
    index, value, n_active, *_ = rows(1, 7)
    value[0, 1:] = [1.0, *[0.0] * (N_FEATURES - 2)]
    mean, deviation = np.zeros(2), np.zeros(2)
    model.score(model.scratch(1), index, value, n_active, np.array([0, 2]), np.array([0, 1], np.int32), mean, deviation)
    return mean.tolist(), deviation.tolist()


def test_what_follows_from_the_facts_is_believed_sooner():
    before, after = learned(), wider(learned())
    assert all(after._prior[posterior.VARIANCE, 1:] > 2.0 * before._prior[posterior.VARIANCE, 1:])
    assert after._prior[posterior.VARIANCE, 0] == before._prior[posterior.VARIANCE, 0]  # what all share is not an action's own
    assert np.array_equal(after._sums, before._sums)
    (up, down), _ = propensity(after)
    (was_up, was_down), _ = propensity(before)
    assert abs(up - down) > abs(was_up - was_down) > 0.9


def test_at_first_all_taught_actions_have_one_factor():
    """Worked out from what they know together, at doublings only; an action that nobody was told about inherits from them."""
    paths = np.append(PATHS, [[0, -1, -1, 3, -1]], axis=0).astype(np.int32)
    model, stock = Probit(N_FEATURES, paths, 4), 2 * FIRST_TOGETHER
    model.update_rows(*rows(800))
    before = model._prior[posterior.VARIANCE].copy()
    model.inherit(stock - 1)
    assert np.array_equal(model._prior[posterior.VARIANCE], before)
    model.inherit(stock)
    told = [evidence(*(model._sums[entity].T / posterior.SCALE), before[entity]) for entity in (1, 2)]
    assert model._prior[posterior.VARIANCE, 1:3] / before[1:3] == pytest.approx([factor(told[0] + told[1])] * 2)
    assert factor(told[0] + told[1]) > max(factor(told[0]), factor(told[1])) > 1.0
    assert [entity for entity, given in model._given.items() if given.any()] == [3]


def test_few_outcomes_change_nothing():
    model = learned()
    for stock in range(1, FIRST_TOGETHER):
        model.inherit(stock)
    assert model.state()["entities"].tolist() == []


def test_the_scoring_copy_follows_where_it_is_in_step():
    behind, in_step = learned(), learned()
    in_step._catch_up()
    assert propensity(wider(behind)) == propensity(wider(in_step))


def test_it_is_saved_and_goes_on_as_it_was():
    model, again = wider(learned()), Probit(N_FEATURES, PATHS, 3)
    again.load(model.state())
    assert propensity(again) == propensity(model)
    for one in (model, again):
        one.update_rows(*rows(500, 3))
        wider(one)
    assert {name: array.tobytes() for name, array in model.state().items()} == {name: array.tobytes() for name, array in again.state().items()}
    more = Probit(N_FEATURES, PATHS, 3)
    assert more.take_over(again) and propensity(more) == propensity(model)


def test_the_prior_comes_back_when_outcomes_no_longer_speak_for_more():
    model, never = wider(learned()), Probit(N_FEATURES, PATHS, 3)
    model._sums[:] = 0
    wider(model)
    assert model.state()["entities"].tolist() == [] and np.array_equal(model._prior, never._prior)


def test_learning_a_table_and_one_by_one_is_the_same(monkeypatch):
    """Through the engine: looked at from the first stock-taking on, so that few outcomes suffice."""
    monkeypatch.setattr(widths, "FIRST_ALONE", 2)
    catalog = nba.Catalog.from_dict({"facts": {"x": "double"}, "channels": {"web": {}}, "actions": [{"id": "up"}, {"id": "down"}]})
    rng = np.random.default_rng(2)
    x, up = rng.normal(size=640), np.arange(640) % 2 == 0
    told = {"subject": [f"s{k}" for k in range(640)], "channel": ["web"] * 640, "at": [NOON] * 640, "x": x.tolist(),
            "action": np.where(up, "up", "down").tolist(), "label": np.where((x > 0) == up, "accepted", "declined").tolist()}
    alone, together = nba.Engine(catalog, seed=1), nba.Engine(catalog, seed=1)
    for k in range(640):
        alone.learn({name: column[k : k + 1] for name, column in told.items()})
    together.learn(told)
    one, other = (engine._memory.state.beliefs.state()["models"]["probit"]["state"] for engine in (alone, together))
    assert {name: array.tobytes() for name, array in one.items()} == {name: array.tobytes() for name, array in other.items()}
    assert one["narrowed"].shape[0] == 2 and one["given"].any() == np.False_
