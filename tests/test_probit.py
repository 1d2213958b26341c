"""Probit by hand, by scipy, and against its naive twin."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate
from scipy.stats import norm

from nba_engine.models.contract import carried
from nba_engine.models.posterior import SCALE
from nba_engine.models.probit import Prior, Probit
from nba_engine.numerics.normal import fast_log_cdf, table_cdf, table_pdf
from tests.naive.probit import NaiveProbit, moments

PATHS = np.array([[0, 1, 2, 3, -1], [0, 1, 2, 4, -1], [0, 1, 5, 6, 7]], dtype=np.int32)
N_ENTITIES = 9
ONE = np.array([[0, -1, -1, -1, -1]], dtype=np.int32)


def model_of_one(variance, mean=0.0):
    """One coefficient (the bias) of one entity."""
    return Probit(1, ONE, 1, Prior(bias_mean=mean, bias_variance=variance))


def scored(model, features, candidates):
    index = np.array([f for f, _ in features], dtype=np.int32)
    value = np.array([x for _, x in features])
    mean, deviation = np.zeros(len(candidates)), np.zeros(len(candidates))
    offsets, candidates = np.array([0, len(candidates)]), np.array(candidates, dtype=np.int32)
    model.score(model.scratch(1), index[None], value[None], np.array([len(features)]), offsets, candidates, mean, deviation)
    return mean, deviation


def update(model, features, candidate, reward):
    index = np.array([f for f, _ in features], dtype=np.int32)
    return model.update(index, np.array([x for _, x in features]), len(features), candidate, reward)


def test_one_belief_by_hand():
    mean, deviation = scored(model_of_one(3.0), [(0, 1.0)], [0])
    assert mean[0] == 0.5  # Phi(0)
    assert deviation[0] == pytest.approx(np.sqrt(np.arcsin(3.0 / 4.0) / (2.0 * np.pi)), rel=1e-3)  # Sheppard: both of two normals below 0


@pytest.mark.parametrize("mean, variance, x", [(0.0, 1.0, 1.0), (-1.5, 0.5, 2.0), (0.7, 2.0, -1.0)])
def test_one_update_has_the_moments_of_the_exact_posterior(mean, variance, x):
    model = model_of_one(variance, mean)
    update(model, [(0, x)], 0, 1.0)
    sums = model.state()["sums"][0, 0] / SCALE
    precision = 1.0 / variance + sums[0]
    found = (mean / variance + sums[1]) / precision, 1.0 / precision
    moments = [integrate.quad(lambda w, k=k: w**k * norm.cdf(w * x) * norm.pdf(w, mean, np.sqrt(variance)), -15, 15)[0] for k in range(3)]
    exact = moments[1] / moments[0]
    assert found == pytest.approx((exact, moments[2] / moments[0] - exact**2), rel=1e-5)


def test_the_base_rate_is_learned_first():
    model = Probit(5, PATHS, N_ENTITIES)
    features = [(0, 1.0), (1, 1.0), (2, 0.5)]
    rng = np.random.default_rng(1)
    for _ in range(100):
        update(model, features, int(rng.integers(3)), float(rng.random() < 0.05))
    assert np.all(scored(model, features, [0, 1, 2])[0] < 0.12)


@settings(max_examples=100, deadline=None)
@given(st.floats(-4, 4), st.floats(1e-4, 10.0))
def test_deviation_is_that_of_the_propensity_however_wide_the_belief(t, variance):
    mean = min(max(t * np.sqrt(1.0 + variance), -7.9), 7.9)  # means are read within +/- 8, in units of 2**-12
    expected = moments(mean, variance)
    found = scored(model_of_one(variance, mean), [(0, 1.0)], [0])
    assert found[0] == pytest.approx(expected[0], abs=2e-4)
    assert found[1] == pytest.approx(expected[1], rel=0.03)


def test_deviation_is_that_of_what_is_drawn_where_beliefs_are_narrow():
    model = Probit(3, PATHS, N_ENTITIES, Prior(variance=0.01, offset_variance=0.01, bias_mean=-1.0, bias_variance=0.01))
    mean, deviation = scored(model, [(0, 1.0), (1, 1.0)], [0])
    rng = np.random.default_rng(0)
    s = np.sqrt(0.01 + 0.01 * 0.98 + 0.01)  # global bias, the bias of the other levels, feature 1 at all levels
    drawn = norm.cdf(-1.0 + s * rng.normal(size=200_000))
    assert mean[0] == pytest.approx(drawn.mean(), rel=0.01)
    assert deviation[0] == pytest.approx(drawn.std(), rel=0.01)


def test_paths_of_any_depth_have_the_same_prior_total():
    model = Probit(3, np.array([[0, 1, 2, 3, 4], [0, -1, -1, 5, -1], [0, 1, -1, 6, -1]], dtype=np.int32), 7)
    _, deviation = scored(model, [(0, 1.0), (1, 1.0), (2, -0.5)], [0, 1, 2])
    assert deviation == pytest.approx([deviation[0]] * 3, rel=1e-5)


ROWS = st.lists(st.tuples(st.integers(1, 5), st.floats(-3, 3)), max_size=5, unique_by=lambda pair: pair[0])


@settings(max_examples=80, deadline=None)
@given(st.lists(st.tuples(ROWS, st.integers(0, 2), st.sampled_from([0.0, 0.3, 1.0])), max_size=6))
def test_score_update_and_take_back_equal_their_twin(outcomes):
    model = Probit(6, PATHS, N_ENTITIES)
    naive = NaiveProbit(lambda f, e: naive_prior(f, e), [[e for e in path if e >= 0] for path in PATHS.tolist()])
    for rest, candidate, reward in outcomes:
        features = [(0, 1.0), *rest]
        expected = [naive.propensity(features, c) for c in range(3)]
        mean, deviation = scored(model, features, [0, 1, 2])
        # Scoring reads means rounded to 2**-12: up to 6 features x 4 levels x half a unit x |3|, times the density.
        assert mean == pytest.approx([m for m, _ in expected], abs=1.5e-3)
        assert deviation == pytest.approx([d for _, d in expected], abs=1.5e-3)
        steps = naive.update(features, candidate, reward)
        receipt = update(model, features, candidate, reward)
        for i, feature in enumerate(receipt.index.tolist()):
            for level, entity in enumerate(receipt.entities.tolist()):
                found = receipt.deltas[[0, 1 + level], i] / SCALE
                assert found == pytest.approx(np.array(steps[feature, entity]) / SCALE, abs=2e-5)


def naive_prior(feature, entity):
    """Precision and precision * mean under the default prior, from its definition."""
    prior = Prior()
    share = {0: 0, 1: 1, 2: 2, 5: 2, 3: None, 4: None, 6: 3, 7: 4}[entity]
    if feature == 0 and entity == 0:
        return 1.0 / prior.bias_variance, prior.bias_mean / prior.bias_variance
    variance = prior.offset_variance if feature == 0 else prior.variance
    return 1.0 / (variance * (sum(prior.shares[3:]) if share is None else prior.shares[share])), 0.0


def test_far_from_the_truth_nothing_overflows():
    model = Probit(2, ONE, 1, Prior(variance=0.1, bias_mean=-60.0, bias_variance=0.001))
    features = [(0, 1.0), (1, 100.0)]
    for reward in (1.0, 0.0) * 50:
        update(model, features, 0, reward)
        mean, deviation = scored(model, features, [0])
        assert np.isfinite(mean[0])
        assert np.isfinite(deviation[0])


def test_beliefs_are_carried_by_name():
    old = Probit(3, PATHS, N_ENTITIES)
    for candidate in (0, 1, 2, 2):
        update(old, [(0, 1.0), (1, 1.0), (2, 0.5)], candidate, 1.0)
    old_features, old_entities = ["bias", "age", "plan"], list("gijabkcts")
    new_features, new_entities = ["bias", "plan", "new"], list("gxbac")
    sums, was = carried(old.state(), old.axes, old_features, old_entities, new_features, new_entities)["sums"], old.state()["sums"]
    for f, feature in enumerate(new_features):
        for e, entity in enumerate(new_entities):
            known = feature in old_features and entity in old_entities
            expected = was[old_entities.index(entity), old_features.index(feature)] if known else [0, 0]
            assert sums[e, f].tolist() == list(expected)


def test_an_action_that_leaves_and_comes_back_keeps_its_beliefs():
    model = Probit(2, PATHS, N_ENTITIES)
    update(model, [(0, 1.0), (1, 1.0)], 2, 1.0)
    names, features = list("gijabkcts"), ["bias", "age"]
    away = carried(model.state(), model.axes, features, names, features, [*"gijab", *"kcts"])
    back = carried(away, model.axes, features, [*"gijab", *"kcts"], features, names)
    assert np.array_equal(back["sums"], model.state()["sums"])


def test_an_entity_scores_the_same_in_a_column_of_its_own():
    fresh, taught = Probit(6, PATHS, N_ENTITIES), Probit(6, PATHS, N_ENTITIES)
    features = [(0, 1.0), (1, 0.3), (2, -2.0), (3, 1.0), (4, 0.7), (5, 0.1)]
    taught.take_back(update(taught, features, 2, 1.0))
    for one, other in zip(scored(fresh, features, [0, 1, 2]), scored(taught, features, [0, 1, 2]), strict=True):
        assert one.tolist() == other.tolist()


def test_more_candidates_than_entities_score_alike():
    """Candidates are taken as many at a time as there are columns for entities, here two."""
    model = Probit(1, np.repeat(ONE, 25, axis=0), 1, Prior(bias_mean=0.3, bias_variance=0.5))
    mean, deviation = scored(model, [(0, 1.0)], list(range(25)))
    assert np.unique(mean).tolist() == pytest.approx([norm.cdf(0.3 / np.sqrt(1.5))], rel=1e-3)
    assert len(np.unique(deviation)) == 1


def test_the_tables_of_the_normal_distribution():
    x = np.linspace(-8.0, 8.0, 10_001)
    assert np.array([table_cdf(v) for v in x]) == pytest.approx(norm.cdf(x), rel=3e-7, abs=0)
    assert np.array([table_pdf(v) for v in x]) == pytest.approx(norm.pdf(x), rel=1e-5, abs=0)
    assert [table_cdf(v) for v in (-np.inf, np.nan, np.inf)] == pytest.approx([norm.cdf(-8.0), norm.cdf(-8.0), norm.cdf(8.0)], rel=3e-7)


def test_the_polynomial_of_the_log_of_the_normal_distribution():
    x = np.linspace(-5.0, 5.0, 20_001, dtype=np.float32)
    found = np.array([fast_log_cdf(v) for v in x])
    assert found == pytest.approx(norm.logcdf(x.astype(float)), rel=3e-4, abs=0)
    assert np.all(np.diff(found[::20]) > 0)  # of two that differ by .01 the greater is never the less likely
    ends = [fast_log_cdf(np.float32(v)) for v in (-np.inf, np.nan, np.inf)]
    assert ends == [found[0], found[0], found[-1]]


def test_columns_are_told_apart_beyond_16_bits():
    n_actions = 2**15 + 2
    paths = np.full((n_actions, 5), -1, dtype=np.int32)
    paths[:, 3] = np.arange(n_actions)
    model = Probit(2, paths, n_actions)
    for candidate in range(n_actions):
        update(model, [(0, 1.0)], candidate, float(candidate == n_actions - 1))
    mean, _ = scored(model, [(0, 1.0)], [0, 2**15, n_actions - 1])
    assert mean[0] == mean[1] < 0.5 < mean[2]
