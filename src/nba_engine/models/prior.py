"""What a hierarchical model believes of its coefficients before the first outcome, and how the levels of a path share it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from nba_engine.models import posterior
from nba_engine.models.contract import Index


@dataclass(frozen=True, slots=True)
class Prior:
    """What is believed before the first outcome.

    variance : of one coefficient, summed over the levels of a path
    offset_variance : of the biases below the global one, summed likewise: rates of actions differ more than customers do (docs/decisions/
        0035-what-an-action-starts-from.md)
    shares : how the levels (global, issue, group, action, treatment) share both; those absent from a path leave theirs to its last level
    bias_mean, bias_variance : of the global bias. Wide, so that the base rate is learned first and by all together
    """

    variance: float = 0.1
    offset_variance: float = 0.3
    shares: tuple[float, float, float, float, float] = (0.02, 0.01, 0.03, 0.74, 0.2)
    bias_mean: float = 0.0
    bias_variance: float = 1.0


def prior_table(paths: Index, n_entities: int, prior: Prior) -> posterior.Prior:
    """float64[6, n_entities]; an entity that no path names gets the precision 1 of a place that is not used."""
    table = np.ones((6, n_entities))
    table[posterior.UNIT] = 1.0 / posterior.SCALE
    table[posterior.BIAS_SHIFT] = 0.0
    for path in paths:
        levels = np.nonzero(path >= 0)[0]
        for level in levels:
            share = prior.shares[level]
            if level == levels[-1]:
                share = 1.0 - sum(prior.shares[other] for other in levels[:-1])
            table[posterior.BIAS_PRECISION, path[level]] = 1.0 / (prior.offset_variance * share)
            table[posterior.PRECISION, path[level]] = 1.0 / (prior.variance * share)
    used = np.unique(paths[:, 0][paths[:, 0] >= 0])
    table[posterior.BIAS_PRECISION, used] = 1.0 / prior.bias_variance
    table[posterior.BIAS_SHIFT, used] = prior.bias_mean / prior.bias_variance
    table[posterior.BIAS_VARIANCE] = 1.0 / table[posterior.BIAS_PRECISION]
    table[posterior.VARIANCE] = 1.0 / table[posterior.PRECISION]
    return table
