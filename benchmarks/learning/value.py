"""`python -m benchmarks.learning.value [--worlds centre calm ...] [--peers none] [--interactions N] [--seeds 1 2 3] [--draws 3]`: what is earned.

The number: mean of p * value over all interactions from an empty start, in a simulated contact centre (centre.py), five seeds; ours through
`Engine.decide` and `record` with default settings. All play each world with several seeds of their own draws, three at first, and the mean is
told: with one, luck moves a world's mean by a tenth and more. The peers' settings are tried on the first seed and the best is kept. An interval
holds the ratio of ours to the peer's at 95 %: worlds drawn anew and, within each, blocks of 500 interactions, the same for both (bootstrap).
What the peers earned is kept in a folder (`--keep`), so that a run cut short goes on where it was; ours is always played anew.
Where it loses: see centre.py. Five seeds are few: the interval says so.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import numpy as np

import nba_engine as nba
from benchmarks.learning import centre, value_peers
from benchmarks.learning.centre import GROUPS_PER_ISSUE, NUMBERS, SHAPES, TEXTS, Centre

SEEDS, DRAWS = (1, 2, 3, 4, 5), 3
OURS, BAR = "nba_engine", 1.10
BLOCK, N_DRAWS = 500, 2_000
START, YEAR = datetime(2026, 1, 5, 8, tzinfo=timezone.utc), timedelta(days=365)


class Ours:
    """`Engine.decide` and `record`, default settings; a year's interactions, each by a customer of its own."""

    def __init__(self, world: Centre, *, seed: int = 0, **exploration: Any) -> None:
        self._world, self._step = world, YEAR / len(world.noise)
        self._engine, self._id = nba.Engine(nba.Catalog.from_dict(catalog(world) | exploration), seed=seed, explained_decisions_max=10), ""

    def choose(self, i: int) -> int:
        at = START + i * self._step
        decision = self._engine.decide(f"customer {i}", facts=self._world.facts(i), at=at)
        self._id, self._at = decision.id, at
        return int(decision.offers[0].action.removeprefix("action-"))

    def learn(self, i: int, action: int, accepted: bool) -> None:
        self._engine.record(self._id, "accepted" if accepted else "declined", at=self._at)


def catalog(world: Centre) -> dict[str, Any]:
    """Facts, issues, groups and actions of a world."""
    groups = [(f"issue-{g // GROUPS_PER_ISSUE}", f"group-{g}") for g in world.groups.tolist()]
    issues: dict[str, Any] = {}
    for issue, group in groups:
        issues.setdefault(issue, {"groups": {}})["groups"][group] = {}
    return {
        "facts": dict.fromkeys(NUMBERS, "double") | dict.fromkeys(TEXTS, "string"),
        "issues": issues,
        "actions": [{"id": f"action-{a}", "issue": issue, "group": group, "value": float(value)}
                    for a, ((issue, group), value) in enumerate(zip(groups, world.value, strict=True))],
    }


def played(world: Centre, player: value_peers.Player, told: str, n_played: int | None = None) -> np.ndarray:
    """p * value of each choice, float64[n], with a line of progress on the error output every ten seconds."""
    n, last = min(n_played or len(world.noise), len(world.noise)), time.monotonic()
    chosen = np.zeros(n, dtype=np.int64)
    for i in range(n):
        chosen[i] = player.choose(i)
        player.learn(i, int(chosen[i]), world.accepts(i, int(chosen[i])))
        if time.monotonic() - last > 10.0:
            last = time.monotonic()
            sys.stderr.write(f"{told}: {i + 1:,} of {n:,}, {world.earned(chosen[: i + 1]).mean():.3f} an interaction\n")
            sys.stderr.flush()
    return world.earned(chosen)


class Kept:
    """What peers earned, a file each."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def earned(self, world: Centre, seed: int, draw: int, name: str, settings: dict[str, Any], n_played: int | None = None) -> np.ndarray:
        """Read, or played and written."""
        told = f"{world.shape.name}, seed {seed}, draw {draw}, {name} {json.dumps(settings)}"
        n = min(n_played or len(world.noise), len(world.noise))
        path = self._folder / ("".join(c if c.isalnum() or c in ".-" else "_" for c in f"{told} {n}") + ".npy")
        if not path.exists():
            np.save(path, played(world, value_peers.MENU[name][0](world, **settings, seed=1 + draw), told, n).astype(np.float32))
        return np.load(path).astype(float)


def measure(shape: centre.Shape, seeds: tuple[int, ...], n_draws: int, peers: list[str], kept: Kept, n: int | None = None) -> dict[str, Any]:
    """name -> float64[n_seeds, n] earned by ours and each peer at its best settings, draws averaged; the settings under `settings`; yardsticks."""
    worlds = {seed: centre.make(seed, shape, n) for seed in seeds}

    def over_draws(earned: Callable[[int, int], np.ndarray]) -> np.ndarray:
        return np.stack([np.mean([earned(seed, draw) for draw in range(n_draws)], axis=0) for seed in seeds])

    found: dict[str, Any] = {"settings": {}}
    found[OURS] = over_draws(lambda s, draw: played(worlds[s], Ours(worlds[s], seed=draw), f"{shape.name}, seed {s}, draw {draw}, {OURS}"))
    for name in peers:
        player, menu = value_peers.MENU[name]
        tried = [(kept.earned(worlds[seeds[0]], seeds[0], 0, name, settings, player.N_TRIED).mean(), k) for k, settings in enumerate(menu)]
        best = found["settings"][name] = menu[max(tried)[1]]
        found[name] = over_draws(lambda s, draw, name=name, best=best: kept.earned(worlds[s], s, draw, name, best))
    worths = [w.p * w.value for w in worlds.values()]
    found["best fixed action"] = np.stack([worth[:, worth.mean(axis=0).argmax()] for worth in worths])
    found["oracle"] = np.stack([worth.max(axis=1) for worth in worths])
    return found


def interval(ours: np.ndarray, theirs: np.ndarray, seed: int = 0) -> tuple[float, float]:
    """95 % of the ratio of the two means, float64[n_seeds, n] each, over seeds and blocks of interactions drawn anew together."""
    rng = np.random.default_rng(seed)
    n_blocks = max(ours.shape[1] // BLOCK, 1)
    a, b = (x[:, : n_blocks * BLOCK].reshape(len(x), n_blocks, -1).mean(axis=2) for x in (ours, theirs))
    ratios = np.empty(N_DRAWS)
    for k in range(N_DRAWS):
        seeds = rng.integers(len(a), size=len(a))
        blocks = rng.integers(n_blocks, size=(len(a), n_blocks))
        ratios[k] = np.take_along_axis(a[seeds], blocks, 1).mean() / np.take_along_axis(b[seeds], blocks, 1).mean()
    low, high = np.quantile(ratios, [0.025, 0.975])
    return float(low), float(high)


def lines(shape: centre.Shape, found: dict[str, Any]) -> list[str]:
    """The table of one shape, in Markdown."""
    ours = found[OURS]
    last = slice(-ours.shape[1] // 4, None)
    rows = [f"| {shape.name} | value per interaction | in the last quarter | by seed | ours / theirs | 95 % |", "|---|---|---|---|---|---|"]
    for name, earned in found.items():
        if name == "settings":
            continue
        told = found["settings"].get(name)
        low, high = interval(ours, earned)
        ratio = "" if name == OURS else f"{ours.mean() / earned.mean():.3f} | {low:.3f} to {high:.3f}"
        seeds = " ".join(f"{x:.2f}" for x in earned.mean(axis=1))
        rows.append(f"| {name}{'' if told is None else ' ' + settings_text(told)} | {earned.mean():.3f} | {earned[:, last].mean():.3f} | {seeds} | "
                    f"{ratio or ' | '} |")
    peers = found["settings"]
    if peers:
        best = max(peers, key=lambda name: found[name].mean())
        rows += ["", f"ours / best peer ({best}): {ours.mean() / found[best].mean():.3f}; bar {BAR:.2f}"]
    return rows


def settings_text(settings: dict[str, Any]) -> str:
    """`(rate 0.1, epsilon 0.05)`."""
    return "(" + ", ".join(f"{key} {value}" for key, value in settings.items()) + ")"


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.learning.value", description=__doc__.splitlines()[0])
    parser.add_argument("--worlds", nargs="+", choices=list(SHAPES), default=["centre"])
    parser.add_argument("--peers", nargs="+", choices=[*value_peers.MENU, "none"], default=list(value_peers.MENU))
    parser.add_argument("--seeds", nargs="+", type=int, default=list(SEEDS))
    parser.add_argument("--draws", type=int, default=DRAWS)
    parser.add_argument("--interactions", type=int, default=None)
    parser.add_argument("--keep", type=Path, default=Path(".benchmarks") / "value")
    given = parser.parse_args(arguments)
    peers = [name for name in given.peers if name != "none"]
    for world in given.worlds:
        found = measure(SHAPES[world], tuple(given.seeds), given.draws, peers, Kept(given.keep), given.interactions)
        sys.stdout.write("\n".join(["", *lines(SHAPES[world], found), ""]))
        sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1:])
