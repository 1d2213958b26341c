"""Exploration: the law that turns priorities into a probability mass function over candidates.

`thompson` gives each candidate the probability that its priority, drawn from its own Gaussian, is the best (`winning.py`);
`greedy` takes the best; `epsilon` the best with 1 - epsilon, else any open one; `squarecb` weighs by the inverse of the gap to the best;
`uniform` takes any open one. Each law but greedy is then mixed with a uniform share. `control` is the law of control groups of kind uniform:
any candidate, open or not, unmixed. Exact ties share equally everywhere.

*Open* is a candidate that `explores`. One that is closed, and the null action, is chosen only for being best, never for being explored.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
import numpy.typing as npt

from nba_engine.numerics.kernel import kernel

Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.uint8]
Kind = Literal["thompson", "greedy", "epsilon", "squarecb", "uniform", "control"]

THOMPSON, GREEDY, EPSILON, SQUARECB, UNIFORM, CONTROL = range(6)
KIND_CODES: dict[Kind, int] = {
    "thompson": THOMPSON,
    "greedy": GREEDY,
    "epsilon": EPSILON,
    "squarecb": SQUARECB,
    "uniform": UNIFORM,
    "control": CONTROL,
}


@dataclass(frozen=True)
class Exploration:
    """The law in numbers. Defaults: docs/decisions/0004-exploration-law.md.

    `kind`: one of `KIND_CODES`' codes; `posterior_scale` >= 0, by which the model's deviation is multiplied; `uniform_share` and `epsilon` in
    [0, 1]; `gamma` > 0.
    """

    kind: int = THOMPSON
    posterior_scale: float = 0.3
    uniform_share: float = 0.01
    epsilon: float = 0.05
    gamma: float = 300.0

    @cached_property
    def parameters(self) -> Floats:
        """float64[4]: epsilon, gamma, uniform share, posterior scale, as the kernel of slates takes them."""
        return np.array([self.epsilon, self.gamma, self.uniform_share, self.posterior_scale])


@kernel
def _fill_kind(kind, epsilon, gamma, priority, remains, explores, p):
    """The laws that need no deviations, unmixed."""
    best, worst = -np.inf, np.inf
    n_remaining = n_open = n_best = n_best_closed = 0
    for i in range(priority.size):
        p[i] = 0.0
        if remains[i]:
            if priority[i] > best:
                best = priority[i]
                n_best = n_best_closed = 0
            if priority[i] == best:
                n_best += 1
                n_best_closed += explores[i] == 0
            worst = min(worst, priority[i])
            n_remaining += 1
            n_open += explores[i] != 0
    explored = 0.0
    for i in range(priority.size):
        if remains[i] and kind == CONTROL:
            p[i] = 1.0 / n_remaining
        elif remains[i] and explores[i]:
            if kind == EPSILON:
                p[i] = epsilon / n_open
            elif kind == UNIFORM:
                p[i] = 1.0 / n_open
            elif kind == SQUARECB and priority[i] < best:
                p[i] = 1.0 / (n_open + n_best_closed + gamma * (best - priority[i]) / (best - worst))
        explored += p[i]
    if kind == CONTROL or (kind == UNIFORM and n_open > 0):
        return
    for i in range(priority.size):
        if remains[i] and priority[i] == best:
            p[i] += (1.0 - explored) / n_best


@kernel
def _fill_mixture(share, remains, explores, p):
    """(1 - share) * p + share / n over the n open candidates; unchanged if none is open."""
    n_open = 0
    for i in range(p.size):
        n_open += np.int64(remains[i] & explores[i])
    if n_open > 0:
        part = share / n_open
        for i in range(p.size):
            p[i] = (1.0 - share) * p[i] + part * np.float64(remains[i] & explores[i])
