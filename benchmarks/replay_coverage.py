"""`python -m benchmarks.replay_coverage [fixed | adaptive | engine] [--logs N]`: how often 95 % intervals hold, over 1,000 simulated logs.

The number is the share of logs whose interval holds the target's true value; 1,000 logs tell it to 1.4 points. `fixed`: the law that wrote the log
never changed. `adaptive`: it learned (adaptive_world.py). `engine`: logs of our own engine, 600 decisions each. Refused logs are counted apart:
their intervals are nothing to act on. So are those by betting, which promise at least 95 %; the others promise 95 % in the limit. It loses sight of
rare rewards (under 1 %) and of reward models that know later rows.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table

from benchmarks import adaptive_world
from nba_engine.replay import Estimate, bernstein_interval, bootstrap_interval, confidence_sequence, estimate
from nba_engine.replay.estimators import BY_BETTING

CHANCE = np.array([[0.2, 0.3, 0.4], [0.4, 0.3, 0.25]])
"""Chance of a reward by segment and action; the best actions are 2 and 0."""
BEST = np.eye(3)[[2, 0]]
TARGETS = {"best action": BEST, "uniform": np.full((2, 3), 1 / 3), "best or uniform": BEST / 2 + 1 / 6}
PLAIN = ("reward", "p_log", "p_target")
Interval = tuple[float, float]
Row = tuple[str, str, str, list[Interval], list[str], list[bool], float]
"""The log, the estimator, the kind of interval, the intervals, their verdicts and whether they are by betting, the truth."""


def truth_of(target: Any) -> float:
    """What `target` float64[n_segments, n_actions] earns a decision, segments being equally frequent."""
    return float((target * CHANCE).sum(axis=1).mean())


def held(intervals: list[Interval], truth: float) -> float:
    """Share of intervals that hold the truth."""
    return float(np.mean([low <= truth <= high for low, high in intervals]))


def unbiased(columns: dict[str, Any], name: str, **more: Any) -> Estimate:
    """The estimate of a log's columns, without the reward model where the estimator takes none."""
    needs_model = name in ("dr", "sndr")
    return estimate(name, **{key: column for key, column in columns.items() if needs_model or key in PLAIN}, **more)


def fixed(n_logs: int, n: int = 2_000) -> list[Row]:
    """Every kind of interval on logs of a law that never changed."""
    target, rows = TARGETS["best or uniform"], list[Row]()
    logs = adaptive_world.simulate("fixed", CHANCE, n_logs, n, seed=1)
    numbers, truth = range(n_logs), truth_of(target)
    for name in ("ips", "snips", "cressie_read", "maximum_likelihood", "dr", "sndr"):
        found = [unbiased(logs.columns(i, target), name) for i in track(numbers, f"fixed, {name}")]
        rows.append(("fixed", name, "delta method", [one.interval for one in found], [one.verdict for one in found], [False] * n_logs, truth))
    others: dict[tuple[str, str], Callable[[dict[str, Any]], Interval]] = {
        ("snips", "bootstrap by subject"): lambda log: bootstrap_interval("snips", subject=np.arange(n), **log, n_draws=400),
        ("ips", "empirical Bernstein"): lambda log: bernstein_interval("ips", bounds=(0.0, 3.0), **log),
        ("ips", "confidence sequence"): lambda log: _last(confidence_sequence(**log, at=[n])),
    }
    for (name, kind), interval_of in others.items():
        given = ({key: logs.columns(i, target)[key] for key in PLAIN} for i in track(numbers, f"fixed, {kind}"))
        rows.append(("fixed", name, kind, [interval_of(log) for log in given], ["ok"] * n_logs, [False] * n_logs, truth))
    subject, truth = np.repeat(np.arange(200), n // 200), truth_of(target)
    tastes = np.random.default_rng(2).uniform(0, 2, (n_logs, 200))
    chances = [tastes[i][subject] * CHANCE[logs.segment[i], logs.action[i]] for i in numbers]
    rewards = [(np.random.default_rng(i).random(n) < chance) * 1.0 for i, chance in enumerate(chances)]
    given = [{**{key: logs.columns(i, target)[key] for key in PLAIN}, "reward": rewards[i]} for i in numbers]
    drawn = [bootstrap_interval("snips", subject=subject, **log, n_draws=400) for log in track(given, "fixed, rows of a subject alike")]
    for kind, found in (("bootstrap by subject", drawn), ("delta method", [unbiased(log, "snips").interval for log in given])):
        rows.append(("fixed, 200 subjects of 10 rows", "snips", kind, found, ["ok"] * n_logs, [False] * n_logs, truth))
    return rows


def adaptive(n_logs: int, n: int = 2_000) -> list[Row]:
    """The plain interval and that of `adaptive=True` on logs of laws that learned."""
    rows: list[Row] = []
    for law in (law for law in adaptive_world.LAWS if law != "fixed"):
        logs = adaptive_world.simulate(law, CHANCE, n_logs, n, seed=3)
        for target_name, target in TARGETS.items():
            given = [logs.columns(i, target) for i in range(n_logs)]
            rows += _both(f"{law}: {target_name}", given, ("snips", "dr", "ips"), truth_of(target))
    return rows


def engine(n_logs: int, n: int = 600) -> list[Row]:
    """The same on logs of the engine: thompson as it comes with a uniform share of 5 %, and with that of the defaults, 1 %."""
    rows: list[Row] = []
    for share in (0.05, 0.01):
        logs = [_engine_log(share, seed, n) for seed in track(range(n_logs), f"engine, uniform share {share:.0%}")]
        for name in TARGETS:
            target = TARGETS[name]
            given = [{"reward": r, "p_log": p, "p_target": target[segment, action]} for segment, action, p, r in logs]
            rows += _both(f"engine, uniform share {share:.0%}: {name}", given, ("snips", "ips"), truth_of(target))
    return rows


def _engine_log(share: float, seed: int, n: int) -> tuple[Any, Any, Any, Any]:
    """segment, action, selection probability and reward of `n` decisions, every one answered at once."""
    import nba_engine as nba

    catalog = nba.Catalog.from_dict({
        "facts": {"segment": "string"},
        "outcomes": {"accepted": {"reward": 1}, "declined": {"reward": 0}},
        "actions": [{"id": f"action-{a}"} for a in range(3)],
        "exploration": {"kind": "thompson", "uniform_share": share},
    })  # fmt: skip
    random = np.random.default_rng(seed)
    segment, noise = random.integers(0, 2, n), random.random(n)
    action, p_log = np.empty(n, np.int64), np.empty(n)
    with nba.Engine(catalog, seed=seed) as one:
        for i in range(n):
            decision = one.decide(f"s{i}", facts={"segment": "ab"[segment[i]]})
            action[i], p_log[i] = int(decision.offers[0].action[-1]), decision.offers[0].selection_probability
            one.record(decision.id, "accepted" if noise[i] < CHANCE[segment[i], action[i]] else "declined")
    return segment, action, p_log, (noise < CHANCE[segment, action]) * 1.0


def _both(log: str, given: list[dict[str, Any]], names: tuple[str, ...], truth: float) -> list[Row]:
    rows: list[Row] = []
    for name in names:
        for kind, is_adaptive in (("plain", False), ("adaptive=True", True)):
            found = [unbiased(one, name, adaptive=is_adaptive) for one in track(given, f"{log}, {name}, {kind}")]
            by_betting = [BY_BETTING in one.warnings for one in found]
            rows.append((log, name, kind, [one.interval for one in found], [one.verdict for one in found], by_betting, truth))
    return rows


def _last(bounds: Any) -> Interval:
    return float(bounds.low[-1]), float(bounds.high[-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    modes = {"fixed": fixed, "adaptive": adaptive, "engine": engine}
    parser.add_argument("mode", choices=modes)
    parser.add_argument("--logs", type=int, default=1_000)
    given = parser.parse_args()
    table = Table("log", "estimator", "interval", "holds", "not refused", "ok", "not by betting", "refused", "are ok", "by betting", "median width")
    for log, name, kind, intervals, verdicts, by_betting, truth in modes[given.mode](given.logs):
        parts = [[one for one, v in zip(intervals, verdicts, strict=True) if v in wanted] for wanted in (("ok", "weak"), ("ok",))]
        parts.append([one for one, betting in zip(intervals, by_betting, strict=True) if not betting])
        shares = [f"{verdicts.count(v) / len(verdicts):.1%}" for v in ("refused", "ok")]
        width = float(np.median([high - low for low, high in intervals]))
        held_of = [f"{held(kept, truth):.1%}" if len(kept) > 0.05 * len(intervals) else "-" for kept in (intervals, *parts)]
        table.add_row(log, name, kind, *held_of, *shares, f"{np.mean(by_betting):.1%}", f"{width:.4f}")
    Console(width=180).print(table)


if __name__ == "__main__":
    main()
