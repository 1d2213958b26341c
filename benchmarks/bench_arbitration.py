"""What it costs to turn 200 priorities into a slate, and how exact the probabilities are.

Run: `pytest benchmarks/bench_arbitration.py --benchmark-only`. Times are of one thread, arrays in, arrays out; the models before and the record after
are not in them. `extra_info.total_variation` is the distance from dense quadrature, asserted below .01.
Beside it: quadrature on nodes that do not adapt, the naive twin, and what a user would pick instead, 1,000 Thompson draws in numpy.
Where this loses: with a handful of candidates a single Thompson draw without a probability is cheaper than any of these,
and posteriors of widths many decades apart cost two to three times as much as those that are alike.
"""

from __future__ import annotations

import math

import numba
import numpy as np
import pytest

from nba_engine.arbitration.drawing import draw
from nba_engine.arbitration.exploration import KIND_CODES, Exploration
from nba_engine.arbitration.priority import _fill_priority
from nba_engine.arbitration.slates import fill_slate, pmf
from nba_engine.arbitration.winning import win_probability
from tests.naive import arbitration as naive

N = 200


def worlds():
    r = np.random.default_rng(1)
    mean, deviation = r.normal(size=N) * 0.5, r.uniform(0.5, 1.5, N)
    one_wide = np.where(np.arange(N) == 7, 1.0, 1e-3)
    return {
        "all-200-contend": (mean, deviation),
        "64-contend": (np.where(np.arange(N) < 64, mean, -20.0), deviation),
        "20-contend": (np.where(np.arange(N) < 20, mean, -20.0), deviation),
        "one-wide-among-199": (mean * 1e-3, one_wide),
    }


WORLDS = worlds()


def total_variation(p, name):
    return 0.5 * float(np.abs(p - naive.win_probability(*WORLDS[name])).sum())


@pytest.mark.parametrize("name", WORLDS)
def test_win_probability(benchmark, name):
    p = benchmark(win_probability, *WORLDS[name])
    benchmark.extra_info["total_variation"] = total_variation(p, name)
    assert benchmark.extra_info["total_variation"] < 0.01


@pytest.mark.parametrize("name", WORLDS)
def test_monte_carlo_thompson_in_numpy(benchmark, name):
    mean, deviation = WORLDS[name]
    r = np.random.default_rng(0)

    def monte_carlo():
        return np.bincount((mean + deviation * r.standard_normal((1000, N))).argmax(axis=1), minlength=N) / 1000

    benchmark.extra_info["total_variation"] = total_variation(benchmark(monte_carlo), name)


@pytest.mark.parametrize("n_nodes", [24, 48])
@pytest.mark.parametrize("fill", ["densities", "increments"])
@pytest.mark.parametrize("name", WORLDS)
def test_fixed_nodes(benchmark, name, fill, n_nodes):
    p = np.empty(N)
    benchmark({"densities": fill_by_densities, "increments": fill_by_increments}[fill], *WORLDS[name], n_nodes, p)
    benchmark.extra_info["total_variation"] = total_variation(p, name)


@numba.njit(nogil=True, error_model="numpy")
def fill_by_densities(mean, deviation, n_nodes, p):
    """Sum over evenly spaced nodes of G(x) * f_i(x) / F_i(x), normalised."""
    lowest, highest = (mean - 5 * deviation).max(), (mean + 5 * deviation).max()
    p[:] = 0.0
    for k in range(n_nodes):
        z = (lowest + (highest - lowest) * k / (n_nodes - 1) - mean) / deviation
        cdf = np.array([max(0.5 * math.erfc(-z_i * math.sqrt(0.5)), 1e-300) for z_i in z])
        p += np.exp(np.log(cdf).sum() - 0.5 * z * z) / (deviation * cdf)
    p /= p.sum()


@numba.njit(nogil=True, error_model="numpy")
def fill_by_increments(mean, deviation, n_nodes, p):
    """The same cells as `winning.py`, first order, on evenly spaced nodes."""
    lowest, highest = (mean - 5 * deviation).max(), (mean + 5 * deviation).max()
    before = np.full(mean.size, -np.inf)
    p[:] = 0.0
    for k in range(n_nodes):
        z = (lowest + (highest - lowest) * k / (n_nodes - 1) - mean) / deviation
        log_f = np.array([math.log(max(0.5 * math.erfc(-z_i * math.sqrt(0.5)), 1e-300)) for z_i in z])
        rise = (log_f - before).sum()
        if k > 0 and rise > 1e-9:
            p += (math.exp(log_f.sum()) - math.exp(before.sum())) * (log_f - before) / rise
        before = log_f
    p /= p.sum()


@pytest.mark.parametrize("mix", ["few widths and ties", "three decades", "log-normal widths"])
def test_error_over_random_mixes(benchmark, mix):
    """Total variation over 300 mixes of 2 to 29 candidates; `extra_info` holds mean and largest, the time is that of all 300."""
    r = np.random.default_rng(5)
    draws = {
        "few widths and ties": lambda n: (r.choice([0, 0, 1, -1, 1e6, 1e-12], n), r.choice([0, 1e-12, 1e-6, 1e-3, 1, 1e6], n)),
        "three decades": lambda n: (np.where(r.random(n) < 0.5, r.uniform(-5, 5, n), r.choice([0.0, 1.0], n)), 10 ** r.uniform(-3, 1, n)),
        "log-normal widths": lambda n: (r.normal(size=n) * 10 ** r.uniform(-3, 0), 10 ** (r.normal(size=n) * r.uniform(0, 2))),
    }
    batches = [draws[mix](int(r.integers(2, 30))) for _ in range(300)]
    found = benchmark(lambda: [win_probability(m, s) for m, s in batches])
    errors = [0.5 * np.abs(p - naive.win_probability(m, s)).sum() for p, (m, s) in zip(found, batches, strict=True)]
    benchmark.extra_info.update(mean=float(np.mean(errors)), largest=float(np.max(errors)))
    assert np.max(errors) < 0.01


def test_naive_win_probability(benchmark):
    benchmark.pedantic(naive.win_probability, WORLDS["all-200-contend"], rounds=2)


@pytest.mark.parametrize("limit", [1, 3, 1000])
@pytest.mark.parametrize("name", WORLDS)
def test_slate_thompson(benchmark, name, limit):
    benchmark(fill_slate, Exploration(), *slate_arguments(*WORLDS[name]), limit)


@pytest.mark.parametrize("kind", KIND_CODES)
def test_slate_of_three(benchmark, kind):
    benchmark(fill_slate, Exploration(KIND_CODES[kind]), *slate_arguments(*WORLDS["all-200-contend"]), 3)


@pytest.mark.parametrize("kind", KIND_CODES)
def test_pmf_of_one_slot(benchmark, kind):
    mean, deviation = WORLDS["all-200-contend"]
    benchmark(pmf, Exploration(KIND_CODES[kind]), mean, deviation, np.ones(N, np.uint8), -1)


def test_draw(benchmark):
    candidates = np.arange(N, dtype=np.int32)
    keys = np.random.default_rng(2).integers(0, 2**64, (2, N), dtype=np.uint64)
    benchmark(draw, np.full(N, 1 / N), candidates, candidates, keys, np.uint64(1), 0, np.ones(N, np.uint8))


def test_priorities(benchmark):
    random = np.random.default_rng(0)
    propensity, deviation, terms = random.random(N), random.random(N), random.random((N, 4))
    found = np.empty(N), np.empty(N), np.empty(N, np.uint8), np.empty(N, np.uint8)
    benchmark(_fill_priority, np.arange(N, dtype=np.int32), np.ones(N, np.uint8), propensity, deviation, terms, 0.3, -1, *found)


def slate_arguments(mean, deviation):
    keys = np.random.default_rng(2).integers(0, 2**64, N, dtype=np.uint64)
    return mean, deviation, np.arange(N, dtype=np.int32), np.ones(N, np.uint8), -1, 12345, keys, keys
