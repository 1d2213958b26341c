"""Logs whose writer learned: blocks in time, their merging, a case by hand, and how often the intervals hold where plain ones fail."""

from __future__ import annotations

import itertools
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import stdtrit

from benchmarks import adaptive_world
from nba_engine import Catalog, Engine
from nba_engine.errors import ReplayError
from nba_engine.replay import Log, Thresholds, confidence_sequence, estimate, run
from nba_engine.replay.adaptive import FIRST_BLOCK, block_start, blocks_of, fold_in_time, merge_in_time
from nba_engine.replay.estimators import ESTIMATORS, finish_in_time
from nba_engine.replay.importance import check_rows
from nba_engine.replay.sums import fold

_CHANCE = np.array([[0.2, 0.3, 0.4], [0.4, 0.3, 0.25]])
_BEST_OR_UNIFORM = np.eye(3)[[2, 0]] / 2 + 1 / 6


def _log(n: int) -> dict[str, np.ndarray]:
    random = np.random.default_rng(3)
    columns = random.binomial(1, 0.3, n) * 1.0, random.choice([0.1, 0.5, 0.9], n), random.choice([0.2, 0.4], n), random.random(n), random.random(n)
    return dict(zip(("reward", "p_log", "p_target", "q_logged", "q_target"), columns, strict=True))


def test_blocks_grow_by_a_fifth() -> None:
    starts = [block_start(block) for block in range(60)]
    assert starts[:4] == [0, FIRST_BLOCK, 60, 72] and all(b / a < 1.21 for a, b in itertools.pairwise(starts[1:]))


@given(first_row=st.integers(0, 10**9), n=st.integers(1, 5_000))
@settings(max_examples=200, deadline=None)
def test_every_row_stands_in_the_block_that_its_place_says(first_row: int, n: int) -> None:
    parts = list(blocks_of(first_row, n))
    assert [a for _, a, _ in parts] == [first_row, *(b for _, _, b in parts[:-1])] and parts[-1][2] == first_row + n
    assert all(block_start(block) <= a < b <= block_start(block + 1) for block, a, b in parts)


@pytest.mark.parametrize("name", ["ips", "snips", "dr", "sndr", "cressie_read"])
def test_shards_merge_in_any_order(name: str) -> None:
    log, estimator = _log(1_000), ESTIMATORS[name]
    whole = estimate(name, **{key: log[key] for key in log if estimator.model or key[0] != "q"}, adaptive=True)
    cuts = [(0, 30), (30, 61), (61, 700), (700, 1_000)]
    shards = [fold_in_time(estimator, check_rows(**{key: column[a:b] for key, column in log.items()}), a) for a, b in cuts]
    atoms = fold(ESTIMATORS["maximum_likelihood"], check_rows(**log)).atoms
    for order in itertools.permutations(shards):
        total = order[0]
        for shard in order[1:]:
            total = merge_in_time(total, shard)
        found = finish_in_time(total, atoms)
        assert (found.value, found.std_error, *found.interval, found.ess) == pytest.approx(
            (whole.value, whole.std_error, *whole.interval, whole.ess), rel=1e-9
        )
    with pytest.raises(ReplayError, match="not all from the log's first row on"):
        finish_in_time(merge_in_time(shards[0], shards[3]), None)


def test_two_blocks_by_hand() -> None:
    """60 rows of w = 2 and 12 of w = 1: block 1 is rows 50 to 59, after 50 rows of w^2 = 4; block 2 is rows 60 to 71, after 60 of them."""
    reward, w = np.tile([5.0, 0.0, 0.0], 24), np.repeat([2.0, 1.0], [60, 12])
    found = estimate("ips", reward=reward, p_log=np.full(72, 0.5), p_target=0.5 * w, adaptive=True)
    count = np.repeat([0.0, ((20 + 4 * 50) / 70) ** -0.5, ((20 + 4 * 60) / 80) ** -0.5], [50, 10, 12])
    value = (count * w * reward).sum() / count.sum()
    error = math.sqrt((count**2 * (w * reward - value) ** 2).sum()) / count.sum()
    quantile = stdtrit(((count * w) ** 2).sum() / ((count * w) ** 2).max(), 0.975)
    assert (found.value, found.std_error) == pytest.approx((value, error), rel=1e-12)
    assert found.interval == pytest.approx((value - quantile * error, value + quantile * error), rel=1e-12)
    assert found.n == 72 and found.ess == pytest.approx(132**2 / (60 * 4 + 12))
    refused = estimate("ips", reward=reward, p_log=np.full(72, 0.5), p_target=0.5 * w, adaptive=True, thresholds=Thresholds(ess_refused=100))
    assert refused.interval == found.interval and "rewards outside [0, 1] allow no other" in refused.warnings[-1]


@pytest.mark.parametrize("n", [40, 900])
def test_degrees_of_freedom_of_a_self_normalised_value_are_those_of_its_influences(n: int) -> None:
    """From the definition, row by row; of a log of one block, which counts every row alike, and of many."""
    log = {key: column for key, column in _log(n).items() if key[0] != "q"}
    reward, w = 3.0 * log["reward"] - np.arange(n) % 2, log["p_target"] / log["p_log"]
    count, ends = np.full(n, float(n <= FIRST_BLOCK)), [block_start(block) for block in range(1, 20) if block_start(block) < n]
    for a, b in itertools.pairwise([*ends, n]):
        count[a:b] = ((20 + (w[:a] ** 2).sum()) / (20 + a)) ** -0.5
    found = estimate("snips", **log | {"reward": reward}, adaptive=True, thresholds=Thresholds(ess_refused=1))
    value = (count * w * reward).sum() / (count * w).sum()
    influence = count * w * (reward - value)
    quantile = stdtrit((influence**2).sum() ** 2 / (influence**4).sum(), 0.975)
    assert found.value == pytest.approx(value, rel=1e-12)
    assert found.interval[1] - value == pytest.approx(quantile * np.sqrt((influence**2).sum()) / (count * w).sum(), rel=1e-9)


def test_where_the_verdict_is_refused_the_interval_is_by_betting() -> None:
    log = {key: column for key, column in _log(200).items() if key[0] != "q"}
    strict = Thresholds(ess_refused=1_000)
    found, sequence = estimate("snips", **log, adaptive=True, thresholds=strict), confidence_sequence(**log, at=[200])
    assert found.verdict == "refused" and "by betting" in found.warnings[-1]
    assert found.interval == pytest.approx((sequence.low[0], sequence.high[0]), abs=1e-8)
    weak = estimate("snips", **log, adaptive=True)
    assert weak.verdict == "weak" and "rows count the less" in weak.warnings[-1]
    assert weak.interval[1] - weak.value == pytest.approx(weak.value - weak.interval[0])
    sure = estimate("snips", reward=np.tile([1.0, 0.0], 500), p_log=np.full(1_000, 0.5), p_target=np.full(1_000, 0.5), adaptive=True)
    assert sure.verdict == "ok" and sure.interval[1] - sure.value == pytest.approx(stdtrit(950, 0.975) * sure.std_error)


def test_where_rows_of_large_weight_are_missing_or_one_decides_the_interval_is_by_betting() -> None:
    """Half of the target lives where the log had no chance to go: ips would be sure of half the value. And one row of w = 100, of reward 0."""
    won, alone = np.tile([1.0, 0.0], 300), np.where(np.arange(600) == 400, 100.0, 1.0)
    half = {"reward": won, "p_log": np.full(600, 0.9), "p_target": np.where(np.arange(600) % 4 < 2, 0.9, 0.0)}
    one = {"reward": np.where(alone > 1, 0.0, won), "p_log": 1 / alone, "p_target": np.ones(600)}
    for log, verdict in ((half, "ok"), (one, "weak")):
        found = estimate("ips", **log, adaptive=True, thresholds=Thresholds(ess_weak=30))
        sequence = confidence_sequence(**log, at=[600])
        assert found.verdict == verdict and "by betting" in found.warnings[-1]
        assert found.interval == pytest.approx((min(sequence.low[0], found.value), max(sequence.high[0], found.value)), abs=1e-8)
    unbounded = estimate("ips", **half | {"reward": 5 * won}, adaptive=True, thresholds=Thresholds(ess_weak=30))
    assert "rewards outside [0, 1] allow no other" in unbounded.warnings[-1]


def test_a_log_of_one_block_counts_every_row_alike() -> None:
    log = {key: column for key, column in _log(40).items() if key[0] != "q"}
    found, plain = estimate("snips", **log, adaptive=True), estimate("snips", **log)
    assert (found.value, found.std_error) == pytest.approx((plain.value, plain.std_error * math.sqrt(39 / 40)), rel=1e-12)
    assert found.interval[1] - found.interval[0] > plain.interval[1] - plain.interval[0]


def test_what_keeps_distinct_weights_is_refused() -> None:
    with pytest.raises(ReplayError, match="take cressie_read"):
        estimate("maximum_likelihood", reward=[1], p_log=[1], p_target=[1], adaptive=True)


def test_the_log_of_our_own_store_is_a_learners(tmp_path: Path) -> None:
    catalog = Catalog.from_dict({"outcomes": {"accepted": {"reward": 1}, "declined": {"reward": 0}}, "actions": [{"id": "club"}, {"id": "card"}]})
    with Engine(catalog, store=tmp_path, sync="os") as engine:
        for i in range(70):
            engine.record(engine.decide(f"s{i}").id, "accepted" if i % 3 == 0 else "declined")
    with Engine(Catalog.from_dict(catalog.to_dict() | {"exploration": {"kind": "uniform"}})) as target:
        report = run(Log.read(tmp_path), target)
    assert all(any("learned meanwhile" in warning for warning in one.warnings) for one in report.estimates)
    assert "maximum_likelihood" not in [one.estimator for one in report.estimates]


@pytest.mark.slow
@pytest.mark.parametrize(("law", "most_plain"), [("thompson", 1.0), ("vanishing thompson", 0.91)])
def test_intervals_hold_where_the_log_learned(law: str, most_plain: float) -> None:
    """300 logs of 1,500 rows: at 95 % 285 are expected to hold, and under 273 would by chance be 1 in 1,000; plain intervals of dr fail where
    probabilities vanish. 1,000 logs: benchmarks/replay_coverage.py."""
    logs = adaptive_world.simulate(law, _CHANCE, 300, 1_500, seed=3)
    truth, n_held, n_plain = float((_BEST_OR_UNIFORM * _CHANCE).sum(axis=1).mean()), 0, 0
    for i in range(300):
        columns = logs.columns(i, _BEST_OR_UNIFORM)
        low, high = estimate("dr", **columns, adaptive=True).interval
        n_held += low <= truth <= high
        low, high = estimate("dr", **columns).interval
        n_plain += low <= truth <= high
    assert 273 <= n_held and n_plain <= 300 * most_plain
