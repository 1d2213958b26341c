"""Truth on a real trial (../shared/data/hillstrom.parquet): what any target would have earned is known, and logs cut from it give it back."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from benchmarks import replay_hillstrom
from nba_engine.replay import estimate

pytestmark = pytest.mark.skipif(not replay_hillstrom.DATA.exists(), reason=f"Hillstrom's trial is not here ({replay_hillstrom.DATA})")


@cache
def _trial() -> replay_hillstrom.Trial:
    return replay_hillstrom.read()


@pytest.mark.parametrize("email", [0, 1, 2])
def test_always_one_action_earns_that_actions_mean(email: int) -> None:
    """Exactly so by ips where p_log is the share that the lot drew, and by snips with the 1/3 that it drew from."""
    trial = _trial()
    alike, n = trial.email == email, len(trial.email)
    mean, log = trial.visit[alike].mean(), {"reward": trial.visit, "p_target": alike * 1.0}
    drawn = np.bincount(trial.email)[trial.email] / n
    assert estimate("ips", **log, p_log=drawn).value == pytest.approx(mean, rel=1e-12)
    assert estimate("snips", **log, p_log=np.full(n, 1 / 3)).value == pytest.approx(mean, rel=1e-12)
    by_design = estimate("ips", **log, p_log=np.full(n, 1 / 3))
    assert by_design.value == pytest.approx(mean * 3 * alike.mean(), rel=1e-12) and by_design.verdict == "ok"
    assert by_design.interval[0] < mean < by_design.interval[1]


def test_the_biased_law_and_the_lot_earn_differently() -> None:
    trial = _trial()
    log = trial.cut(trial.targets()["always Mens E-Mail"], 20_000, 1)
    assert np.bincount(log["action"]) / 20_000 == pytest.approx(trial.logging.mean(axis=0), abs=0.02)
    assert abs(np.bincount(log["action"]) / 20_000 - 1 / 3).max() > 0.05


@pytest.mark.slow
def test_cuts_of_a_biased_law_give_the_trials_value_back() -> None:
    """40 cuts of 2,000 rows: 38 of the 95 % intervals should hold; under 34 would by chance be 1 in 70. 1,000: benchmarks/replay_hillstrom.py."""
    trial = _trial()
    target = trial.targets()["by past purchases"]
    truth, n_held, values = trial.truth(target), 0, []
    for seed in range(40):
        found = replay_hillstrom.judged(trial, target, 2_000, seed)["dr"]
        n_held += found.interval[0] <= truth <= found.interval[1]
        values.append(found.value)
    assert n_held >= 34
    assert abs(np.mean(values) - truth) < 4 * np.std(values) / np.sqrt(40)
