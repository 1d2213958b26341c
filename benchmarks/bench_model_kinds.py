"""What each kind of model costs: 20 actions, 12 numbers and 12 texts as the encoder writes them (about 49 active features of 613).

`python -m pytest benchmarks/bench_model_kinds.py`. The numbers: scoring 20 candidates; one update and the scoring of the action that learned, because
models with full covariance work out then what the update meant. After 300 outcomes, rows alternating. Where it loses: 20 actions; the default's
cost grows with what memory brings (bench_models.py), full covariance with the cube of the features met, river's with every candidate.
"""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from benchmarks.learning import play
from nba_engine.facts.features import Features
from nba_engine.models.kinds import KINDS, Ground
from nba_engine.schema import DOUBLE, STRING

N_ACTIONS, N_ROWS, N_OUTCOMES = 20, 64, 300


def encoded() -> tuple[Features, list[tuple[np.ndarray, np.ndarray, int]]]:
    """(index, value, n_active) of each row, and the features they are of."""
    rng = np.random.default_rng(0)
    facts = {f"n{i}": rng.normal(size=N_ROWS).tolist() for i in range(12)} | {f"t{i}": rng.choice(list("abcde"), N_ROWS).tolist() for i in range(12)}
    rows = play.encode(facts, {name: DOUBLE if name[0] == "n" else STRING for name in facts})
    features = Features(rows.columns)
    for i in range(N_ROWS):
        features.observe(rows.values[i], rows.states[i])
    index, value = np.zeros((N_ROWS, features.active_max), np.int32), np.zeros((N_ROWS, features.active_max))
    n_active = np.zeros(N_ROWS, np.int64)
    features.fill(rows.values, rows.states, np.zeros(0, np.int32), np.zeros((N_ROWS, 1), np.int32), index, value, n_active)
    return features, list(zip(index, value, n_active.tolist(), strict=True))


@pytest.fixture(params=KINDS)
def learned(request):
    features, rows = encoded()
    paths = play.one_group(N_ACTIONS)
    model = KINDS[request.param](Ground(features.names, paths, [("entity", str(e)) for e in range(int(paths.max()) + 1)]), {})
    for k, row in zip(range(N_OUTCOMES), itertools.cycle(rows), strict=False):
        model.update(*row, k % N_ACTIONS, float(k % 3 == 0))
    return model, rows


def scoring(model, candidates):
    """Score one row, all arrays ready."""
    scratch, offsets, (mean, deviation) = model.scratch(1), np.array([0, len(candidates)]), np.empty((2, len(candidates)))

    def score(index, value, n_active):
        model.score(scratch, index[None], value[None], np.array([n_active]), offsets, candidates, mean, deviation)

    return score


def test_score_20(benchmark, learned):
    model, rows = learned
    stream, score = itertools.cycle(rows), scoring(model, np.arange(N_ACTIONS, dtype=np.int32))
    benchmark(lambda: score(*next(stream)))


def test_update_and_score_one(benchmark, learned):
    model, rows = learned
    stream, score = itertools.cycle(rows), scoring(model, np.array([7], np.int32))

    def learn():
        row = next(stream)
        model.update(*row, 7, 1.0)
        score(*row)

    benchmark(learn)
