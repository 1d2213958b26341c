"""Chooses the defaults of epsilon and gamma: `python benchmarks/exploration_worlds.py` writes results/exploration_worlds.md.

A world has 10 segments x 20 actions with unknown chances to convert (logit-normal, 5 % on average) and known values (log-normal).
Beliefs are a beta distribution for each pair, prior worth 20 interactions at the base rate. The number is the share of the possible uplift over
uniform choice that was captured, in expected value: 0 is uniform, 1 is knowing every chance. Mean over seeds and its standard error.
It says which order of magnitude suits; it says nothing about models that generalise between segments, where less exploration is needed.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from nba_engine.arbitration.exploration import KIND_CODES, Exploration
from nba_engine.arbitration.slates import pmf

N_SEGMENTS, N_ACTIONS, N_SEEDS, CHECKPOINTS = 10, 20, 8, (2_000, 10_000, 30_000)
LAWS = (
    [("greedy", {})]
    + [("thompson", {"posterior_scale": scale}) for scale in (0.1, 0.3, 1.0)]
    + [("epsilon", {"epsilon": epsilon}) for epsilon in (0.01, 0.03, 0.05, 0.1, 0.2)]
    + [("squarecb", {"gamma": gamma}) for gamma in (30.0, 100.0, 300.0, 1000.0, 3000.0, 10000.0)]
)


def captured(kind: str, options: dict[str, float], seed: int) -> list[float]:
    """Share of the possible uplift captured up to each checkpoint."""
    r = np.random.default_rng(seed)
    chance = 1 / (1 + np.exp(-r.normal(-3.3, 0.8, (N_SEGMENTS, N_ACTIONS))))
    value = np.exp(r.normal(3, 0.5, N_ACTIONS))
    worth = chance * value
    positive, negative = np.full_like(chance, 1.0), np.full_like(chance, 19.0)
    law = Exploration(KIND_CODES[kind], **options)
    explores = np.ones(N_ACTIONS, np.uint8)
    gained, shares = 0.0, []
    for t in range(1, CHECKPOINTS[-1] + 1):
        s = int(r.integers(N_SEGMENTS))
        n = positive[s] + negative[s]
        mean = positive[s] / n
        deviation = law.posterior_scale * np.sqrt(mean * (1 - mean) / (n + 1)) * value
        p = pmf(law, mean * value, deviation, explores, -1)
        a = min(int(np.searchsorted(np.cumsum(p), r.random())), N_ACTIONS - 1)
        gained += (worth[s, a] - worth[s].mean()) / (worth.max(axis=1) - worth.mean(axis=1)).mean()
        hit = r.random() < chance[s, a]
        positive[s, a] += hit
        negative[s, a] += not hit
        if t in CHECKPOINTS:
            shares.append(gained / t)
    return shares


def main() -> None:
    heads = [f"after {n:,}" for n in CHECKPOINTS]
    lines = ["# Share of the possible uplift captured", "", f"| law | {' | '.join(heads)} |", "|---" * (len(heads) + 1) + "|"]
    for kind, options in LAWS:
        shares = np.array([captured(kind, options, seed) for seed in range(N_SEEDS)])
        cells = [f"{m:.3f} +/- {e:.3f}" for m, e in zip(shares.mean(axis=0), shares.std(axis=0, ddof=1) / N_SEEDS**0.5, strict=True)]
        name = kind + "".join(f" {k} {v:g}" for k, v in options.items())
        lines.append(f"| {name} | {' | '.join(cells)} |")
    (Path(__file__).parent / "results" / "exploration_worlds.md").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
