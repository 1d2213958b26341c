"""Choosing a parameter on the log: which one wins and why, and that chunks merge."""

from __future__ import annotations

import math

import numpy as np
import pytest

from nba_engine.errors import ReplayError
from nba_engine.replay import ESTIMATORS, estimate, tune
from nba_engine.replay.importance import check_rows
from nba_engine.replay.tuning import CANDIDATES, choose, fold_candidates, merge_candidates

_TUNABLE = sorted(name for name, estimator in ESTIMATORS.items() if estimator.parameter)


def _log(n: int, tail: float, seed: int = 3) -> dict[str, np.ndarray]:
    """`tail` of the rows have w = 100."""
    random = np.random.default_rng(seed)
    p_log = np.where(random.random(n) < tail, 0.005, 0.5)
    reward = random.binomial(1, 0.3, n).astype(float)
    return {"reward": reward, "p_log": p_log, "p_target": np.full(n, 0.5), "q_logged": np.full(n, 0.3), "q_target": np.full(n, 0.3)}


@pytest.mark.parametrize("by", ["slope", "mse"])
@pytest.mark.parametrize("name", _TUNABLE)
def test_chunks_merge_in_any_order(name: str, by: str) -> None:
    log, estimator = _log(900, 0.02), ESTIMATORS[name]
    numbers = CANDIDATES[estimator.parameter]
    chunks = [fold_candidates(estimator, check_rows(**{key: column[a : a + 300] for key, column in log.items()}), numbers) for a in (600, 0, 300)]
    merged = choose(merge_candidates(merge_candidates(chunks[0], chunks[1]), chunks[2]), by)
    assert merged.parameter == tune(name, by=by, **log).parameter


def test_equal_candidates_go_to_the_first() -> None:
    log = _log(500, 0.0)  # every w is 1
    for by in ("slope", "mse"):
        assert tune("clipped_ips", by=by, **log).parameter == math.inf
        assert tune("clipped_ips", by=by, **log, candidates=[2.0, math.inf]).parameter == 2.0


def test_slope_cuts_a_heavy_tail_where_the_model_is_right() -> None:
    log = _log(2_000, 0.02)
    found = tune("switch_dr", by="slope", **log)
    assert found.parameter < 100 and found.estimate.std_error < 0.3 * estimate("dr", **log).std_error
    assert found.estimate.value == estimate("switch_dr", **log, threshold=found.parameter).value
    assert "was chosen on this log (slope)" in found.estimate.warnings[-1]


def test_mse_keeps_the_tail_that_matters() -> None:
    log = _log(20_000, 0.02) | {"reward": np.where(_log(20_000, 0.02)["p_log"] < 0.1, 1.0, 0.0)}
    assert tune("clipped_ips", by="mse", **log).parameter == math.inf


@pytest.mark.parametrize(
    ("name", "options", "text"),
    [
        ("ips", {}, "no parameter that could be tuned; choose one of clipped_ips"),
        ("dr_os", {"candidates": []}, "holds no number"),
        ("sg_ips", {"candidates": [1.0]}, "smoothing is 1.0"),
        ("sg_ips", {"by": "best"}, "give 'slope' or 'mse'"),
    ],
)
def test_what_cannot_be_tuned_is_refused(name: str, options: dict[str, object], text: str) -> None:
    with pytest.raises(ReplayError, match=text):
        tune(name, **({"by": "mse"} | options), **_log(10, 0.0))


def test_the_chosen_estimate_of_a_learners_log_is_the_adaptive_one() -> None:
    log = {key: column for key, column in _log(900, 0.02).items() if key[0] != "q"}
    found = tune("clipped_ips", by="slope", **log, adaptive=True)
    wanted = estimate("clipped_ips", **log, adaptive=True, max_importance_weight=found.parameter)
    assert (found.estimate.value, found.estimate.interval) == (wanted.value, wanted.interval)
    assert found.estimate.warnings[:-1] == wanted.warnings
    assert found.parameter == tune("clipped_ips", by="slope", **log).parameter
