"""Slate estimators: by hand, against plain loops, merging, and marginals against every ordered slate."""

from __future__ import annotations

import math

import numpy as np
import pytest

from nba_engine.errors import ReplayError
from nba_engine.replay import SLATE_ESTIMATORS, confidence_sequence, estimate, estimate_slates, rank_marginals
from nba_engine.replay.slates import finish_slates, fold_slates, merge_slates
from tests.naive import slates as naive

_NAMES = sorted(SLATE_ESTIMATORS)


def _slates(n: int, length: int, seed: int = 2) -> dict[str, np.ndarray]:
    random = np.random.default_rng(seed)
    shape = (n, length)
    return {"reward": random.binomial(2, 0.4, shape) * 1.0, "p_log": random.uniform(0.2, 0.9, shape), "p_target": random.uniform(0.2, 0.9, shape)}


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("sips", (1 * 1 + 4 * 3) / 2),  # w = 2 * 0.5 = 1 and 2 * 2 = 4
        ("rips", (2 * 1 + 2 * 1 + 4 * 2) / 2),
        ("iips", (2 * 1 + 2 * 1 + 2 * 2) / 2),
        ("pseudo_inverse", (1.5 * 1 + 3 * 3) / 2),
        ("sn_sips", (1 + 4) / 5 + 8 / 5),
        ("sn_iips", 4 / 4 + 4 / 2.5),
    ],
)
def test_values_by_hand(name: str, expected: float) -> None:
    found = estimate_slates(name, reward=[[1, 0], [1, 2]], p_log=[[0.25, 0.5], [0.5, 0.25]], p_target=[[0.5, 0.25], [1.0, 0.5]])
    assert found.value == pytest.approx(expected, rel=1e-14)


@pytest.mark.parametrize("name", _NAMES)
def test_plain_loops_and_merging_in_any_order(name: str) -> None:
    log = _slates(60, 3)
    whole = estimate_slates(name, **log)
    assert whole.value == pytest.approx(naive.value(name, *(column.tolist() for column in log.values())), rel=1e-12)
    chunks = [fold_slates(name, *(column[a:b] for column in log.values())) for a, b in ((50, 60), (0, 13), (13, 50))]
    merged = finish_slates(merge_slates(merge_slates(chunks[0], chunks[1]), chunks[2]))
    assert (merged.value, merged.std_error, merged.ess) == pytest.approx((whole.value, whole.std_error, whole.ess), rel=1e-11)


@pytest.mark.parametrize("name", _NAMES)
def test_the_standard_error_agrees_with_the_jackknife(name: str) -> None:
    log, n = _slates(300, 2), 300
    left_out = np.array([estimate_slates(name, **{key: np.delete(column, i, axis=0) for key, column in log.items()}).value for i in range(n)])
    assert estimate_slates(name, **log).std_error == pytest.approx(math.sqrt((n - 1) * left_out.var()), rel=0.03)


@pytest.mark.parametrize("name", [name for name in _NAMES if not name.startswith("sn_")])
def test_one_rank_is_ips(name: str) -> None:
    log = _slates(40, 1)
    ips, found = estimate("ips", **{key: column[:, 0] for key, column in log.items()}), estimate_slates(name, **log)
    assert (found.value, found.std_error, found.ess) == pytest.approx((ips.value, ips.std_error, ips.ess), rel=1e-12)
    assert (found.verdict, found.max_importance_weight) == (ips.verdict, ips.max_importance_weight)


def test_the_verdict_is_that_of_the_worst_rank() -> None:
    p_log, p_target = np.tile([0.5, 0.01], (1_000, 1)), np.tile([0.5, 0.01], (1_000, 1))
    p_target[0, 1] = 1.0
    found = estimate_slates("iips", reward=np.ones((1_000, 2)), p_log=p_log, p_target=p_target)
    assert found.verdict == "weak" and found.max_importance_weight == 100.0 and found.ess == pytest.approx(1_099**2 / 10_999)


def _softmax(placed: tuple[int, ...]) -> list[float]:
    weights = [0.0 if i in placed else math.exp(i / 2) for i in range(6)]
    return [one / sum(weights) for one in weights]


@pytest.mark.parametrize("length", [1, 2, 4])
def test_marginals_are_those_of_every_ordered_slate(length: int) -> None:
    found = rank_marginals(_softmax, 6, length)
    assert found == pytest.approx(np.array(naive.marginals(_softmax, 6, length)), rel=1e-12)
    assert found.sum(axis=1) == pytest.approx(np.ones(length))


def test_a_rank_may_stay_empty() -> None:
    found = rank_marginals(lambda placed: [0.0 if i in placed else 0.25 for i in range(3)], 3, 2)
    assert found[0] == pytest.approx([0.25] * 3) and found[1] == pytest.approx([0.125] * 3)


def test_what_does_not_fit_is_refused() -> None:
    log = _slates(5, 2)
    with pytest.raises(ReplayError, match="no slate estimator 'ips'"):
        estimate_slates("ips", **log)
    with pytest.raises(ReplayError, match="one row per slate and one column per rank"):
        estimate_slates("sips", **(log | {"p_log": log["p_log"][:, 0]}))
    with pytest.raises(ReplayError, match="p_log is 0.0 in row 0"):
        estimate_slates("sips", **(log | {"p_log": np.zeros((5, 2))}))
    with pytest.raises(ReplayError, match="cannot be merged"):
        merge_slates(fold_slates("sips", *log.values()), fold_slates("rips", *log.values()))
    with pytest.raises(ReplayError, match="calls of the law"):
        rank_marginals(_softmax, 200, 4)


@pytest.mark.parametrize("name", [name for name in _NAMES if name != "pseudo_inverse"])
def test_slates_of_a_learner_have_intervals_by_betting(name: str) -> None:
    """One rank is what `confidence_sequence` judges; of more ranks each counts its part of the slate's reward."""
    one = {key: column[:, :1] for key, column in _slates(300, 2).items()} | {"reward": _slates(300, 1)["reward"] / 2}
    found, sequence = estimate_slates(name, **one, adaptive=True), confidence_sequence(**{key: column[:, 0] for key, column in one.items()}, at=[300])
    assert found.interval == pytest.approx((min(sequence.low[0], found.value), max(sequence.high[0], found.value)), abs=1e-8)
    alike = {key: np.repeat(column, 3, axis=1) for key, column in one.items()} | {"p_log": np.ones((300, 3)), "p_target": np.ones((300, 3))}
    certain = confidence_sequence(reward=one["reward"][:, 0], p_log=np.ones(300), p_target=np.ones(300), at=[300])
    found = estimate_slates(name, **alike, adaptive=True)
    assert found.interval == pytest.approx((3 * certain.low[0], 3 * certain.high[0]), abs=1e-8)
    assert "the log's writer learned meanwhile" in found.warnings[-1]


def test_slates_of_a_learner_are_refused_where_no_interval_holds() -> None:
    with pytest.raises(ReplayError, match="take iips, rips or sips"):
        estimate_slates("pseudo_inverse", **_slates(9, 2), adaptive=True)
    with pytest.raises(ReplayError, match="reach from 0 to 2; .* divide them"):
        estimate_slates("sips", **_slates(9, 2), adaptive=True)
