"""Full covariance: against the slow twin, by hand, and what it costs in bytes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import ndtri

from nba_engine.models.gaussian import _fill_inverse, bytes_needed
from nba_engine.models.linear import LEAST, Linear
from nba_engine.models.probit_full import FullProbit
from nba_engine.models.rates import BASE_RATE
from tests.naive.gaussian import NaiveGaussian
from tests.naive.probit import moments

PATHS = np.array([[0, -1, -1, 1, -1]], dtype=np.int32)
D = 5


def dense(features):
    x = np.zeros(D)
    for feature, value in features:
        x[feature] = value
    return x


def as_row(features):
    index, value = np.zeros(D, np.int32), np.zeros(D)
    index[: len(features)], value[: len(features)] = zip(*features, strict=True)
    return index, value, len(features)


def scored(model, features):
    index, value, n_active = as_row(features)
    mean, deviation = np.empty((2, 1))
    model.score(model.scratch(1), index[None], value[None], np.array([n_active]), np.array([0, 1]), np.zeros(1, np.int32), mean, deviation)
    return float(mean[0]), float(deviation[0])


def twin_of(model, bias_mean):
    variances = np.full(D, model.variance)
    variances[0] = model.bias_variance
    return NaiveGaussian(variances, bias_mean)


ROWS = st.lists(st.tuples(st.integers(1, D - 1), st.floats(-2, 2)), max_size=4, unique_by=lambda pair: pair[0])
OUTCOMES = st.lists(st.tuples(ROWS, st.booleans()), max_size=12)


@settings(max_examples=60, deadline=None)
@given(OUTCOMES)
def test_ridge_regression_equals_its_twin(outcomes):
    model = Linear(D, PATHS, 2)
    naive, noise = twin_of(model, BASE_RATE), BASE_RATE * (1.0 - BASE_RATE)
    for rest, positive in outcomes:
        features = [(0, 1.0), *rest]
        mean, variance = naive.eta(dense(features))
        p = min(max(mean, LEAST), 1.0 - LEAST)
        assert scored(model, features) == pytest.approx((p, min(noise * variance, p * (1.0 - p)) ** 0.5), abs=1e-3)
        naive.learn_line(dense(features), float(positive))
        model.update(*as_row(features), 0, float(positive))


@settings(max_examples=60, deadline=None)
@given(OUTCOMES)
def test_probit_equals_its_twin(outcomes):
    model = FullProbit(D, PATHS, 2)
    naive = twin_of(model, ndtri(BASE_RATE) * (1.0 + model.bias_variance) ** 0.5)
    for rest, positive in outcomes:
        features = [(0, 1.0), *rest]
        mean, variance = naive.eta(dense(features))
        assert scored(model, features) == pytest.approx(moments(mean, variance), abs=1e-4)
        naive.learn_probit(dense(features), positive)
        model.update(*as_row(features), 0, float(positive))


def test_one_coefficient_by_hand():
    """Ridge regression of a constant: four outcomes, two positives, prior mean .1 with the weight of 1 / variance = 1 outcome."""
    model = Linear(1, PATHS, 2)
    for reward in (1.0, 0.0, 1.0, 0.0):
        model.update(np.zeros(1, np.int32), np.ones(1), 1, 0, reward)
    mean, deviation = np.empty((2, 1))
    nothing, one = np.zeros((1, 1), np.int32), np.ones((1, 1))
    model.score(model.scratch(1), nothing, one, np.ones(1, np.int64), np.array([0, 1]), nothing[0], mean, deviation)
    assert mean[0] == pytest.approx((2.0 + 0.1) / 5.0)
    assert deviation[0] == pytest.approx((0.09 / 5.0) ** 0.5)


def test_correlated_features_are_told_apart():
    """Two features that are always met together share what they learn; the one met alone afterwards is known at once to be the cause."""
    model = Linear(3, PATHS, 2)
    met = {"both": [0, 1, 2], "first": [0, 1], "second": [0, 2]}
    rows = {name: (np.array(index, np.int32), np.ones(3), len(index)) for name, index in met.items()}
    for _ in range(200):
        model.update(*rows["both"], 0, 0.8)
        model.update(*rows["first"], 0, 0.2)
    second = np.empty(1)
    index, value, n_active = rows["second"]
    scratch = model.scratch(1)
    model.score(scratch, index[None], value[None], np.array([n_active]), np.array([0, 1]), np.zeros(1, np.int32), second, np.empty(1))
    assert second[0] > 0.5


@pytest.mark.parametrize("n", [1, 2, 7, 40])
def test_the_inverse_is_one(n):
    rows = np.random.default_rng(n).normal(size=(2 * n, n))
    matrix = np.eye(n) + rows.T @ rows
    inverse = np.tril(matrix)
    _fill_inverse(inverse, np.empty(n))
    assert inverse @ matrix == pytest.approx(np.eye(n), abs=1e-9)
    assert np.array_equal(inverse, inverse.T)


def test_what_it_costs_in_bytes_is_what_is_said():
    model = Linear(50, np.array([[0, -1, -1, 1, -1], [0, -1, -1, 2, -1]], np.int32), 3)
    assert model.nbytes == pytest.approx(bytes_needed(2, 50), rel=0.05)
