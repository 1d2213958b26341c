"""A small-data world: 20 actions, 20 facts, logistic answers, seeded.

A uniform choice converts about 5 % and the best choice about 15 %. The figure of merit is the share of that uplift that a learner captures
over 20,000 interactions from an empty start: (its conversion - uniform) / (best - uniform), in expected conversions, so that luck with the
answers themselves does not count. Where it loses: facts are independent and normal, answers are logistic in them, nothing drifts.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

N_ACTIONS = 20
N_FACTS = 20
N_GROUPS = 4
N_INTERACTIONS = 20_000
UNIFORM, BEST = 0.05, 0.15


@dataclass(frozen=True, slots=True)
class World:
    """`facts` float64[n, N_FACTS]; `p_answer` float64[n, N_ACTIONS]; `noise` float64[n], an answer is positive where noise < p."""

    facts: np.ndarray
    p_answer: np.ndarray
    noise: np.ndarray

    def captured(self, chosen: np.ndarray) -> float:
        """Share of the possible uplift that the choices int[n] would earn in expectation."""
        earned = self.p_answer[np.arange(len(chosen)), chosen].mean()
        uniform = self.p_answer.mean()
        return (earned - uniform) / (self.p_answer.max(axis=1).mean() - uniform)


def make(seed: int, n: int = N_INTERACTIONS, related: float = 0.0) -> World:
    """The world of one seed: intercept and spread are solved for, so that UNIFORM and BEST hold.

    `related` is the share of the slopes' variance that the N_GROUPS groups of actions (action modulo N_GROUPS) have in common.
    """
    rng = np.random.default_rng(seed)
    facts = rng.normal(size=(n, N_FACTS))
    slopes = rng.normal(size=(N_FACTS, N_ACTIONS)) / np.sqrt(N_FACTS)
    if related:
        shared = rng.normal(size=(N_FACTS, N_GROUPS)) / np.sqrt(N_FACTS)
        slopes = np.sqrt(1.0 - related) * slopes + np.sqrt(related) * shared[:, np.arange(N_ACTIONS) % N_GROUPS]
    offsets = rng.normal(size=N_ACTIONS) * 0.5
    shape = facts @ slopes + offsets
    low, high = 0.0, 5.0
    for _ in range(40):
        spread = (low + high) / 2
        intercept = _intercept(shape[:2000] * spread, UNIFORM)
        low, high = (spread, high) if _logistic(shape[:2000] * spread + intercept).max(axis=1).mean() < BEST else (low, spread)
    return World(facts, _logistic(shape * spread + intercept), rng.random(n))


def _intercept(logit: np.ndarray, mean: float) -> float:
    low, high = -20.0, 5.0
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (middle, high) if _logistic(logit + middle).mean() < mean else (low, middle)
    return middle


def _logistic(x: np.ndarray) -> np.ndarray:
    return 1.0 / (1.0 + np.exp(-x))
