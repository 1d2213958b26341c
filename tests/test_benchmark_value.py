"""The value benchmark: its world is what it says, its peers are what they are called, and a short run prints a table."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.learning import centre, value, value_peers

SMALL = centre.Shape("small", n_actions=10, n_interactions=600)


def test_the_world_has_the_rates_and_values_it_says():
    world = centre.make(1, centre.SHAPES["few"])
    rates = world.p.mean(axis=0)
    assert rates.min() > 0.9 * centre.RATE_MIN and rates.max() < 1.1 * centre.RATE_MAX
    assert (world.value.min(), world.value.max()) == (centre.VALUE_MIN, centre.VALUE_MAX)
    assert np.corrcoef(np.log(rates), np.log(world.value))[0, 1] < -0.4


def test_the_same_seed_is_the_same_world_and_another_is_not():
    one, again, other = (centre.make(seed, SMALL) for seed in (1, 1, 2))
    assert np.array_equal(one.p, again.p) and one.facts(3) == again.facts(3)
    assert not np.array_equal(one.p, other.p)


def test_linucb_is_that_of_river():
    bandit = pytest.importorskip("river.bandit")
    world = centre.make(3, SMALL, 60)
    ours = value_peers.LinUcb(world, beta=4.0)
    theirs = bandit.LinUCBDisjoint(alpha=1.0, beta=4.0, seed=1)
    x = value_peers.encoded(world, bins=False)
    rng = np.random.default_rng(0)
    for i in range(60):
        row = {f"x{k}": v for k, v in enumerate(x[i].tolist()) if v}
        if i >= 40:  # river learns a feature when it first comes; by now each has
            found = ours.bounds(x[i]) / world.value
            for a in range(SMALL.n_actions):
                told = theirs._bayes_lin_regs[a].predict_one(row, with_dist=True)
                assert found[a] == pytest.approx(told.mu + told.sigma, rel=1e-6)
        a = int(rng.integers(SMALL.n_actions))
        accepted = world.accepts(i, a)
        ours.learn(i, a, accepted)
        theirs.update(a, row, float(accepted))


def test_an_interval_of_a_ratio_holds_it_and_pairs_what_is_paired():
    rng = np.random.default_rng(1)
    theirs = rng.gamma(1.0, 5.0, (5, 5_000))
    low, high = value.interval(1.2 * theirs, theirs)
    assert (low, high) == pytest.approx((1.2, 1.2))
    low, high = value.interval(1.2 * rng.gamma(1.0, 5.0, (5, 5_000)), theirs)
    assert 1.1 < low < 1.2 < high < 1.3


def test_a_short_run_prints_ours_beside_a_peer(tmp_path, capsys):
    value.main(["--worlds", "few", "--interactions", "300", "--seeds", "1", "--draws", "2", "--peers", "logistic regression per action",
                "--keep", str(tmp_path)])
    said = capsys.readouterr().out
    assert "| nba_engine |" in said and "| oracle |" in said
    assert "ours / best peer (logistic regression per action)" in said
    assert len(list(tmp_path.iterdir())) == len(value_peers.MENU["logistic regression per action"][1]) + 1  # every setting once, the best twice
