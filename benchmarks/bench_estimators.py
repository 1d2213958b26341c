"""Folding a chunk of a log into sums, per estimator, 100,000 rows: divide by 100,000 for the time of a row.

Memory-bound: it loses where chunks outgrow the processor's caches (a million rows take twice as long each). Beside it the least that any
estimator must do: one numpy mean of the weighted rewards.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from nba_engine.replay.estimators import ESTIMATORS, fold
from nba_engine.replay.importance import Rows, check_rows

_N = 100_000
_PARAMETERS = {"clipped_ips": 5.0, "clipped_dr": 5.0, "switch_dr": 5.0, "dr_os": 5.0, "sg_ips": 0.1, "sg_dr": 0.1}


@pytest.fixture(scope="module")
def rows() -> Rows:
    random = np.random.default_rng(1)
    columns = (random.random(_N) for _ in range(4))
    reward, p_target, q_logged, q_target = columns
    return check_rows(reward=reward, p_log=random.uniform(0.1, 1, _N), p_target=p_target, q_logged=q_logged, q_target=q_target)


@pytest.mark.parametrize("name", sorted(ESTIMATORS))
def test_fold(benchmark: Any, rows: Rows, name: str) -> None:
    benchmark.pedantic(fold, (ESTIMATORS[name], rows, _PARAMETERS.get(name, math.nan)), rounds=50, warmup_rounds=5)


def test_plain_numpy_mean(benchmark: Any, rows: Rows) -> None:
    benchmark.pedantic(lambda: (rows.p_target / rows.p_log * rows.reward).mean(), rounds=50, warmup_rounds=5)
