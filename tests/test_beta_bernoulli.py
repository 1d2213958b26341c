"""Beta-Bernoulli by hand, by scipy, and against its naive twin."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import beta

from nba_engine.models.beta_bernoulli import BetaBernoulli
from nba_engine.models.contract import carried
from nba_engine.models.rates import BASE_RATE, RELATIVES_STRENGTH, STRENGTH
from tests.naive import beta_bernoulli as naive

PATHS = np.array([[0, 1, 2, 3, -1], [0, 1, 2, 4, -1], [0, 1, 5, 6, 7], [0, -1, -1, 8, -1]], dtype=np.int32)
NOTHING = np.zeros(1, dtype=np.int32), np.zeros(1), 1


def learned(outcomes, paths=PATHS):
    model = BetaBernoulli(1, paths, 9)
    for candidate, reward in outcomes:
        model.update(*NOTHING, candidate, reward)
    mean, deviation = np.zeros(len(paths)), np.zeros(len(paths))
    index, value, n_active = NOTHING
    candidates, offsets = np.arange(len(paths), dtype=np.int32), np.array([0, len(paths)])
    model.score(model.scratch(1), index[None], value[None], np.array([n_active]), offsets, candidates, mean, deviation)
    return model, mean, deviation


def test_one_level_is_the_textbook_posterior():
    _, mean, deviation = learned([(0, 1.0)] * 3 + [(0, 0.0)] * 7, PATHS[3:] * 0 + np.array([0, -1, -1, -1, -1], dtype=np.int32))
    exact = beta(STRENGTH * BASE_RATE + 3, STRENGTH * (1 - BASE_RATE) + 7)
    assert mean[0] == pytest.approx(exact.mean())
    assert deviation[0] == pytest.approx(exact.std())


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 3), st.sampled_from([0.0, 0.5, 1.0])), max_size=20))
def test_score_and_update_equal_their_twin(outcomes):
    _, mean, deviation = learned(outcomes)
    paths = [[e for e in path if e >= 0] for path in PATHS.tolist()]
    for candidate in range(len(PATHS)):
        expected = naive.propensity(paths, outcomes, candidate, BASE_RATE, STRENGTH, RELATIVES_STRENGTH)
        assert (mean[candidate], deviation[candidate]) == pytest.approx(expected, rel=1e-9)


def test_counts_are_carried_by_name():
    model, _, _ = learned([(0, 1.0), (2, 0.0)])
    sums = carried(model.state(), model.axes, [], list("gijabkcts"), [], list("xgkb"))["sums"]
    assert sums.tolist() == [[0, 0], [2 << 24, 1 << 24], [1 << 24, 0], [0, 0]]


def test_a_new_action_starts_from_its_relatives_and_nobody_from_himself():
    _, mean, _ = learned([(0, 1.0)] * 20)
    group = (20 + RELATIVES_STRENGTH * BASE_RATE) / (20 + RELATIVES_STRENGTH)
    assert mean[1] == pytest.approx(group)  # of the same group
    assert mean[0] == pytest.approx((20 + STRENGTH * BASE_RATE) / (20 + STRENGTH))  # has no relative that was ever shown
