"""`decide_batch`: an Arrow table in, an Arrow table of offers out, 100 actions x 64 facts; `extra_info.rows_per_s` is the number.

In it: encoding from columns, rules, contact history, propensities, win probabilities, the draw. "rules" leaves a fifth of the actions, "open" all of
them. Beside it the same customers one by one through `decide`, and in numpy, for the open catalog, the least a user would write: one-hot columns
times one matrix of coefficients, the highest wins. Where it loses: that product, without rules, history or probability, does some 300,000 rows a
second; a table of a few rows costs more than as many calls of `decide`; facts that are lists cost several times what texts cost.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

import nba_engine as nba
from benchmarks import open_world, setting, world

N_ACTIONS, N_FACTS, N_ROWS = 100, 64, 10_000


def rules_rows() -> tuple[nba.Catalog, Any, list[dict[str, Any]]]:
    """The catalog with rules, a table for it, and its customers one by one."""
    facts = setting.customers(N_FACTS)
    return setting.catalog(N_ACTIONS, N_FACTS), setting.table(facts, world.FACTS | world.FLAGS, N_ROWS), facts


def open_rows() -> tuple[nba.Catalog, Any, list[dict[str, Any]]]:
    """The same without rules."""
    facts = setting.open_customers(N_FACTS)
    return setting.open_catalog(N_ACTIONS, N_FACTS), setting.table(facts, open_world.catalog(N_ACTIONS, N_FACTS)["facts"], N_ROWS), facts


@pytest.fixture(params=[rules_rows, open_rows])
def made(request: Any) -> Any:
    catalog, rows, facts = request.param()
    with nba.Engine(catalog) as engine:
        engine.warm()
        setting.teach(engine, facts)
        yield engine, rows, facts


@pytest.mark.parametrize("threads", [1, 2])
def test_decide_batch(benchmark: Any, made: Any, threads: int) -> None:
    engine, rows, _ = made
    decide_batch: Callable[..., Any] | None = getattr(engine, "decide_batch", None)
    if decide_batch is None:
        pytest.skip("this engine has no decide_batch")
    answer = benchmark.pedantic(lambda: decide_batch(rows, limit=1, threads=threads), rounds=5, warmup_rounds=1)
    benchmark.extra_info["rows_per_s"] = N_ROWS / benchmark.stats.stats.median
    assert answer.num_rows == N_ROWS


def test_one_by_one(benchmark: Any, made: Any) -> None:
    engine, _, facts = made
    decide, number = setting.deciding(engine, facts, limit=1), itertools.count()
    benchmark(lambda: decide(next(number)))
    benchmark.extra_info["rows_per_s"] = 1.0 / benchmark.stats.stats.median


def test_matrix_product_in_numpy(benchmark: Any) -> None:
    _, rows, _ = open_rows()
    texts, numbers = open_world.names(N_FACTS)
    known = [pa.array([f"{text}-{k}" for k in range(open_world.N_CATEGORIES)]) for text in texts]
    place = np.arange(len(texts)) * open_world.N_CATEGORIES
    coefficients = np.random.default_rng(0).normal(size=(len(texts) * open_world.N_CATEGORIES + len(numbers), N_ACTIONS)).astype(np.float32)

    def choose() -> np.ndarray:
        features = np.zeros((N_ROWS, len(coefficients)), np.float32)
        codes = np.column_stack([pc.index_in(rows[text], values).to_numpy() for text, values in zip(texts, known, strict=True)])
        features[np.arange(N_ROWS)[:, None], place + codes] = 1.0
        features[:, -len(numbers) :] = np.column_stack([rows[name].to_numpy() for name in numbers])
        return (features @ coefficients).argmax(axis=1)

    chosen = benchmark.pedantic(choose, rounds=5, warmup_rounds=1)
    benchmark.extra_info["rows_per_s"] = N_ROWS / benchmark.stats.stats.median
    assert chosen.shape == (N_ROWS,)
