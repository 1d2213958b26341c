"""What scoring and learning cost, at 100 active features of 1,500 and 1,000 actions in 20 groups.

`python -m pytest benchmarks/bench_models.py`. The numbers: one call of the public method, compiled, rows alternating so that the table is read
from the second-level cache or beyond, as in a mixed stream. `hot` repeats one row. The naive twin and the numpy a user would write instead
stand beside it, on the same beliefs. Where it loses: scoring reads the rows of all entities, so at 10,000 actions of which few survive the
rules it does work for nothing (gathering only the survivors was slower at 200 of 1,000: scattered reads do not vectorise).
"""

from __future__ import annotations

import itertools
import time

import numpy as np
import pytest

from nba_engine.facts.columns import Column
from nba_engine.facts.features import Features
from nba_engine.models.beta_bernoulli import BetaBernoulli
from nba_engine.models.probit import Probit
from nba_engine.schema import BOOL, DOUBLE, INT, STRING, TIMESTAMP, Fact
from tests.naive.probit import NaiveProbit

N_FEATURES, N_ACTIVE, N_ACTIONS, N_GROUPS, N_SURVIVORS = 1500, 100, 1000, 20, 200


def paths():
    action = np.arange(N_ACTIONS)
    return np.stack([action * 0, action * 0 + 1, 2 + action % N_GROUPS, 2 + N_GROUPS + action, action * 0 - 1], axis=1).astype(np.int32)


def rows(n=64):
    rng = np.random.default_rng(0)
    for _ in range(n):
        index = np.sort(rng.choice(np.arange(1, N_FEATURES), N_ACTIVE - 1, replace=False))
        yield np.concatenate([[0], index]).astype(np.int32), rng.normal(size=N_ACTIVE)


def taught_by_untaught(n: int = 300) -> float:
    """Least time to score 200 actions when all 1,000 are taught, by that when none is: six to eight where the walk is SIMD; some twenty where it
    is not, as reckoned from what was measured before. (Three and twelve before siblings that nothing has told apart were worked out once, which
    only helps where none is taught.)"""
    index, value = next(rows(1))
    least = []
    for n_taught in (N_ACTIONS, 0):
        made = Probit(N_FEATURES, paths(), 2 + N_GROUPS + N_ACTIONS)
        for candidate in range(n_taught):
            made.update(index, value, N_ACTIVE, candidate, float(candidate % 3 == 0))
        candidates, out, times = np.arange(0, N_ACTIONS, N_ACTIONS // N_SURVIVORS, dtype=np.int32), np.zeros((2, N_SURVIVORS)), list[int]()
        scratch, n_active, offsets = made.scratch(1), np.array([N_ACTIVE]), np.array([0, N_SURVIVORS])
        for _ in range(n):
            started = time.perf_counter_ns()
            made.score(scratch, index[None], value[None], n_active, offsets, candidates, out[0], out[1])
            times.append(time.perf_counter_ns() - started)
        least.append(min(times))
    return least[0] / least[1]


@pytest.fixture(params=[Probit, BetaBernoulli])
def model(request):
    made = request.param(N_FEATURES, paths(), 2 + N_GROUPS + N_ACTIONS)
    for k, (index, value) in enumerate(rows()):
        made.update(index, value, N_ACTIVE, k, float(k % 3 == 0))
    return made


@pytest.mark.parametrize("n_rows", [1, 64], ids=["hot", "mixed"])
def test_score_200_of_1000(benchmark, model, n_rows):
    candidates = np.sort(np.random.default_rng(1).choice(N_ACTIONS, N_SURVIVORS, replace=False)).astype(np.int32)
    mean, deviation = np.zeros(N_SURVIVORS), np.zeros(N_SURVIVORS)
    stream = itertools.cycle(rows(n_rows))
    scratch, n_active, offsets = model.scratch(1), np.array([N_ACTIVE]), np.array([0, N_SURVIVORS])

    def score():
        index, value = next(stream)
        model.score(scratch, index[None], value[None], n_active, offsets, candidates, mean, deviation)

    benchmark(score)


@pytest.mark.parametrize("n_rows", [1, 64], ids=["hot", "mixed"])
def test_update(benchmark, model, n_rows):
    stream = itertools.cycle(rows(n_rows))
    benchmark(lambda: model.update(*next(stream), N_ACTIVE, 7, 1.0))


def test_update_and_take_back(benchmark, model):
    index, value = next(rows())
    benchmark(lambda: model.take_back(model.update(index, value, N_ACTIVE, 7, 1.0)))


def test_score_by_numpy_instead(benchmark):
    """Gather with fancy indexing, candidate-major, flat beliefs: no hierarchy, less to do."""
    rng = np.random.default_rng(1)
    mean, variance = rng.normal(size=(2, N_ACTIONS, N_FEATURES)).astype(np.float32)
    candidates = np.sort(rng.choice(N_ACTIONS, N_SURVIVORS, replace=False))
    stream = itertools.cycle([(np.ix_(candidates, index), value.astype(np.float32)) for index, value in rows()])

    def score():
        place, value = next(stream)
        return mean[place] @ value, variance[place] @ (value * value)

    benchmark(score)


def test_score_one_candidate_naively(benchmark):
    """The slow twin, one candidate; 200 of them cost 200 times this."""
    naive = NaiveProbit(lambda feature, entity: (10.0, 0.0), [[0, 1, 2, 22]])
    index, value = next(rows())
    features = list(zip(index.tolist(), value.tolist(), strict=True))
    benchmark(lambda: naive.propensity(features, 0))


def columns():
    kinds = [INT] * 16 + [DOUBLE] * 12 + [BOOL] * 6 + [STRING] * 10 + [TIMESTAMP] * 4
    return [Column(f"f{i}", type_, Fact(f"f{i}", type_)) for i, type_ in enumerate(kinds)] + [
        Column("now", TIMESTAMP, Fact("now", TIMESTAMP, origin="interaction", predictor=False))]  # fmt: skip


def test_features_of_48_facts(benchmark):
    features = Features(columns())
    n = len(columns())
    values = np.random.default_rng(0).integers(0, 2, n)
    states, no_codes, offsets = np.zeros(n, dtype=np.uint8), np.zeros(0, dtype=np.int32), np.zeros((1, 1), dtype=np.int32)
    index, value, n_active = np.zeros((1, features.active_max), dtype=np.int32), np.zeros((1, features.active_max)), np.zeros(1, dtype=np.int64)
    for i in range(5):
        features.observe(values + i, states)
    benchmark(lambda: features.fill(values[None], states[None], no_codes, offsets, index, value, n_active))


def test_observe_48_facts(benchmark):
    features = Features(columns())
    values, states = np.random.default_rng(0).integers(0, 2, len(columns())), np.zeros(len(columns()), dtype=np.uint8)
    benchmark(lambda: features.observe(values, states))
