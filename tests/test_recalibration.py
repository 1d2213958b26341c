"""Reported propensities: corrected by what came back of late, never what is chosen."""

from __future__ import annotations

import numpy as np
import pytest

from nba_engine.models.recalibration import HALF_LIFE, SLOPE_MIN, Recalibration, families
from tests import shop
from tests.naive import recalibration as naive


def one_model(n_actions=1):
    return Recalibration(np.zeros(n_actions, np.int32), np.arange(n_actions, dtype=np.int32), 1, n_actions)


def expit(x):
    return 1.0 / (1.0 + np.exp(-x))


def log_loss(p, y):
    return -np.mean(y * np.log(p) + (1 - y) * np.log1p(-p))


def told(recalibration, actions, expected, rewards):
    """What is reported before each outcome, one after the other."""
    found = np.empty(len(rewards))
    for i in range(len(rewards)):
        one = slice(i, i + 1)
        p = expected[one].copy()
        recalibration.correct(actions[one], p)
        found[i] = p[0]
        recalibration.learn(actions[one], rewards[one], expected[one])
    return found


def outcomes(seed, n, logit, n_actions=1):
    """Actions int32[n], and answers float64[n] under these true logits."""
    rng = np.random.default_rng(seed)
    return rng.integers(n_actions, size=n).astype(np.int32), (rng.random(n) < expit(logit)).astype(float)


def test_nothing_is_corrected_before_the_first_outcome():
    p = np.array([0.0, 1e-9, 0.3, 1.0])
    again = p.copy()
    one_model().correct(np.zeros(4, np.int32), again)
    assert again.tolist() == p.tolist()


def test_it_is_its_slow_twin():
    rng, fast, slow = np.random.default_rng(1), one_model(3), naive.Recalibration()
    for i in range(300):
        action, p, reward = int(rng.integers(3)), float(expit(rng.normal(-1, 3))), float(rng.choice([0.0, 0.3, 1.0]))
        found = np.array([p])
        fast.correct(np.array([action], np.int32), found)
        assert found[0] == pytest.approx(slow.correct(action, p), abs=1e-12) or i == 0
        fast.learn(np.array([action], np.int32), np.array([reward]), np.array([p]))
        slow.learn(action, p, reward)


def test_rows_together_are_rows_one_by_one():
    rng = np.random.default_rng(2)
    actions, rewards, expected = rng.integers(4, size=200).astype(np.int32), (rng.random(200) < 0.2).astype(float), rng.random(200)
    together, single = one_model(4), one_model(4)
    together.learn(actions, rewards, expected)
    told(single, actions, expected, rewards)
    assert together.sums.tobytes() == single.sums.tobytes() and together.centres.tobytes() == single.centres.tobytes()


def test_predictions_that_are_too_far_apart_are_drawn_together():
    """Truth lies half as far from the mean as the model says, and a third lower in odds: both are found."""
    x = np.random.default_rng(3).normal(0, 1.5, 20_000)
    actions, rewards = outcomes(4, len(x), -2.4 + 0.5 * x)
    expected = expit(-2.0 + x)
    found = told(one_model(), actions, expected, rewards)
    last = slice(10_000, None)
    assert abs(np.mean(found[last]) - np.mean(rewards[last])) < 0.1 * np.mean(rewards[last])
    assert log_loss(found[last], rewards[last]) < log_loss(expected[last], rewards[last]) - 0.02
    assert log_loss(found[last], rewards[last]) < log_loss(expit(-2.4 + 0.5 * x)[last], rewards[last]) + 0.001


@pytest.mark.parametrize("rate", [0.002, 0.02, 0.2])
def test_predictions_that_are_right_are_left_almost_as_they_are(rate):
    """The loss grows by a hundredth at most, from 100 positives on."""
    logit = np.log(rate) + np.random.default_rng(5).normal(0, 1, 50_000)
    actions, rewards = outcomes(6, len(logit), logit, n_actions=50)
    expected = expit(logit)
    assert log_loss(told(one_model(50), actions, expected, rewards), rewards) < 1.01 * log_loss(expected, rewards)


def test_a_change_of_the_rate_is_followed():
    """By a model that does not follow it at all: what came before weighs an eighth after three half-lives."""
    true = np.where(np.arange(14_000) < 6_000, -2.0, -1.0)
    actions, rewards = outcomes(7, len(true), true)
    found = told(one_model(), actions, np.full(len(true), expit(-2.0)), rewards)
    assert found[6_000 + 3 * HALF_LIFE :].mean() == pytest.approx(expit(-1.0), rel=0.1)
    assert found[4_000:6_000].mean() == pytest.approx(expit(-2.0), rel=0.1)


def test_the_order_of_an_actions_propensities_is_kept_whatever_comes():
    """Answers that are the opposite of what was predicted turn nothing round."""
    rng = np.random.default_rng(8)
    expected, model = rng.random(3_000), one_model()
    model.learn(np.zeros(3_000, np.int32), (expected < 0.5).astype(float), expected)
    p = np.linspace(0.001, 0.999, 99)
    corrected = p.copy()
    model.correct(np.zeros(99, np.int32), corrected)
    assert np.all(np.diff(corrected) > 0) and np.all((corrected > 0) & (corrected < 1))
    assert np.ptp(np.log(corrected / (1 - corrected))) == pytest.approx((1 + SLOPE_MIN) * np.ptp(np.log(p / (1 - p))))


def test_each_model_has_a_correction_of_its_own_and_actions_keep_their_rates():
    """Two models, the second of which says double; and the first one's actions, 1 % and 40 %, are not drawn to each other."""
    family = families([np.array([0, 1], np.int32), np.array([2], np.int32)], 3)
    model, rng = Recalibration(family, np.arange(3, dtype=np.int32), 2, 3), np.random.default_rng(9)
    rate, said = np.array([0.01, 0.4, 0.1]), np.array([0.01, 0.4, 0.2])
    actions = rng.integers(3, size=30_000).astype(np.int32)
    model.learn(actions, (rng.random(30_000) < rate[actions]).astype(float), said[actions])
    found = said.copy()
    model.correct(np.arange(3, dtype=np.int32), found)
    assert found == pytest.approx(rate, rel=0.2)


def test_bounds_move_with_the_propensity():
    rng = np.random.default_rng(10)
    model, expected = one_model(), expit(rng.normal(-2, 1, 5_000))
    model.learn(np.zeros(5_000, np.int32), (rng.random(5_000) < expected / 2).astype(float), expected)
    p = np.array([0.2])
    model.correct(np.zeros(1, np.int32), p)
    low, high = model.moved(0, 0.2, (0.1, 0.4))
    assert low < p[0] < high and high < 0.4 and low < 0.1
    assert high / (1 - high) / (low / (1 - low)) == pytest.approx(0.4 / 0.6 / (0.1 / 0.9))
    assert model.moved(0, 0.2, (0.0, 1.0)) == (0.0, 1.0)


def taught(engine, n=60):
    for i in range(n):
        decision = engine.decide(f"customer {i}", facts={**shop.ADULT, "age": 20 + i % 40}, channel="call")
        for offer in decision.offers:
            engine.record(decision.id, "accepted" if i % 3 == 0 else "declined", action=offer.action)
    return engine


def test_an_engine_reports_corrected_propensities_and_ranks_by_the_models():
    engine = taught(shop.engine(catalog=shop.catalog(contact_policies=[])))
    state = engine._memory.state
    decision = engine.decide("somebody", facts=shop.ADULT, channel="call")
    offer = decision.offers[0]
    candidate = np.array([state.plan.candidate_of[offer.action, offer.treatment]], np.int32)
    row = state.plan.encoder.encode(shop.ADULT, engine._clock.now_us(), "call", "inbound")
    own = np.empty(1)
    state.beliefs.scorer.score(row, np.array([0, 1]), candidate, own, np.empty(1))
    corrected = own.copy()
    state.beliefs._recalibration.correct(candidate, corrected)
    assert offer.propensity == pytest.approx(corrected[0], rel=1e-3) and abs(offer.propensity - own[0]) > 1e-3
    low, high = engine.explain(decision.id).interval(offer.action, offer.treatment)
    assert low < offer.propensity < high


def test_a_restart_and_a_reload_report_the_same(tmp_path):
    catalog = shop.catalog(contact_policies=[], exploration={"kind": "greedy"})

    def asked(engine):
        return [(o.action, o.propensity) for o in engine.decide("somebody", facts=shop.ADULT, channel="call", limit=3).offers]
    with shop.engine(catalog=catalog, store=tmp_path, sync="os") as engine:
        before = asked(taught(engine))
        engine.reload(catalog)
        assert asked(engine) == before
    with shop.engine(catalog=catalog, store=tmp_path, sync="os") as again:
        assert asked(again) == before
