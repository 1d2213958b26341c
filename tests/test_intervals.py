"""Intervals: by hand, at their edges, and how often they hold in simulated logs."""

from __future__ import annotations

import math

import numpy as np
import pytest

from nba_engine.errors import ReplayError
from nba_engine.replay import ESTIMATORS, bernstein_interval, bootstrap_interval, confidence_sequence, estimate

_LOG = {"reward": [1.0, 0.0, 1.0, 1.0], "p_log": [0.25, 0.5, 0.5, 0.5], "p_target": [0.5, 0.5, 0.25, 0.0]}
_LOGGING, _TARGET, _CLICK = np.array([0.5, 0.3, 0.2]), np.array([0.2, 0.3, 0.5]), np.array([0.2, 0.3, 0.4])


def _simulated(random: np.random.Generator, n: int) -> dict[str, np.ndarray]:
    action = random.choice(3, n, p=_LOGGING)
    return {"reward": (random.random(n) < _CLICK[action]) * 1.0, "p_log": _LOGGING[action], "p_target": _TARGET[action]}


def test_bernstein_by_hand() -> None:
    terms = [2.0, 0.0, 0.5, 0.0]
    confidence = math.log(4 / 0.05)
    half = math.sqrt(2 * float(np.var(terms, ddof=1)) * confidence / 4) + 7 * confidence * 4 / 9
    assert bernstein_interval("ips", bounds=(0, 4), **_LOG) == pytest.approx((0.625 - half, 0.625 + half), rel=1e-14)
    assert bernstein_interval("ips", bounds=(0, 4), reward=[1], p_log=[1], p_target=[1]) == (0, 4)


def test_the_bootstrap_of_unlike_subjects_is_near_the_normal_interval() -> None:
    log = _simulated(np.random.default_rng(1), 2_000)
    model = {"q_logged": np.full(2_000, 0.3), "q_target": np.full(2_000, 0.3)}
    for name, parameter in (("ips", None), ("snips", None), ("dr", None), ("cressie_read", None), ("clipped_ips", 1.0)):
        known = {} if parameter is None else {"max_importance_weight": parameter}
        given = log | (model if ESTIMATORS[name].model else {})
        low, high = bootstrap_interval(name, subject=np.arange(2_000), **given, parameter=parameter, n_draws=400)
        normal = estimate(name, **given, **known).interval
        assert high - low == pytest.approx(normal[1] - normal[0], rel=0.15) and abs(low - normal[0]) < 0.15 * (high - low)


def test_the_bootstrap_draws_whole_subjects() -> None:
    """Each row four times over, as one subject's: four times as many rows tell nothing new."""
    log = _simulated(np.random.default_rng(1), 500)
    repeated = {name: np.repeat(column, 4) for name, column in log.items()}
    once = bootstrap_interval("snips", subject=np.arange(500), **log)
    assert bootstrap_interval("snips", subject=[f"s{i:03}" for i in range(500) for _ in range(4)], **repeated) == pytest.approx(once, rel=1e-12)
    low, high = estimate("snips", **repeated).interval
    assert high - low == pytest.approx((once[1] - once[0]) / 2, rel=0.1)


def test_bounds_at_every_moment_only_narrow_and_hold_what_was_seen() -> None:
    log = _simulated(np.random.default_rng(4), 5_000)
    found = confidence_sequence(**log)
    assert found.n.tolist() == [*(2**k for k in range(13)), 5_000]
    assert (np.diff(found.low) >= 0).all() and (np.diff(found.high) <= 0).all() and (found.low < found.high).all()
    assert found.low[0] == 0 and found.high[-1] - found.low[-1] < 0.1


def test_bounds_follow_the_scale_of_rewards() -> None:
    log = _simulated(np.random.default_rng(4), 1_000)
    found = confidence_sequence(**log)
    money = confidence_sequence(**(log | {"reward": 10 * log["reward"] - 5}), reward_bounds=(-5.0, 5.0))
    assert money.low == pytest.approx(10 * found.low - 5) and money.high == pytest.approx(10 * found.high - 5)


def test_a_certain_reward_is_bounded_from_one_side() -> None:
    found = confidence_sequence(reward=np.ones(200), p_log=np.full(200, 0.5), p_target=np.full(200, 0.5), at=[200])
    assert found.low[0] > 0.9 and found.high[0] == 1.0


@pytest.mark.slow
def test_bounds_hold_at_all_moments_where_intervals_looked_at_often_do_not() -> None:
    """200 logs, looked at 5 times: at 95 % ten may miss; 20 or more would by chance be 1 in 300. Normal intervals miss far oftener."""
    random = np.random.default_rng(8)
    truth, n_missed, n_peeked = float(_TARGET @ _CLICK), 0, 0
    for _ in range(200):
        log = _simulated(random, 1_024)
        found = confidence_sequence(**log, at=[64, 128, 256, 512, 1_024])
        n_missed += bool((found.low > truth).any() or (found.high < truth).any())
        looks = [estimate("ips", **{name: column[:n] for name, column in log.items()}).interval for n in found.n]
        n_peeked += any(not low <= truth <= high for low, high in looks)
    assert n_missed < 20 < n_peeked


@pytest.mark.slow
def test_the_bootstrap_covers_where_rows_of_a_subject_resemble_each_other() -> None:
    """200 logs of 80 subjects with 10 rows each and tastes of their own: 190 of 200 are expected to hold; 180 is three standard errors short."""
    random = np.random.default_rng(9)
    truth, n_covered, n_normal = float(_TARGET @ _CLICK), 0, 0
    for _ in range(200):
        subject = np.repeat(np.arange(80), 10)
        action, taste = random.choice(3, 800, p=_LOGGING), random.uniform(0, 2, 80)[subject]
        log = {"reward": random.random(800) < _CLICK[action] * taste, "p_log": _LOGGING[action], "p_target": _TARGET[action]}
        low, high = bootstrap_interval("snips", subject=subject, **log, n_draws=200)
        n_covered += low <= truth <= high
        normal = estimate("snips", **log).interval
        n_normal += normal[0] <= truth <= normal[1]
    assert 180 <= n_covered and n_normal < n_covered


@pytest.mark.parametrize(
    ("call", "options", "text"),
    [
        (bernstein_interval, {"name": "snips", "bounds": (0, 4)}, "no plain mean over rows"),
        (bernstein_interval, {"name": "ips", "bounds": (0, 1)}, "reach from 0 to 2, outside bounds 0 to 1"),
        (bernstein_interval, {"name": "clipped_ips", "bounds": (0, 4)}, "needs max_importance_weight"),
        (bernstein_interval, {"name": "magic", "bounds": (0, 4)}, "no estimator 'magic'"),
        (bootstrap_interval, {"name": "ips", "subject": [1, 1, 1, 1]}, "two at least"),
        (bootstrap_interval, {"name": "ips", "subject": [1, 2]}, "give one per row"),
        (bootstrap_interval, {"name": "ips", "subject": [1, 2, 3, 4], "level": 95}, "level is 95"),
        (bootstrap_interval, {"name": "maximum_likelihood", "subject": [1, 2, 3, 4]}, "take cressie_read"),
        (confidence_sequence, {"reward_bounds": (0.0, 0.5)}, "outside reward_bounds 0 to 0.5"),
        (confidence_sequence, {"at": [3, 2]}, "ascending numbers of rows from 1 to 4"),
        (confidence_sequence, {"at": [5]}, "ascending numbers of rows from 1 to 4"),
    ],
)
def test_what_does_not_fit_is_refused(call: object, options: dict[str, object], text: str) -> None:
    with pytest.raises(ReplayError, match=text):
        call(**options, **_LOG)
