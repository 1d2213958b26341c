"""P(best) against dense quadrature, Monte-Carlo, cases by hand, and its laws."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nba_engine.arbitration.winning import Winning, win_probability
from tests.naive import arbitration as naive


def total_variation(p, q):
    return 0.5 * np.abs(np.asarray(p) - np.asarray(q)).sum()


def worlds(n=200):
    """(name, mean, deviation): alike and unlike widths, point masses, scales from 1e-12 to 1e6."""
    r = np.random.default_rng(1)
    alike = r.uniform(0.5, 1.5, n)
    narrow = np.full(n, 1e-3)
    narrow[7] = 1.0
    with_points = np.where(np.arange(n) % 3 == 0, 0.0, alike)
    most_below = np.where(np.arange(n) < 64, r.normal(size=n) * 0.5, -20.0)
    chance, worth = r.beta(2, 30, n), r.lognormal(3, 1, n)
    yield "equal", np.zeros(n), np.ones(n)
    yield "all contend", r.normal(size=n) * 0.5, alike
    yield "64 contend", most_below, alike
    yield "one wide, same mean", np.zeros(n), narrow
    yield "one wide, means apart", r.normal(size=n) * 1e-3, narrow
    yield "one wide, far below", np.where(narrow > 0.5, -1.0, 0.0), narrow
    yield "one wide by 1e6", np.full(n, 0.3), np.where(narrow > 0.5, 1.0, 1e-6)
    yield "one wide by 1e18", np.full(n, 0.3), np.where(narrow > 0.5, 1e6, 1e-12)
    yield "widths over 3 decades", r.normal(size=n), np.exp(r.normal(size=n) * 3)
    yield "widths over 14 decades", r.normal(size=n) * 1e-2, 10 ** r.uniform(-12, 2, n)
    yield "point masses below", r.normal(size=n), with_points
    yield "point masses between", np.where(with_points == 0, 2.0, r.normal(size=n) * 0.1), with_points
    yield "point masses on top", np.where(with_points == 0, 5.0, 0.0), with_points
    yield "worth varies", chance * worth, 0.09 * chance * worth
    yield "narrow at 1e6", np.full(3, 1e6), np.full(3, 1e-12)
    for k in range(3):
        yield f"mixed {k}", r.normal(size=n) * 10 ** r.uniform(-2, 1), 10 ** (r.normal(size=n) * r.uniform(0, 1.5))


@pytest.mark.parametrize("name, mean, deviation", list(worlds()), ids=lambda x: x if isinstance(x, str) else "")
def test_every_world_within_five_thousandths_of_dense_quadrature(name, mean, deviation):
    assert total_variation(win_probability(mean, deviation), naive.win_probability(mean, deviation)) < 0.005


def test_mean_error_over_worlds_below_one_thousandth():
    errors = [total_variation(win_probability(m, s), naive.win_probability(m, s)) for _, m, s in worlds(60)]
    assert np.mean(errors) < 0.001


def test_two_candidates_by_hand():
    # A - B is N(1, 5^2), so P(A best) = Phi(0.2) = 0.5792597.
    p = win_probability(np.array([2.0, 1.0]), np.array([3.0, 4.0]))
    assert p == pytest.approx([0.5792597, 0.4207403], abs=2e-4)


def test_gaussian_against_a_point_mass_by_hand():
    # P(N(0, 1) > 1) = 0.1586553; the point mass at 1 wins the rest, shared by two that tie.
    p = win_probability(np.array([0.0, 1.0, 1.0, 0.5]), np.array([1.0, 0.0, 0.0, 0.0]))
    assert p == pytest.approx([0.1586553, 0.42067235, 0.42067235, 0.0], abs=2e-4)


def test_point_masses_alone_tie_exactly():
    assert win_probability(np.array([3.0, 1.0, 3.0]), np.zeros(3)).tolist() == [0.5, 0.0, 0.5]


def test_none_and_one():
    assert win_probability(np.empty(0), np.empty(0)).tolist() == []
    assert win_probability(np.array([-4.0]), np.array([2.0])).tolist() == [1.0]
    assert win_probability(np.array([-4.0]), np.array([0.0])).tolist() == [1.0]


def test_monte_carlo_agrees():
    r = np.random.default_rng(3)
    mean, deviation = r.normal(size=30), 10 ** r.uniform(-2, 1, 30)
    n_draws = 400_000
    wins = np.bincount((mean + deviation * r.standard_normal((n_draws, 30))).argmax(axis=1), minlength=30) / n_draws
    p = win_probability(mean, deviation)
    assert np.all(np.abs(wins - p) < 5 * np.sqrt(np.maximum(p, 1e-6) / n_draws) + 0.002)


means = st.one_of(st.floats(-5, 5), st.sampled_from([0.0, 1.0, -1e6, 1e6, 1e-12]))
deviations = st.one_of(st.floats(1e-3, 10), st.sampled_from([0.0, 1e-12, 1e-6, 1.0, 1e6]))
candidates = st.lists(st.tuples(means, deviations), min_size=1, max_size=40)


@settings(max_examples=300, deadline=None)
@given(candidates)
def test_twin(batch):
    mean, deviation = np.array(batch, float).T.copy()
    p = win_probability(mean, deviation)
    assert abs(p.sum() - 1) < 1e-12 and p.min() >= 0
    assert total_variation(p, naive.win_probability(mean, deviation)) < 0.01


@settings(max_examples=100, deadline=None)
@given(candidates, st.randoms(use_true_random=False))
def test_permuting_candidates_permutes_p(batch, random):
    order = list(range(len(batch)))
    random.shuffle(order)
    mean, deviation = np.array(batch, float).T.copy()
    # Sums of float32 in another order move nodes: by an eighth of what they may be off by, at most.
    assert win_probability(mean[order], deviation[order]) == pytest.approx(win_probability(mean, deviation)[order], abs=1e-3)


@settings(max_examples=100, deadline=None)
@given(candidates)
def test_an_impossible_candidate_changes_nothing(batch):
    mean, deviation = np.array(batch, float).T.copy()
    lowest = (mean - 10 * deviation).min() - 1
    p = win_probability(mean, deviation)
    more = win_probability(np.append(mean, lowest), np.append(deviation, 1e-3))
    assert more[-1] == 0.0
    assert more[:-1].tolist() == p.tolist()


@settings(max_examples=100, deadline=None)
@given(candidates, st.floats(1e-3, 1e3))
def test_the_unit_of_money_does_not_matter(batch, unit):
    mean, deviation = np.array(batch, float).T.copy()
    assert total_variation(win_probability(mean * unit, deviation * unit), win_probability(mean, deviation)) < 0.01


@pytest.mark.parametrize("name, mean, deviation", list(worlds(40)), ids=lambda x: x if isinstance(x, str) else "")
def test_slots_on_kept_nodes_equal_slots_from_scratch(name, mean, deviation):
    """Removing the best again and again, down to none: the kept table stays within .01 of the exact law of what remains."""
    n = mean.size
    winning, remains, p = Winning(n), np.ones(n, np.uint8), np.empty(n)
    for _ in range(n):
        winning.fill(mean, deviation, remains, p)
        left = np.flatnonzero(remains)
        assert abs(p.sum() - 1) < 1e-12 and np.all(p[remains == 0] == 0)
        assert total_variation(p[left], naive.win_probability(mean[left], deviation[left])) < 0.01
        remains[p.argmax()] = 0
    winning.fill(mean, deviation, remains, p)
    assert p.sum() == 0
