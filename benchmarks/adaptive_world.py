"""Simulated logs whose writer learned, many at once: a bandit over segments and actions, in numpy, apart from the engine.

Used by `replay_coverage.py` and by tests. Rewards are 0 or 1; every `EVERY` rows the law looks at what it has seen. What it says of an interval
holds for such worlds: few actions, rewards that are not rare.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.special import ndtr

Float = npt.NDArray[np.float64]

EVERY = 20
"""Rows between two looks of the law."""
LAWS = {
    "fixed": "always the same probabilities",
    "thompson": "P(best) under beta posteriors, and a uniform share of 5 % that stays",
    "vanishing thompson": "the same, with a uniform share of t^-0.7: what loses is hardly drawn any more",
    "vanishing greedy": "the best so far, and a uniform share of t^-0.5",
}
_NODES, _MASS = np.polynomial.hermite_e.hermegauss(24)


class Logs(NamedTuple):
    """`segment`, `action` int64[n_logs, n]; `p_log`, `reward` float64[n_logs, n]; `q` float64[n_logs, n, n_actions]: mean rewards before each row."""

    segment: npt.NDArray[np.int64]
    action: npt.NDArray[np.int64]
    p_log: Float
    reward: Float
    q: Float

    def columns(self, log: int, target: Float) -> dict[str, Float]:
        """One log as `estimate` takes it, with the reward model of before each row; `target` float64[n_segments, n_actions]."""
        rows = np.arange(self.action.shape[1])
        pmf, q = target[self.segment[log]], self.q[log]
        return {
            "reward": self.reward[log],
            "p_log": self.p_log[log],
            "p_target": pmf[rows, self.action[log]],
            "q_logged": q[rows, self.action[log]],
            "q_target": (pmf * q).sum(axis=1),
        }


def simulate(law: str, chance: Float, n_logs: int, n: int, seed: int) -> Logs:
    """`n_logs` logs of `n` rows under a law of `LAWS`; `chance` float64[n_segments, n_actions] is the true chance of a reward."""
    random = np.random.default_rng(seed)
    n_segments, n_actions = chance.shape
    each = np.arange(n_logs)
    shown, earned = np.ones((n_logs, n_segments, n_actions)), np.full((n_logs, n_segments, n_actions), chance.mean())
    fixed = np.linspace(1, 2, n_actions) / np.linspace(1, 2, n_actions).sum()
    pmf = np.broadcast_to(fixed if law == "fixed" else np.full(n_actions, 1 / n_actions), shown.shape)
    segment = random.integers(0, n_segments, (n_logs, n))
    logs = Logs(segment, np.empty((n_logs, n), np.int64), np.empty((n_logs, n)), np.empty((n_logs, n)), np.empty((n_logs, n, n_actions)))
    for row in range(n):
        if law != "fixed" and row and row % EVERY == 0:
            pmf = _pmf(law, shown, earned, row)
        here = segment[:, row]
        p = pmf[each, here]
        action = np.minimum((random.random((n_logs, 1)) > p.cumsum(axis=1)).sum(axis=1), n_actions - 1)
        reward = (random.random(n_logs) < chance[here, action]) * 1.0
        logs.q[:, row] = (earned / shown)[each, here]
        logs.action[:, row], logs.p_log[:, row], logs.reward[:, row] = action, p[each, action], reward
        shown[each, here, action] += 1
        earned[each, here, action] += reward
    return logs


def _pmf(law: str, shown: Float, earned: Float, row: int) -> Float:
    mean = earned / shown
    if law == "vanishing greedy":
        best, share = (mean == mean.max(axis=2, keepdims=True)).astype(float), row**-0.5
    else:
        best, share = _p_best(mean, np.sqrt(mean * (1 - mean) / (shown + 1)) + 1e-9), 0.05 if law == "thompson" else row**-0.7
    return (1 - share) * best / best.sum(axis=2, keepdims=True) + share / shown.shape[2]


def _p_best(mean: Float, deviation: Float) -> Float:
    """P(each action's draw is the largest) under independent normal posteriors, by quadrature."""
    p_best = np.empty_like(mean)
    for a in range(mean.shape[2]):
        draw = mean[..., a, None] + deviation[..., a, None] * _NODES
        p = np.ones_like(draw)
        for b in range(mean.shape[2]):
            if b != a:
                p *= ndtr((draw - mean[..., b, None]) / deviation[..., b, None])
        p_best[..., a] = p @ (_MASS / _MASS.sum())
    return p_best
